"""From stored uint8 images to what a model reads. B images, S side, C channels."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from torch import Tensor


def resident(images: np.ndarray, device: torch.device) -> Tensor:
    """Images (n, S, S, C), uint8, on ``device``; on a CPU without a copy."""
    with warnings.catch_warnings():
        # A read-only memory map is what we want to share: nothing writes to it.
        warnings.filterwarnings("ignore", message=".*not writable.*")
        return torch.from_numpy(images).to(device)


def sent(values: np.ndarray, device: torch.device) -> Tensor:
    """``values`` on ``device``; neither it nor the host waits for the copy."""
    tensor = torch.from_numpy(values)
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def normalise(images: Tensor) -> Tensor:
    """uint8 (B, S, S, C) -> float32 (B, C, S, S) in [-1, 1], as in the paper's code."""
    return images.permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)
