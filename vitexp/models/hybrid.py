"""The paper's hybrids (section 3.1): a Vision Transformer on patches of a ResNet's map.

The class token, the positions and every block are those of ``vit.py``; the stochastic depth is
the transformer's, as in the authors' models_vit.py.
"""

from __future__ import annotations

from torch import Tensor, nn

from vitexp.models.count_resnet import map_channels
from vitexp.models.resnet import Trunk
from vitexp.models.vit import PatchEmbedding, ViT
from vitexp.spec import ModelSpec


def hybrid(spec: ModelSpec, dropout: float = 0.0, stochastic_depth: float = 0.0) -> ViT:
    """The model of ``spec``, which has both a trunk and a transformer."""
    return ViT(spec, dropout, stochastic_depth, MapEmbedding(spec))


class MapEmbedding(nn.Module):
    """Images to the embedded cells of the trunk's last map."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        assert spec.trunk is not None
        self.trunk = Trunk(spec.channels, spec.trunk)
        self.cells = PatchEmbedding(map_channels(spec.trunk), spec.transformer)

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, S, S) -> (B, N, D), cells in raster order."""
        cells: Tensor = self.cells(self.trunk(images))
        return cells
