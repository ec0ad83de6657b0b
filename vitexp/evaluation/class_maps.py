"""Where in an image a ResNet finds its class.

B images, S side, C channels, G side of the last map.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vitexp.evaluation.accuracy import answered
from vitexp.evaluation.maps import mapped
from vitexp.models.resnet import ResNet


@torch.inference_mode()
def class_maps(
    model: ResNet, images: Tensor, precision: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor]:
    """The class that each image is given, and what each cell of the last map adds to its logit
    (class-activation maps, Zhou et al. 2016, arXiv 1512.04150). As the head is linear and reads the
    mean of the map, the cells and the head's bias sum to the logit.

    Args:
        images: uint8, (B, S, S, C).
        precision: of the arithmetic.

    Returns:
        int64, (B,), and float32, (B, G, G), both on the CPU.
    """
    with mapped(model) as maps:
        logits, _ = answered(model, images, precision)
    classes, cells = logits.argmax(dim=1), maps[0].float()
    added = torch.einsum("brcd,bd->brc", cells, model.head.weight[classes].float())
    return classes.cpu(), (added / cells.shape[1] ** 2).cpu()
