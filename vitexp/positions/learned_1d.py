"""Learned 1-D embeddings in raster order, the paper's default (section 3.1)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from vitexp.positions.base import (
    Additive,
    Geometry,
    Interpolation,
    Placed,
    Resizable,
    Table,
    interpolated,
    side_of,
)
from vitexp.spec import PositionSpec


class Learned1D(Additive, Resizable):
    """One vector of width D for each token; the class token has index 0."""

    def __init__(self, spec: PositionSpec, geometry: Geometry) -> None:
        super().__init__(spec, geometry)
        shape = (geometry.tokens, geometry.width)
        self.tables = Placed(lambda: Table(shape, spec.std), spec, geometry.depth)

    def table(self, block: int) -> Tensor | None:
        place = self.tables.at(block)
        return None if place is None else place()

    def resized(self, learned: Mapping[str, Tensor], how: Interpolation) -> dict[str, Tensor]:
        return {name: self._resized(table, how) for name, table in learned.items()}

    def _resized(self, table: Tensor, how: Interpolation) -> Tensor:
        first = int(self.geometry.class_token)
        patches = table[first:]
        side = side_of(len(patches))
        cells = interpolated(patches.view(side, side, -1), self.geometry.grid, how)
        return torch.cat([table[:first], cells.flatten(0, 1)])
