"""How a parameter starts: drawn on the CPU from (seed, parameter name).

Two models that share a parameter's name and shape share its first value, whatever else differs
between them; that is what keeps two cells of a grid comparable.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn

P = TypeVar("P", bound=Tensor)

Initialiser = Callable[[Tensor, torch.Generator], object]
"""Fills a float32 CPU tensor in place."""


def parameter(shape: tuple[int, ...], start: Initialiser) -> nn.Parameter:
    """An empty parameter that :func:`initialise` will fill by ``start``."""
    return starts(nn.Parameter(torch.empty(shape)), start)


def starts(tensor: P, start: Initialiser) -> P:
    """Attaches ``start`` to a parameter made elsewhere, for instance by ``nn.Linear``."""
    tensor.initialiser = start  # type: ignore[attr-defined]
    return tensor


def initialise(model: nn.Module, seed: int) -> None:
    """Fills every parameter that carries an initialiser; leaves the others as they are."""
    for name, value in model.named_parameters():
        start: Initialiser | None = getattr(value, "initialiser", None)
        if start is not None:
            fresh = torch.empty(value.shape)
            start(fresh, torch.Generator().manual_seed(key(seed, name)))
            value.data.copy_(fresh)


def key(*parts: object) -> int:
    """A 63-bit integer from any values that print alike when they are alike."""
    text = "\x1f".join(map(str, parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def constant(value: float) -> Initialiser:
    return lambda tensor, _: tensor.fill_(value)


def normal(std: float) -> Initialiser:
    return lambda tensor, generator: tensor.normal_(0.0, std, generator=generator)


def xavier_uniform(parts: int = 1) -> Initialiser:
    """Glorot and Bengio 2010, for a kernel (out, in) made of ``parts`` stacked kernels."""

    def fill(tensor: Tensor, generator: torch.Generator) -> None:
        bound = math.sqrt(6.0 / (tensor.shape[0] // parts + tensor.shape[1]))
        tensor.uniform_(-bound, bound, generator=generator)

    return fill


def lecun_normal(tensor: Tensor, generator: torch.Generator) -> None:
    """Truncated normal with variance 1 / fan-in, as Flax draws it."""
    # 0.8796 is the standard deviation of a unit normal cut off at two standard deviations.
    std = math.sqrt(1.0 / tensor[0].numel()) / 0.87962566103423978
    nn.init.trunc_normal_(tensor, std=std, a=-2 * std, b=2 * std, generator=generator)
