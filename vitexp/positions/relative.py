"""Relative attention over raster offsets (paper, appendix D.4; Shaw et al. 2018).

For each offset p_q - p_k of two patches in raster order there is one key embedding; the
content query is dotted with it and the result is added to the content logits before the
softmax. The class token has three offsets of its own: to itself, to any patch, from any patch.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from vitexp.initialisation import normal, parameter
from vitexp.positions.base import (
    AttentionSignal,
    Geometry,
    Interpolation,
    Placed,
    Position,
    Resizable,
    Rows,
    interpolated,
    side_of,
)
from vitexp.spec import PositionSpec


class Relative(Position, Resizable):
    """Logits from the query and the offset; the tokens stay as they are."""

    def __init__(self, spec: PositionSpec, geometry: Geometry) -> None:
        super().__init__(spec, geometry)
        self.tables = Placed(lambda: Offsets(spec, geometry), spec, geometry.depth)

    def tokens(self, x: Tensor, block: int) -> Tensor:
        return x

    def attention(self, block: int) -> AttentionSignal | None:
        place = self.tables.at(block)
        assert place is None or isinstance(place, Offsets)
        return place

    def resized(self, learned: Mapping[str, Tensor], how: Interpolation) -> dict[str, Tensor]:
        return {
            name: table if name.endswith("class_offsets") else self._resized(table, how)
            for name, table in learned.items()
        }

    def _resized(self, offsets: Tensor, how: Interpolation) -> Tensor:
        side = side_of((offsets.shape[1] + 1) // 2)
        if (side, side) == self.geometry.grid:
            return offsets
        return torch.stack([_resized(table, side, self.geometry.grid, how) for table in offsets])


class Offsets(AttentionSignal):
    """Embeddings of the 2P - 1 raster offsets, ordered from k - q = -(P - 1) to P - 1."""

    def __init__(self, spec: PositionSpec, geometry: Geometry) -> None:
        super().__init__()
        head_width = geometry.width // geometry.heads
        tables = geometry.heads if spec.per_head else 1
        self.patches = geometry.grid[0] * geometry.grid[1]
        self.scale = head_width**-0.5 if spec.scaled else 1.0
        self.offsets = parameter((tables, 2 * self.patches - 1, head_width), normal(spec.std))
        self.class_token = geometry.class_token
        if geometry.class_token:
            self.class_offsets = parameter((tables, 3, head_width), normal(spec.std))

    def rotate(self, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        return q, k

    def logits(self, q: Tensor, rows: Rows) -> Tensor:
        q = q * self.scale
        if not self.class_token:
            return self._between_patches(q)
        to_self, to_patch, from_patch = torch.split(
            q @ self.class_offsets.transpose(1, 2), 1, dim=3
        )
        first = torch.cat([to_self, to_patch.expand(*to_patch.shape[:3], self.patches)], dim=3)
        if rows == slice(0, 1):
            return first
        assert rows == slice(None)
        patches = self._between_patches(q[:, :, 1:])
        rest = torch.cat([from_patch[:, :, 1:], patches], dim=3)
        return torch.cat([first[:, :, :1], rest], dim=2)

    def _between_patches(self, q: Tensor) -> Tensor:
        """(B, H, P, d) -> (B, H, P, P); column k of row q reads the offset k - q."""
        by_offset = q @ self.offsets.transpose(1, 2)
        b, h, p, offsets = by_offset.shape
        # Padding each row by one and folding at the old width moves row q left by q.
        flat = F.pad(by_offset, (0, 1)).flatten(2)
        folded = F.pad(flat, (0, p - 1)).view(b, h, p + 1, offsets)
        return folded[:, :, :p, p - 1 :]


def _resized(table: Tensor, side: int, grid: tuple[int, int], how: Interpolation) -> Tensor:
    """Raster offsets of a square grid -> raster offsets of ``grid``: (2P - 1, d) both.

    A raster offset stands for up to two (row, column) offsets. The old table is spread over all
    (row, column) offsets and interpolated there; each new raster offset then is the mean of the
    (row, column) offsets that share it, weighted by how many pairs of patches have them.
    """
    spread = table[_raster_offsets((side, side)) + side * side - 1]
    wide = interpolated(spread, (2 * grid[0] - 1, 2 * grid[1] - 1), how).flatten(0, 1)
    shared = (_raster_offsets(grid) + grid[0] * grid[1] - 1).flatten()
    weight = (_pairs(grid[0])[:, None] * _pairs(grid[1])).flatten().to(wide.dtype)
    zeros = wide.new_zeros(2 * grid[0] * grid[1] - 1, wide.shape[1])
    total = zeros.index_add(0, shared, wide * weight[:, None])
    return total / zeros[:, 0].index_add(0, shared, weight)[:, None]


def _raster_offsets(grid: tuple[int, int]) -> Tensor:
    """The raster offset of each (row, column) offset: int64, (2 rows - 1, 2 columns - 1)."""
    rows, columns = (torch.arange(1 - length, length) for length in grid)
    return rows[:, None] * grid[1] + columns


def _pairs(length: int) -> Tensor:
    """How many pairs of places in a row of ``length`` have each offset: int64, (2 length - 1)."""
    return length - torch.arange(1 - length, length).abs()
