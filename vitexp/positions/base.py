"""What a positional signal is to the Vision Transformer, and how it is resized.

B images, T tokens (class token first where there is one), D width, H heads, d = D / H,
R rows (the queries that are kept).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vitexp.errors import VitexpError
from vitexp.initialisation import normal, parameter
from vitexp.spec import PositionSpec

Rows = slice
"""Which queries of a block are kept: ``slice(None)``, or ``slice(0, 1)`` for the class token."""

Interpolation = Literal["bilinear", "bicubic"]
"""``bilinear`` keeps the corners in place, as the official code does; ``bicubic`` does not, as
DINO and Hugging Face do it."""


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
    def attention(self, block: int) -> AttentionSignal | None:
        """What acts inside the attention of block ``block``; None where nothing does."""


class AttentionSignal(nn.Module, ABC):
    """The part of a signal that acts inside one block's attention.

    It does not know which block that is: blocks that differ in their weights alone are compiled
    once.
    """

    @abstractmethod
    def rotate(self, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        """Queries and keys, (B, H, T, d) each, rotated by position."""

    @abstractmethod
    def logits(self, q: Tensor, rows: Rows) -> Tensor | None:
        """What is added to the attention's logits, or None.

        Args:
            q: the queries of the kept rows, (B, H, R, d).
            rows: which of the T queries were kept.

        Returns:
            Tensor that broadcasts to (B, H, R, T).
        """


class Resizable(ABC):
    """A positional signal whose tables can be brought to another grid of patches."""

    @abstractmethod
    def resized(self, learned: Mapping[str, Tensor], how: Interpolation) -> dict[str, Tensor]:
        """The parameters of this signal, made from those that it learned on another square grid.

        Args:
            learned: what its ``state_dict`` was there.
            how: which interpolation.

        Raises:
            VitexpError: the other grid was not a square.
        """


class Additive(Position):
    """A signal that is a table added to the tokens and nothing else."""

    @abstractmethod
    def table(self, block: int) -> Tensor | None:
        """The (T, D) table that is added to the input of block ``block``, or None."""

    def tokens(self, x: Tensor, block: int) -> Tensor:
        table = self.table(block)
        return x if table is None else x + table

    def attention(self, block: int) -> None:
        return None


class Table(nn.Module):
    """A learned table of vectors, at first normal with standard deviation ``std``."""

    def __init__(self, shape: tuple[int, int], std: float) -> None:
        super().__init__()
        self.embedding = parameter(shape, normal(std))

    def forward(self) -> Tensor:
        return self.embedding


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


def side_of(patches: int) -> int:
    """Side of a square grid of so many patches.

    Raises:
        VitexpError: they do not make a square.
    """
    side = math.isqrt(patches)
    if side * side != patches:
        raise VitexpError(
            f"Positional tables for {patches} patches, which are not a square grid.",
            "Only tables of square images can be resized.",
        )
    return side


def fixed_grid(spec: PositionSpec, geometry: Geometry) -> tuple[int, int]:
    """The grid on which a fixed signal is laid out before it is stretched to the geometry's."""
    return geometry.grid if spec.grid is None else (spec.grid, spec.grid)


def interpolated(cells: Tensor, size: tuple[int, int], how: Interpolation = "bilinear") -> Tensor:
    """A grid of vectors at another size: (rows, columns, D) -> (*size, D)."""
    if cells.shape[:2] == size:
        return cells
    image = cells.permute(2, 0, 1)[None].float()
    corners = True if how == "bilinear" else None
    larger = F.interpolate(image, size=size, mode=how, align_corners=corners)
    return larger[0].permute(1, 2, 0).to(cells.dtype)
