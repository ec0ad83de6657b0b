"""Fixed sine/cosine embeddings over the raster index (Vaswani et al. 2017, section 3.5)."""

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
)
from vitexp.spec import PositionSpec


class SinCos1D(Additive, Resizable):
    """[sin; cos] of the token's index at D/2 wavelengths up to 10,000; class token index 0."""

    def __init__(self, spec: PositionSpec, geometry: Geometry) -> None:
        super().__init__(spec, geometry)
        assert geometry.width % 2 == 0
        grid, first = fixed_grid(spec, geometry), int(geometry.class_token)
        table = waves(torch.arange(grid[0] * grid[1] + first), geometry.width)
        cells = interpolated(table[first:].view(*grid, -1), geometry.grid).flatten(0, 1)
        self.register_buffer("fixed", torch.cat([table[:first], cells]), persistent=False)
        self.fixed: Tensor

    def table(self, block: int) -> Tensor | None:
        return self.fixed if block == 0 or self.spec.placement != "stem" else None

    def resized(self, learned: Mapping[str, Tensor], how: Interpolation) -> dict[str, Tensor]:
        # Nothing is learned: the grid in the spec says which waves are stretched.
        return {}


def waves(index: Tensor, width: int) -> Tensor:
    """Sines, then cosines, of ``index`` (n,) at width/2 wavelengths: float32, (n, width)."""
    frequency = 10_000 ** (-torch.arange(width // 2, dtype=torch.float64) / (width // 2))
    angle = index.double()[:, None] * frequency
    return torch.cat([angle.sin(), angle.cos()], dim=1).float()
