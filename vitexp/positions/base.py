"""What a positional signal is to the Vision Transformer: three hooks.

B images, T tokens (class token first where there is one), D width, H heads, d = D / H,
R rows (the queries that are kept).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vitexp.spec import PositionSpec

Rows = slice
"""Which queries of a block are kept: ``slice(None)``, or ``slice(0, 1)`` for the class token."""


@dataclass(frozen=True)
class Geometry:
    """The sequence that a signal marks.

    Attributes:
        grid: (rows, columns) of patches, in raster order.
        class_token: whether a class token stands before the patches.
        width: D.
        heads: H.
        depth: number of blocks.
    """

    grid: tuple[int, int]
    class_token: bool
    width: int
    heads: int
    depth: int

    @property
    def tokens(self) -> int:
        """T, the class token counted."""
        return self.grid[0] * self.grid[1] + self.class_token


class Position(nn.Module, ABC):
    """A positional signal. ``spec`` and ``geometry`` are its constructor's arguments."""

    def __init__(self, spec: PositionSpec, geometry: Geometry) -> None:
        super().__init__()
        self.spec = spec
        self.geometry = geometry

    @abstractmethod
    def tokens(self, x: Tensor, block: int) -> Tensor:
        """The input of block ``block``, (B, T, D), with the signal added."""

    @abstractmethod
    def rotate(self, q: Tensor, k: Tensor, block: int) -> tuple[Tensor, Tensor]:
        """Queries and keys of a block, (B, H, T, d) each, rotated by position."""

    @abstractmethod
    def logits(self, q: Tensor, block: int, rows: Rows) -> Tensor | None:
        """What is added to a block's attention logits, or None.

        Args:
            q: the queries of the kept rows, (B, H, R, d).
            block: index of the block.
            rows: which of the T queries were kept.

        Returns:
            Tensor that broadcasts to (B, H, R, T).
        """


class Additive(Position):
    """A signal that is a table added to the tokens and nothing else."""

    @abstractmethod
    def table(self, block: int) -> Tensor | None:
        """The (T, D) table that is added to the input of block ``block``, or None."""

    def tokens(self, x: Tensor, block: int) -> Tensor:
        table = self.table(block)
        return x if table is None else x + table

    def rotate(self, q: Tensor, k: Tensor, block: int) -> tuple[Tensor, Tensor]:
        return q, k

    def logits(self, q: Tensor, block: int, rows: Rows) -> Tensor | None:
        return None


class Placed(nn.Module):
    """One module for each place that a placement names; ``at(block)`` finds a block's own.

    stem: one, used at block 0 only. shared: one, used at every block. every-layer: one a block.
    """

    def __init__(self, make: Callable[[], nn.Module], spec: PositionSpec, depth: int) -> None:
        super().__init__()
        self.placement = spec.placement
        count = depth if spec.placement == "every-layer" else 1
        self.places = nn.ModuleList(make() for _ in range(count))

    def at(self, block: int) -> nn.Module | None:
        if self.placement == "every-layer":
            return self.places[block]
        return self.places[0] if self.placement == "shared" or block == 0 else None


def raster(grid: tuple[int, int]) -> Tensor:
    """(row, column) of each patch in raster order: int64, shape (patches, 2)."""
    rows, columns = torch.meshgrid(torch.arange(grid[0]), torch.arange(grid[1]), indexing="ij")
    return torch.stack([rows.flatten(), columns.flatten()], dim=1)
