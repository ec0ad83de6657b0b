"""A model of one's own: three convolutions and a mean over the map.

vitexp train --model examples/my_net.py:Net
"""

from itertools import pairwise

from torch import Tensor, nn

from vitexp.spec import ModelSpec


class Net(nn.Module):
    """``features`` and ``head`` are optional: with them a run ends with the few-shot probe."""

    def __init__(
        self, spec: ModelSpec, dropout: float = 0.0, stochastic_depth: float = 0.0
    ) -> None:
        super().__init__()
        widths = (spec.channels, 32, 64, 128)
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(widths):
            layers += [nn.Conv2d(inputs, outputs, 3, stride=2, padding=1), nn.GELU()]
        self.trunk = nn.Sequential(*layers)
        self.head = nn.Linear(widths[-1], spec.classes)

    def features(self, images: Tensor, noise: object = None) -> Tensor:
        """(B, C, S, S) -> (B, F), what the head reads."""
        features: Tensor = self.trunk(images).mean(dim=(2, 3))
        return features

    def forward(self, images: Tensor, noise: object = None) -> Tensor:
        """(B, C, S, S) -> logits (B, classes). ``noise`` draws dropout masks."""
        logits: Tensor = self.head(self.features(images, noise))
        return logits
