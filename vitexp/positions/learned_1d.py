"""Learned 1-D embeddings in raster order, the paper's default (section 3.1)."""

from __future__ import annotations

from torch import Tensor, nn

from vitexp.initialisation import normal, parameter
from vitexp.positions.base import Additive, Geometry, Placed
from vitexp.spec import PositionSpec


class Learned1D(Additive):
    """One vector of width D for each token; the class token has index 0."""

    def __init__(self, spec: PositionSpec, geometry: Geometry) -> None:
        super().__init__(spec, geometry)
        self.tables = Placed(lambda: _Table(spec, geometry), spec, geometry.depth)

    def table(self, block: int) -> Tensor | None:
        place = self.tables.at(block)
        return None if place is None else place()


class _Table(nn.Module):
    def __init__(self, spec: PositionSpec, geometry: Geometry) -> None:
        super().__init__()
        self.embedding = parameter((geometry.tokens, geometry.width), normal(spec.std))

    def forward(self) -> Tensor:
        return self.embedding
