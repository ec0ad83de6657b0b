"""Dropout and stochastic depth whose masks follow from (seed, step, layer, site).

A mask is always drawn at full shape, so that a block that computes only the class token's row
drops the same units as one that computes all rows, and a resumed run the same as an
uninterrupted one. There is no generator state to save.
"""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

Site = int
EMBEDDING, ATTENTION, HIDDEN, MLP, PATH_ATTENTION, PATH_MLP, PATH_CONV = range(7)

_LEVELS = 1 << 16


class Noise(Protocol):
    """Where a training step's masks come from; evaluation passes None instead."""

    source: str
    """Recorded with the run: two sources give different masks from the same seed."""

    def keep(self, layer: int, site: Site, shape: tuple[int, ...], rate: float) -> Tensor:
        """Bools of ``shape``, each True with probability 1 - ``rate`` to within 2^-17."""


class HostNoise:
    """Masks drawn by NumPy's SFC64 on the host: faster there than torch's Mersenne twister."""

    source = "host-sfc64"

    def __init__(self, seed: int, step: int, device: torch.device) -> None:
        self.seed, self.step, self.device = seed, step, device

    def keep(self, layer: int, site: Site, shape: tuple[int, ...], rate: float) -> Tensor:
        count = math.prod(shape)
        generator = np.random.SFC64([self.seed, self.step, layer, site])
        words = generator.random_raw(-(-count // 4)).view(np.int16)[:count]
        return (torch.from_numpy(words) >= _threshold(rate)).view(shape).to(self.device)


class DeviceNoise:
    """Masks drawn by the device's own generator: no copy from the host."""

    source = "device-generator"

    def __init__(self, seed: int, step: int, device: torch.device) -> None:
        self.seed, self.step, self.device = seed, step, device
        self.generator = torch.Generator(device)

    def keep(self, layer: int, site: Site, shape: tuple[int, ...], rate: float) -> Tensor:
        self.generator.manual_seed(_mix(self.seed, self.step, layer, site))
        low, high = -_LEVELS // 2, _LEVELS // 2
        words = torch.randint(
            low, high, shape, generator=self.generator, device=self.device, dtype=torch.int16
        )
        return words >= _threshold(rate)


SOURCES = {source.source: source for source in (HostNoise, DeviceNoise)}


def source_for(device: torch.device) -> str:
    """The source that suits ``device``."""
    return DeviceNoise.source if device.type == "cuda" else HostNoise.source


def drop(
    x: Tensor, rate: float, noise: Noise | None, layer: int, site: Site, tokens: int
) -> Tensor:
    """Inverted dropout of ``x`` (B, R, C), the first R rows of ``tokens``."""
    if noise is None or rate == 0.0:
        return x
    keep = noise.keep(layer, site, (x.shape[0], tokens, x.shape[2]), rate)
    return x * keep[:, : x.shape[1]].to(x.dtype).mul_(_scale(rate))


def drop_path(branch: Tensor, rate: float, noise: Noise | None, layer: int, site: Site) -> Tensor:
    """Stochastic depth (Huang et al. 2016): drops the whole ``branch`` (B, ...) of a sample."""
    if noise is None or rate == 0.0:
        return branch
    keep = noise.keep(layer, site, (branch.shape[0], *[1] * (branch.ndim - 1)), rate)
    return branch * keep.to(branch.dtype).mul_(_scale(rate))


def _threshold(rate: float) -> int:
    return round(rate * _LEVELS) - _LEVELS // 2


def _scale(rate: float) -> float:
    return 1.0 / (1.0 - round(rate * _LEVELS) / _LEVELS)


def _mix(seed: int, step: int, layer: int, site: int) -> int:
    state = np.random.SeedSequence([seed, step, layer, site]).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))
