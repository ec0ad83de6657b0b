"""A positional signal of one's own: one learned vector for each diagonal of the grid.

vitexp ablate pos-emb --position examples/my_signal.py:Diagonal
"""

import torch
from torch import Tensor

from vitexp.positions.base import Additive, Geometry, Placed, Table, raster
from vitexp.spec import PositionSpec


class Diagonal(Additive):
    """Patches on one diagonal share a vector; the class token has one of its own."""

    def __init__(self, spec: PositionSpec, geometry: Geometry) -> None:
        super().__init__(spec, geometry)
        diagonal = raster(geometry.grid).sum(dim=1) + 1
        index = torch.cat([diagonal.new_zeros(int(geometry.class_token)), diagonal])
        self.register_buffer("index", index, persistent=False)
        shape = (int(index.max()) + 1, geometry.width)
        self.tables = Placed(lambda: Table(shape, spec.std), spec, geometry.depth)

    def table(self, block: int) -> Tensor | None:
        """(T, D), what is added before block ``block``; None where nothing is."""
        place = self.tables.at(block)
        return None if place is None else place()[self.get_buffer("index")]
