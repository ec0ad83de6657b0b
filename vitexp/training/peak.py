"""How fast a device multiplies matrices: what a run's FLOP/s are held against."""

from __future__ import annotations

import functools
import os
import time
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from vitexp.training.environment import synchronise

SECONDS, TIMES = 0.04, 8
"""For how long, and how often at least, products of one size are tried."""

LONGEST = 0.01
"""Seconds that a product may take, going by the smaller ones."""

_SIDES = tuple(256 << step for step in range(6))


@dataclass(frozen=True)
class Peak:
    """The fastest of many matrix products.

    Attributes:
        flops_per_s: 2 n^3 over the shortest time of any product.
        side: n of that product.
        busy: runnable tasks on the machine a core at that time (load average of the last
            minute); None where the system does not tell.
    """

    flops_per_s: float
    side: int
    busy: float | None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@functools.cache
def peak(device: torch.device, dtype: torch.dtype, threads: int) -> Peak:
    """The rate of square matrix products on this device, measured once in a process (0.2 s).

    It is the *best* of short products: what another process takes of a core lengthens most of
    them and seldom all. Nothing of it reaches a run: its numbers come from a generator of its
    own, and its memory is given back.

    Args:
        threads: of the CPU, which the caller has set already.
    """
    assert device.type != "cpu" or torch.get_num_threads() == threads
    best, side = 0.0, 0
    for n in _SIDES:
        if 2 * n**3 > LONGEST * best > 0:
            break
        try:
            rate = 2 * n**3 / _shortest(n, device, dtype)
        except torch.OutOfMemoryError:
            break
        best, side = max((best, side), (rate, n))
    if device.type == "cuda":
        torch.cuda.empty_cache()
    return Peak(best, side, _busy())


def _shortest(side: int, device: torch.device, dtype: torch.dtype) -> float:
    """Seconds of the fastest product of two side x side matrices."""
    a, b = _matrices(side, device, dtype)
    out = a @ b
    synchronise(device)
    times: list[float] = []
    while len(times) < TIMES or sum(times) < SECONDS:
        start = time.perf_counter()
        torch.matmul(a, b, out=out)
        synchronise(device)
        times.append(time.perf_counter() - start)
    return min(times)


def _matrices(side: int, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    # Random, since a device draws less power for equal numbers and then runs faster.
    generator = torch.Generator(device).manual_seed(0)
    pair = torch.empty(2, side, side, device=device).uniform_(-1, 1, generator=generator)
    first, second = pair.to(dtype)
    return first, second


def _busy() -> float | None:
    if not hasattr(os, "getloadavg"):
        return None
    return round(os.getloadavg()[0] / (os.cpu_count() or 1), 2)
