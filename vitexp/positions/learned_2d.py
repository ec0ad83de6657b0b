"""Learned 2-D embeddings: one table for rows, one for columns (paper, appendix D.4)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from vitexp.initialisation import normal, parameter
from vitexp.positions.base import Additive, Geometry, Interpolation, Placed, Resizable, interpolated
from vitexp.spec import PositionSpec


class Learned2D(Additive, Resizable):
    """A patch gets [row vector; column vector], D/2 each; the class token its own D vector."""

    def __init__(self, spec: PositionSpec, geometry: Geometry) -> None:
        super().__init__(spec, geometry)
        assert geometry.width % 2 == 0
        self.tables = Placed(lambda: _Tables(spec, geometry), spec, geometry.depth)

    def table(self, block: int) -> Tensor | None:
        place = self.tables.at(block)
        return None if place is None else place()

    def resized(self, learned: Mapping[str, Tensor], how: Interpolation) -> dict[str, Tensor]:
        return {name: self._resized(name, table, how) for name, table in learned.items()}

    def _resized(self, name: str, table: Tensor, how: Interpolation) -> Tensor:
        # Interpolating both tables is the same as interpolating the grid that they span.
        along = {"rows": self.geometry.grid[0], "columns": self.geometry.grid[1]}
        length = along.get(name.rpartition(".")[2])
        if length is None:
            return table
        return interpolated(table[:, None], (length, 1), how)[:, 0]


class _Tables(nn.Module):
    def __init__(self, spec: PositionSpec, geometry: Geometry) -> None:
        super().__init__()
        rows, columns = geometry.grid
        half = geometry.width // 2
        self.rows = parameter((rows, half), normal(spec.std))
        self.columns = parameter((columns, half), normal(spec.std))
        if geometry.class_token:
            self.class_token = parameter((1, geometry.width), normal(spec.std))

    def forward(self) -> Tensor:
        shape = (len(self.rows), len(self.columns), self.rows.shape[1])
        row = self.rows[:, None].expand(shape)
        column = self.columns[None].expand(shape)
        patches = torch.cat([row, column], dim=2).flatten(0, 1)
        return torch.cat([self.class_token, patches]) if hasattr(self, "class_token") else patches
