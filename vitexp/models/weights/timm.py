"""The names of timm's state dicts (vision_transformer.py, its hybrids, ResNetV2(preact=False)).

For mean pooling: ``class_token=False, global_pool="avg", fc_norm=False``, the form in which timm
normalises before it pools, as the paper does.
"""

from __future__ import annotations

from vitexp.models.weights.link import (
    BATCHED,
    CELL,
    SAME,
    Form,
    Link,
    bottlenecks,
    embedding_prefix,
    table_name,
    trunk_prefix,
)
from vitexp.spec import ModelSpec

_BLOCK = {
    "norm1": "norm1",
    "attention.qkv": "attn.qkv",
    "attention.projection": "attn.proj",
    "norm2": "norm2",
    "expand": "mlp.fc1",
    "contract": "mlp.fc2",
}


def links(spec: ModelSpec) -> list[Link]:
    """Every parameter of the model under timm's name."""
    found = _trunk(spec) if spec.trunk else []
    if spec.vit is None:
        return [*found, *_layer("head", "head.fc", CELL)]
    return [*found, *_transformer(spec), *_layer("head", "head")]


def _layer(ours: str, theirs: str, form: Form = SAME) -> list[Link]:
    """A layer's or norm's weight and bias."""
    return [
        Link(f"{ours}.weight", (f"{theirs}.weight",), form),
        Link(f"{ours}.bias", (f"{theirs}.bias",), SAME),
    ]


def _trunk(spec: ModelSpec) -> list[Link]:
    assert spec.trunk is not None
    at, to = trunk_prefix(spec), "" if spec.vit is None else "patch_embed.backbone."
    # Without stages timm's backbone is the stem itself.
    stem = f"{to}stem" if spec.trunk.blocks else to.rstrip(".")
    found = [Link(f"{at}stem.kernel", (f"{stem}.conv.weight",), SAME)]
    found += _layer(f"{at}norm", f"{stem}.norm")
    for index, (stage, unit, project) in enumerate(bottlenecks(spec)):
        ours, theirs = f"{at}blocks.{index}", f"{to}stages.{stage}.blocks.{unit}"
        for n in (1, 2, 3):
            found.append(Link(f"{ours}.conv{n}.kernel", (f"{theirs}.conv{n}.weight",), SAME))
            found += _layer(f"{ours}.norm{n}", f"{theirs}.norm{n}")
        if project:
            kernel = f"{theirs}.downsample.conv.weight"
            found.append(Link(f"{ours}.projection.0.kernel", (kernel,), SAME))
            found += _layer(f"{ours}.projection.1", f"{theirs}.downsample.norm")
    return found


def _transformer(spec: ModelSpec) -> list[Link]:
    vit, at = spec.transformer, embedding_prefix(spec)
    found = [
        Link(f"{at}kernel", ("patch_embed.proj.weight",), SAME),
        Link(f"{at}bias", ("patch_embed.proj.bias",), SAME),
    ]
    if vit.pool == "token":
        found.append(Link("class_token", ("cls_token",), SAME))
    if table := table_name(spec):
        found.append(Link(table, ("pos_embed",), BATCHED))
    for layer in range(vit.depth):
        for ours, theirs in _BLOCK.items():
            found += _layer(f"blocks.{layer}.{ours}", f"blocks.{layer}.{theirs}")
    found += _layer("norm", "norm")
    if vit.pre_logits is not None:
        found += _layer("pre_logits.0", "pre_logits.fc")
    return found
