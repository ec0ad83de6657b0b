"""Parameters and forward multiply-accumulates of a model, by closed formula and torch-free.

MACs are nominal, by the paper's convention: products of the patch embedding, the blocks (all
rows of all blocks), and no head; norms, activations and softmax are not counted.
"""

from __future__ import annotations

from vitexp.spec import ModelSpec, PositionSpec, ViTShape


def tokens(spec: ModelSpec) -> int:
    """T, the class token counted."""
    return (spec.image_size // spec.vit.patch) ** 2 + (spec.vit.pool == "token")


def params(spec: ModelSpec) -> int | None:
    """Number of learned values; None for a family or a signal from the user's own file."""
    vit = spec.vit
    if spec.code or vit.position.code:
        return None
    width = vit.width
    embedding = spec.channels * vit.patch**2 * width + width + width * (vit.pool == "token")
    attention = 4 * width * width + 4 * width
    mlp = 2 * width * vit.mlp + vit.mlp + width
    block = 4 * width + attention + mlp
    features = vit.pre_logits or width
    head = (features + 1) * spec.classes
    if vit.pre_logits:
        head += (width + 1) * vit.pre_logits
    position = position_params(vit.position, vit, spec.image_size // vit.patch)
    return embedding + position + vit.depth * block + 2 * width + head


def position_params(position: PositionSpec, vit: ViTShape, side: int) -> int:
    """Number of learned values of a positional signal on a side x side grid of patches."""
    class_token = vit.pool == "token"
    tables = position_tables(position, vit.depth)
    offset_width = vit.width if position.per_head else vit.width // vit.heads
    one = {
        "learned_1d": (side * side + class_token) * vit.width,
        "learned_2d": side * vit.width + class_token * vit.width,
        "relative": (2 * side * side - 1 + 3 * class_token) * offset_width,
    }
    return tables * one.get(position.kind, 0)


def position_tables(position: PositionSpec, depth: int) -> int:
    """How many tables a placement has."""
    return depth if position.placement == "every-layer" else 1


def macs(spec: ModelSpec) -> int | None:
    """Forward multiply-accumulates an image; None for a family from the user's own file."""
    if spec.code:
        return None
    vit, t = spec.vit, tokens(spec)
    patches = (spec.image_size // vit.patch) ** 2
    embedding = patches * spec.channels * vit.patch**2 * vit.width
    block = t * (4 * vit.width**2 + 2 * vit.width * vit.mlp) + 2 * t * t * vit.width
    return embedding + vit.depth * block + relative_macs(spec)


def relative_macs(spec: ModelSpec) -> int:
    """What relative logits add: each query times each offset's embedding."""
    vit, t = spec.vit, tokens(spec)
    if vit.position.kind != "relative":
        return 0
    blocks = 1 if vit.position.placement == "stem" else vit.depth
    class_token = vit.pool == "token"
    patches = t - class_token
    offsets = patches * (2 * patches - 1) + class_token * 3 * t
    return blocks * offsets * vit.width
