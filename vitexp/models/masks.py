"""Dropout and stochastic depth whose masks follow from (seed, step, layer, site).

A mask is always drawn at full shape, so that a block that computes only the class token's row
drops the same units as one that computes all rows, and a resumed run the same as an
uninterrupted one. There is no generator state to save.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from vitexp.models.inputs import sent

Site = int
EMBEDDING, ATTENTION, HIDDEN, MLP, PATH_ATTENTION, PATH_MLP, PATH_CONV = range(7)

_LEVELS = 1 << 16


class Noise(Protocol):
    """Where a training step's masks come from; evaluation passes None instead."""

    source: str
    """Recorded with the run: two sources give different masks from the same seed."""

    def at(self, layer: int) -> LayerNoise:
        """The masks of one layer."""


class LayerNoise(Protocol):
    """One layer's masks. It does not know which layer's: see ``positions.base``."""

    def keep(self, site: Site, shape: tuple[int, ...], rate: float) -> Tensor:
        """Bools of ``shape``, each True with probability 1 - ``rate`` to within 2^-17.

        The first axis of ``shape`` is the batch.
        """


@dataclass(frozen=True)
class HostNoise:
    """Masks drawn by NumPy's SFC64 on the host: faster there than torch's Mersenne twister."""

    seed: int
    step: int
    device: torch.device
    layer: int = 0

    source = "host-sfc64"

    def at(self, layer: int) -> LayerNoise:
        return replace(self, layer=layer)

    def keep(self, site: Site, shape: tuple[int, ...], rate: float) -> Tensor:
        count = math.prod(shape)
        generator = np.random.SFC64([self.seed, self.step, self.layer, site])
        words = generator.random_raw(-(-count // 4)).view(np.int16)[:count]
        return (torch.from_numpy(words) >= _threshold(rate)).view(shape).to(self.device)


@dataclass(frozen=True)
class DeviceNoise:
    """Masks drawn by the device's own generator: no copy from the host."""

    seed: int
    step: int
    device: torch.device
    layer: int = 0

    source = "device-generator"

    def at(self, layer: int) -> LayerNoise:
        return replace(self, layer=layer)

    def keep(self, site: Site, shape: tuple[int, ...], rate: float) -> Tensor:
        generator = torch.Generator(self.device)
        generator.manual_seed(_mix(self.seed, self.step, self.layer, site))
        low, high = -_LEVELS // 2, _LEVELS // 2
        words = torch.randint(
            low, high, shape, generator=generator, device=self.device, dtype=torch.int16
        )
        return words >= _threshold(rate)


@dataclass(frozen=True)
class HashNoise:
    """Masks hashed from (key, sample, token, channel), the key from (seed, step, layer, site).

    All of it is arithmetic on tensors, so that a compiler can fuse it into what it masks, and the
    masks of the rows that are kept cost no more than those rows.
    """

    keys: Tensor
    """int32, (layers, sites), or (sites,) of one layer."""
    first: Tensor | None = None
    """int32, (): the row of the batch that is row 0 here; None for 0."""

    source = "hash"

    @classmethod
    def drawn(cls, seed: int, step: int, device: torch.device) -> HashNoise:
        return cls(sent(hash_keys(seed, step), device))

    def at(self, layer: int) -> LayerNoise:
        return replace(self, keys=self.keys[layer])

    def keep(self, site: Site, shape: tuple[int, ...], rate: float) -> Tensor:
        x = self.keys[site]
        for dim, size in enumerate(shape):
            along = torch.arange(size, dtype=torch.int32, device=self.keys.device)
            if dim == 0 and self.first is not None:
                along = along + self.first
            x = (x + along.view(-1, *[1] * (len(shape) - dim - 1))) * -1640531535
            x = x ^ (x >> 15 & 0x1FFFF)
        # MurmurHash3's finaliser (Appleby 2011), with the logical shifts that int32 lacks.
        x = (x ^ (x >> 16 & 0xFFFF)) * -2048144789
        x = (x ^ (x >> 13 & 0x7FFFF)) * -1028477387
        return (x >> 16) >= _threshold(rate)


def part_of(noise: Noise, rows: slice, batch: int) -> Noise:
    """The masks of some rows of a batch: those that the whole batch would have there.

    Args:
        noise: of the whole batch.
        rows: which, one after the other.
        batch: how many there are in all.
    """
    if isinstance(noise, HashNoise):
        # A tensor, so that what is compiled for one part serves for all.
        first = torch.full((), rows.start, dtype=torch.int32, device=noise.keys.device)
        return replace(noise, first=first)
    return Part(noise, rows, batch)


class Part:
    """Some rows of the masks that ``whole`` draws for all ``batch`` rows."""

    def __init__(self, whole: Noise, rows: slice, batch: int) -> None:
        self.whole, self.rows, self.batch = whole, rows, batch
        self.source = whole.source

    def at(self, layer: int) -> LayerNoise:
        return LayerPart(self.whole.at(layer), self.rows, self.batch)


@dataclass(frozen=True)
class LayerPart:
    """One layer's masks of some rows of a batch."""

    whole: LayerNoise
    rows: slice
    batch: int

    def keep(self, site: Site, shape: tuple[int, ...], rate: float) -> Tensor:
        return self.whole.keep(site, (self.batch, *shape[1:]), rate)[self.rows]


_LAYERS, _SITES = 256, 8


def hash_keys(seed: int, step: int) -> np.ndarray:
    """A key for each layer and site: int32, (layers, sites)."""
    words = np.random.SFC64([seed, step]).random_raw(_LAYERS * _SITES // 2)
    return words.view(np.int32).reshape(_LAYERS, _SITES)


SOURCES: dict[str, Callable[[int, int, torch.device], Noise]] = {
    HostNoise.source: HostNoise,
    DeviceNoise.source: DeviceNoise,
    HashNoise.source: HashNoise.drawn,
}


def drop(x: Tensor, rate: float, noise: LayerNoise | None, site: Site, tokens: int) -> Tensor:
    """Inverted dropout of ``x`` (B, R, C), the first R rows of ``tokens``."""
    if noise is None or rate == 0.0:
        return x
    keep = noise.keep(site, (x.shape[0], tokens, x.shape[2]), rate)
    return x * keep[:, : x.shape[1]].to(x.dtype).mul_(_scale(rate))


def drop_path(branch: Tensor, rate: float, noise: LayerNoise | None, site: Site) -> Tensor:
    """Stochastic depth (Huang et al. 2016): drops the whole ``branch`` (B, ...) of a sample."""
    if noise is None or rate == 0.0:
        return branch
    keep = noise.keep(site, (branch.shape[0], *[1] * (branch.ndim - 1)), rate)
    return branch * keep.to(branch.dtype).mul_(_scale(rate))


def _threshold(rate: float) -> int:
    return round(rate * _LEVELS) - _LEVELS // 2


def _scale(rate: float) -> float:
    return 1.0 / (1.0 - round(rate * _LEVELS) / _LEVELS)


def _mix(seed: int, step: int, layer: int, site: int) -> int:
    state = np.random.SeedSequence([seed, step, layer, site]).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))
