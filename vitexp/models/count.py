"""Parameters and forward multiply-accumulates of a model, by closed formula and torch-free.

Products only: norms, activations, pools and softmax are not counted. *Nominal* MACs are the
paper's measure: every row of every block, and no head. *Executed* MACs are what this program
computes: in the last block only the rows that the pool reads, whose one query, where it is one, has
the kernels of keys and values applied to it; and the head.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

from vitexp.models import count_resnet
from vitexp.models.count_resnet import Taps
from vitexp.positions.facts import facts
from vitexp.spec import ModelSpec, PositionSpec, ViTShape

TRAINING_FLOPS = 6
"""Training FLOPs for each forward MAC: 2 a MAC, and the backward pass costs twice the forward."""


def side(spec: ModelSpec) -> int:
    """Patches along a side of the square grid that a transformer sees."""
    return _source(spec).side // spec.transformer.patch


def source_side(spec: ModelSpec) -> int:
    """Side of what patches are cut from: the image in pixels, or the trunk's map in cells."""
    return _source(spec).side


def at_resolution(spec: ModelSpec, image_size: int) -> ModelSpec:
    """The model on larger or smaller images, with its signal stretched to the new grid.

    Learned tables are resized when weights are loaded (``load_weights(..., resize=...)``); a
    computed signal keeps the grid on which it was laid out.
    """
    larger = dataclasses.replace(spec, image_size=image_size)
    if spec.vit is None or facts(spec.vit.position.kind).table != "computed":
        return larger
    position = spec.vit.position
    position = dataclasses.replace(position, grid=position.grid or side(spec))
    return dataclasses.replace(larger, vit=dataclasses.replace(spec.vit, position=position))


def tokens(spec: ModelSpec) -> int | None:
    """T, the class token counted; None for a ResNet."""
    if spec.vit is None:
        return None
    return side(spec) ** 2 + (spec.vit.pool == "token")


def params(spec: ModelSpec) -> int | None:
    """Number of learned values; None for a family or a signal from the user's own file."""
    if spec.code or (spec.vit and spec.vit.position.code):
        return None
    trunk = count_resnet.params(spec.trunk, spec.channels) if spec.trunk else 0
    if spec.vit is None:
        return trunk + (_source(spec).channels + 1) * spec.classes
    return trunk + _vit_params(spec, spec.vit)


def macs(spec: ModelSpec, taps: Taps = "inside") -> int | None:
    """Nominal MACs an image; None for a family from the user's own file.

    Args:
        taps: whether a convolution's taps on its zero padding count: ``inside``, they do not,
            which is what the paper's numbers turn out to be; or ``all``, as a profiler counts.
    """
    if spec.code:
        return None
    trunk = count_resnet.macs(spec.trunk, spec.channels, spec.image_size, taps) if spec.trunk else 0
    if spec.vit is None:
        return trunk
    every = side(spec) ** 2 + (spec.vit.pool == "token")
    blocks = sum(_block_macs(spec, spec.vit, block, every) for block in range(spec.vit.depth))
    return trunk + _embedding_macs(spec, spec.vit) + blocks


def executed_macs(spec: ModelSpec) -> int | None:
    """MACs an image that a forward pass computes, padding and head included; None as above."""
    if spec.code:
        return None
    trunk = (
        count_resnet.macs(spec.trunk, spec.channels, spec.image_size, "all") if spec.trunk else 0
    )
    vit = spec.vit
    if vit is None:
        return trunk + _source(spec).channels * spec.classes
    every = side(spec) ** 2 + (vit.pool == "token")
    read = 1 if vit.pool == "token" else every
    blocks = sum(
        _block_macs(spec, vit, block, read if block == vit.depth - 1 else every)
        for block in range(vit.depth)
    )
    features = vit.pre_logits or vit.width
    head = vit.width * (vit.pre_logits or 0) + features * spec.classes
    return trunk + _embedding_macs(spec, vit) + blocks + head


@dataclass(frozen=True)
class _Source:
    """What patches are cut from: the image, or the trunk's map."""

    side: int
    channels: int


def _source(spec: ModelSpec) -> _Source:
    if spec.trunk is None:
        return _Source(spec.image_size, spec.channels)
    at = count_resnet.map_side(spec.trunk, spec.image_size)
    return _Source(at, count_resnet.map_channels(spec.trunk))


def _vit_params(spec: ModelSpec, vit: ViTShape) -> int:
    width = vit.width
    kernel = _source(spec).channels * vit.patch**2 * width
    embedding = kernel + width + width * (vit.pool == "token")
    attention = 4 * width * width + 4 * width
    mlp = 2 * width * vit.mlp + vit.mlp + width
    block = 4 * width + attention + mlp
    head = ((vit.pre_logits or width) + 1) * spec.classes
    if vit.pre_logits:
        head += (width + 1) * vit.pre_logits
    position = position_params(vit.position, vit, side(spec))
    return embedding + position + vit.depth * block + 2 * width + head


def position_params(position: PositionSpec, vit: ViTShape, side: int) -> int:
    """Number of learned values of a positional signal on a side x side grid of patches."""
    class_token = vit.pool == "token"
    tables = vit.depth if position.placement == "every-layer" else 1
    offset_width = vit.width if position.per_head else vit.width // vit.heads
    return tables * facts(position.kind).params(side, class_token, vit.width, offset_width)


def _embedding_macs(spec: ModelSpec, vit: ViTShape) -> int:
    return side(spec) ** 2 * _source(spec).channels * vit.patch**2 * vit.width


def _block_macs(spec: ModelSpec, vit: ViTShape, block: int, rows: int) -> int:
    """A block of which ``rows`` rows go on after the attention's logits."""
    every = side(spec) ** 2 + (vit.pool == "token")
    added = _macs_inside(vit, block)
    moved = rows < every and added is None
    qkv = 3 * (1 if moved else every) * vit.width**2
    attention = 2 * rows * every * vit.width * (vit.heads if moved else 1)
    rest = rows * (vit.width**2 + 2 * vit.width * vit.mlp)
    signal = added(rows, every, vit.pool == "token", vit.width) if added else 0
    return qkv + attention + rest + signal


def _macs_inside(vit: ViTShape, block: int) -> Callable[[int, int, bool, int], int] | None:
    """What a positional signal adds to the attention of ``block``; None where nothing."""
    position = vit.position
    outside = position.placement == "stem" and block > 0
    return None if outside else facts(position.kind).macs


def onto(old: ModelSpec, classes: int, image_size: int) -> ModelSpec:
    """A trained model with a single linear layer as its head, for images of another size."""
    vit = old.vit and dataclasses.replace(old.vit, pre_logits=None)
    return at_resolution(dataclasses.replace(old, classes=classes, vit=vit), image_size)
