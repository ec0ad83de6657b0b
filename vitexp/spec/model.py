"""What a model is: its family, its sizes and its positional signal."""

from __future__ import annotations

import typing
from dataclasses import dataclass
from typing import Literal

from vitexp.spec.ids import label

Placement = Literal["stem", "every-layer", "shared"]
PLACEMENTS: tuple[Placement, ...] = typing.get_args(Placement)
Pool = Literal["token", "gap"]
Stem = Literal["imagenet", "small"]


@dataclass(frozen=True)
class PositionSpec:
    """One positional signal in one placement (paper, appendix D.4).

    Attributes:
        kind: name in ``vitexp/positions/`` or ``file.py:Class``.
        placement: where it enters; always ``"stem"`` for kinds that have no placement.
        std: initial standard deviation of its learned tables (the paper's: 0.02).
        scaled: relative only: logits divided by sqrt(head width), like the content logits.
        per_head: relative only: each head has its own table.
        code: SHA-256 of the user's file, when ``kind`` is one.
        grid: sine/cosine only: side of the grid on which the waves are laid out before they are
            stretched to the model's; None: the model's own.
    """

    kind: str = "learned_1d"
    placement: Placement = "stem"
    std: float = 0.02
    scaled: bool = True
    per_head: bool = True
    code: str | None = None
    grid: int | None = None


@dataclass(frozen=True)
class ViTShape:
    """The Vision Transformer's sizes (paper, Table 1) and choices.

    Attributes:
        patch: side of a patch in pixels; of a hybrid, in cells of the trunk's map.
        width: D, the width of a token.
        depth: number of encoder blocks.
        heads: attention heads a block.
        mlp: hidden width of a block's MLP.
        pool: class token, or mean of the patch tokens (then there is no class token).
        gelu: exact, or the tanh form that the paper's code uses.
        pre_logits: width of the tanh layer before the head (paper, section 3.1), or None.
    """

    patch: int
    width: int
    depth: int
    heads: int
    mlp: int
    pool: Pool = "token"
    gelu: Literal["exact", "tanh"] = "exact"
    pre_logits: int | None = None
    position: PositionSpec = PositionSpec()


@dataclass(frozen=True)
class ResNetShape:
    """A ResNet's sizes (paper, section 4.1), by itself or as a hybrid's trunk.

    Attributes:
        blocks: blocks of each stage; none is the stem alone.
        width: channels of the stem and of the first stage's 3x3; each stage doubles it, and a
            stage of bottlenecks gives four times its own (the paper's R50x1: 64, R50x2: 128).
        stem: ``imagenet``, a 7x7 convolution and a 3x3 max pool of stride 2 each, or ``small``,
            one 3x3 convolution of stride 1, for images up to 64 px.
        block: ``basic``, two 3x3 convolutions (He et al. 2015); None for bottlenecks.
    """

    blocks: tuple[int, ...]
    width: int
    stem: Stem = "imagenet"
    block: Literal["basic"] | None = None

    @property
    def stride(self) -> int:
        """Pixels of the image between two neighbours of the last map."""
        stem = 4 if self.stem == "imagenet" else 1
        return stem << max(0, len(self.blocks) - 1)


@dataclass(frozen=True)
class ModelSpec:
    """A model to build.

    Attributes:
        family: name in ``vitexp/models/`` or ``file.py:Class``.
        image_size: side of the square input in pixels.
        channels: 1 (grey) or 3 (RGB).
        classes: number of outputs.
        vit: the transformer's sizes; None for a ResNet.
        name: what the size is called on the command line.
        code: SHA-256 of the user's file, when ``family`` is one.
        trunk: the ResNet's sizes; None for a ViT.
    """

    family: str
    image_size: int
    channels: int
    classes: int
    vit: ViTShape | None = None
    name: str = label("")
    code: str | None = None
    trunk: ResNetShape | None = None

    @property
    def transformer(self) -> ViTShape:
        """``vit`` of a model that is known to have one."""
        assert self.vit is not None
        return self.vit
