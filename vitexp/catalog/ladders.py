"""The models that the scaling studies take where none are named, by the side of the images."""

from __future__ import annotations

import math
from collections.abc import Mapping

Ladder = Mapping[int, tuple[str, ...]]
"""Side of the images in pixels -> names of models."""

EQUAL: Ladder = {
    8: ("r8x2.5", "r8x0.75+vit-xxs/2", "vit-xxs/2"),
    32: ("r8x2.75", "r11x0.5+vit-xs", "vit-xs/4"),
    224: ("r50x1", "r26+vit-s/32", "vit-s/16"),
}
"""A ResNet, a hybrid and a ViT of about equal MACs."""

SCALE: Ladder = {
    8: (*EQUAL[8], "vit-xxs/4", "vit-xs/2"),
    32: (*EQUAL[32], "vit-xs/8", "vit-ti/4"),
    224: (*EQUAL[224], "vit-ti/16", "vit-b/16"),
}
"""These, then a smaller and a larger ViT."""

COMPUTE: Ladder = {
    8: (
        *("vit-xxs/4", "vit-xxs/2", "vit-xs/2", "r8x1.25", "r8x2.5", "r14x3"),
        *("r11x0.75+vit-xxs", "r11x1.5+vit-xxs", "r11x2+vit-xs"),
    ),
    32: (
        *("vit-xs/8", "vit-xs/4", "vit-ti/4", "r8x1.25", "r8x2.75", "r14x4"),
        *("r11x0.5+vit-xxs", "r11x0.5+vit-xs", "r20+vit-ti"),
    ),
    224: (
        *("vit-ti/16", "vit-s/16", "vit-b/16", "r50x1", "r101x1", "r50x2"),
        *("r+vit-ti/16", "r26+vit-s/32", "r50+vit-b/16"),
    ),
}
"""Three sizes of each family, which is what a compute ratio needs."""


MORE: Ladder = {
    8: ("vit-ti/2", "r14x4", "vit-xs/4", "r8x3.5", "r11x2.5+vit-xs"),
    32: ("vit-s/4", "r14x5", "vit-ti/8", "r8x3.5", "r20x0.75+vit-xxs/8"),
    224: ("vit-l/16", "r152x2", "vit-b/32", "r152x1", "r50+vit-b/32"),
}
"""Further sizes, the largest ViT and ResNet first, for a ratio that three leave open."""


def nearest(ladder: Ladder, side: int) -> tuple[str, ...]:
    """The models for the listed images that are nearest to ``side`` pixels."""
    return ladder[min(ladder, key=lambda listed: abs(math.log(listed / side)))]
