"""Activation checkpointing (Chen et al. 2016): less memory for about a third more time.

A block's activations are not kept for the backward pass but computed again there. Dropout masks
follow from their place, so the second time gives the same numbers.
"""

from __future__ import annotations

import functools

from torch import nn
from torch.utils.checkpoint import checkpoint

from vitexp.errors import VitexpError
from vitexp.models.resnet import Residual
from vitexp.models.vit import Block


def recompute_blocks(model: nn.Module) -> None:
    """From now on ``model`` keeps only what its blocks read.

    Raises:
        VitexpError: it has none of this package's blocks.
    """
    blocks = [module for module in model.modules() if isinstance(module, Block | Residual)]
    if not blocks:
        raise VitexpError(
            "--grad-checkpointing knows the blocks of ViTs, ResNets and hybrids only.",
            "Leave it out; a model of your own can call torch.utils.checkpoint itself.",
        )
    for block in blocks:
        again = functools.partial(
            checkpoint, block.forward, use_reentrant=False, preserve_rng_state=False
        )
        block.forward = again  # type: ignore[method-assign]
