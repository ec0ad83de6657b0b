"""From stored uint8 images to what a model reads. B images, S side, C channels."""

from __future__ import annotations

import warnings
from weakref import WeakValueDictionary

import numpy as np
import torch
from torch import Tensor


class Resident:
    """Images on a device; on a CPU without a copy.

    Attributes:
        tensor: uint8, (n, S, S, C).
    """

    def __init__(self, images: np.ndarray, device: torch.device) -> None:
        # Kept, so that while this is known by its identity no other array has that.
        self._images = images
        with warnings.catch_warnings():
            # A read-only memory map is what we want to share: nothing writes to it.
            warnings.filterwarnings("ignore", message=".*not writable.*")
            self.tensor = torch.from_numpy(images).to(device)
        if device.type == "cuda":
            # Runs with other streams may read it, too.
            torch.cuda.current_stream(device).synchronize()


_KNOWN: WeakValueDictionary[tuple[int, torch.device], Resident] = WeakValueDictionary()


def resident(images: np.ndarray, device: torch.device) -> Resident:
    """``images`` on ``device``, once for all runs of this process that use them."""
    key = (id(images), device)
    found = _KNOWN.get(key)
    if found is None:
        found = _KNOWN[key] = Resident(images, device)
    return found


def sent(values: np.ndarray, device: torch.device) -> Tensor:
    """``values`` on ``device``; neither it nor the host waits for the copy."""
    tensor = torch.from_numpy(values)
    if device.type != "cuda":
        return tensor.to(device)
    return pinned(tensor.shape, tensor.dtype).copy_(tensor).to(device, non_blocking=True)


def pinned(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Memory of the host that a CUDA device reads by itself; where the system has none to give,
    any: then the host waits for each copy."""
    try:
        return torch.empty(shape, dtype=dtype, pin_memory=True)
    except RuntimeError:
        return torch.empty(shape, dtype=dtype)


def normalise(images: Tensor) -> Tensor:
    """uint8 (B, S, S, C) -> float32 (B, C, S, S) in [-1, 1], as in the paper's code."""
    return images.permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)
