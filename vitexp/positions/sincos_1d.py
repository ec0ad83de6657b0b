"""Fixed sine/cosine embeddings over the raster index (Vaswani et al. 2017, section 3.5)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from vitexp.positions.base import Additive, Geometry, Interpolation
from vitexp.spec import PositionSpec


class SinCos1D(Additive):
    """[sin; cos] of the token's index at D/2 wavelengths up to 10,000; class token index 0."""

    def __init__(self, spec: PositionSpec, geometry: Geometry) -> None:
        super().__init__(spec, geometry)
        assert geometry.width % 2 == 0
        index = torch.arange(geometry.tokens)
        self.register_buffer("fixed", waves(index, geometry.width), persistent=False)
        self.fixed: Tensor

    def table(self, block: int) -> Tensor | None:
        return self.fixed if block == 0 or self.spec.placement != "stem" else None

    def resized(self, learned: Mapping[str, Tensor], how: Interpolation) -> dict[str, Tensor]:
        return {}


def waves(index: Tensor, width: int) -> Tensor:
    """Sines, then cosines, of ``index`` (n,) at width/2 wavelengths: float32, (n, width)."""
    frequency = 10_000 ** (-torch.arange(width // 2, dtype=torch.float64) / (width // 2))
    angle = index.double()[:, None] * frequency
    return torch.cat([angle.sin(), angle.cos()], dim=1).float()
