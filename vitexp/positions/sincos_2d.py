"""Fixed 2-D sine/cosine embeddings, as in MoCo v3 and MAE (He et al. 2021)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from vitexp.positions.base import (
    Additive,
    Geometry,
    Interpolation,
    Resizable,
    fixed_grid,
    interpolated,
    raster,
)
from vitexp.positions.sincos_1d import waves
from vitexp.spec import PositionSpec


class SinCos2D(Additive, Resizable):
    """[waves of the row; waves of the column], D/2 each; the class token gets zeros."""

    def __init__(self, spec: PositionSpec, geometry: Geometry) -> None:
        super().__init__(spec, geometry)
        assert geometry.width % 4 == 0
        grid, half = fixed_grid(spec, geometry), geometry.width // 2
        at = raster(grid)
        patches = torch.cat([waves(at[:, 0], half), waves(at[:, 1], half)], dim=1)
        cells = interpolated(patches.view(*grid, -1), geometry.grid).flatten(0, 1)
        first = torch.zeros(int(geometry.class_token), geometry.width)
        self.register_buffer("fixed", torch.cat([first, cells]), persistent=False)
        self.fixed: Tensor

    def table(self, block: int) -> Tensor | None:
        return self.fixed if block == 0 or self.spec.placement != "stem" else None

    def resized(self, learned: Mapping[str, Tensor], how: Interpolation) -> dict[str, Tensor]:
        # Nothing is learned: the grid in the spec says which waves are stretched.
        return {}
