"""One parameter of ours and the tensors that hold it elsewhere, convertible both ways."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vitexp.errors import VitexpError
from vitexp.spec import ModelSpec


@dataclass(frozen=True)
class Form:
    """How tensors are laid out elsewhere. Nothing is computed, so both ways are exact.

    Attributes:
        pack: their tensors to our parameter.
        unpack: our parameter to their tensors; on the meta device, their shapes.
    """

    pack: Callable[[Sequence[Tensor]], Tensor]
    unpack: Callable[[Tensor], Sequence[Tensor]]


@dataclass(frozen=True)
class Link:
    """A parameter and where it is kept elsewhere.

    Attributes:
        ours: its name in our state dict.
        theirs: names of their tensors.
        form: how those are laid out.
    """

    ours: str
    theirs: tuple[str, ...]
    form: Form


SAME = Form(lambda parts: parts[0], lambda ours: [ours])
"""As ours."""

BATCHED = Form(lambda parts: parts[0][0], lambda ours: [ours[None]])
"""As ours behind a leading dimension of 1."""

TRANSPOSED = Form(lambda parts: parts[0].T, lambda ours: [ours.T])
"""A kernel (in, out) instead of (out, in)."""

HWIO = Form(lambda parts: parts[0].permute(3, 2, 0, 1), lambda ours: [ours.permute(2, 3, 1, 0)])
"""A convolution's kernel (rows, columns, in, out) instead of (out, in, rows, columns)."""

THIRDS = Form(lambda parts: torch.cat(list(parts)), lambda ours: ours.chunk(3))
"""Query, key and value by themselves instead of stacked."""

CELL = Form(lambda parts: parts[0][:, :, 0, 0], lambda ours: [ours[:, :, None, None]])
"""A linear layer as a 1x1 convolution."""


def table_name(spec: ModelSpec) -> str | None:
    """Our name of the learned 1-D table at the stem, the only signal that others keep.

    Returns:
        None for a model without positions.

    Raises:
        VitexpError: another signal, or another placement.
    """
    position = spec.transformer.position
    if position.kind == "none":
        return None
    if (position.kind, position.placement) == ("learned_1d", "stem"):
        return "position.tables.places.0.embedding"
    raise VitexpError(
        f"Only vitexp's own files can hold {position.kind} positions ({position.placement}).",
        "Use the layout vitexp, or a model with learned_1d at the stem.",
    )


def bottlenecks(spec: ModelSpec) -> list[tuple[int, int, bool]]:
    """(stage, unit, whether it has a projection) of each block of the trunk, counted from 0.

    Raises:
        VitexpError: its blocks are no bottlenecks.
    """
    assert spec.trunk is not None
    if spec.trunk.block is not None:
        raise VitexpError(
            f"Only vitexp's own files can hold {spec.trunk.block} blocks.",
            "Use the layout vitexp, or a net of bottlenecks, such as r11 or r50x1.",
        )
    return [
        (stage, unit, unit == 0)
        for stage, count in enumerate(spec.trunk.blocks)
        for unit in range(count)
    ]


def trunk_prefix(spec: ModelSpec) -> str:
    """What our names of the trunk's parameters begin with."""
    return "trunk." if spec.vit is None else "embedding.trunk."


def embedding_prefix(spec: ModelSpec) -> str:
    """What our names of the patch embedding's parameters begin with."""
    return "embedding." if spec.trunk is None else "embedding.cells."
