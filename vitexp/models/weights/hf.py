"""The names of Hugging Face's ViTForImageClassification, as its published files have them.

Its ``vit.pooler`` is the tanh layer that the paper calls pre-logits.
"""

from __future__ import annotations

from vitexp.errors import VitexpError
from vitexp.models.weights.link import BATCHED, SAME, THIRDS, Form, Link, table_name
from vitexp.spec import ModelSpec

_BLOCK = {
    "norm1": "layernorm_before",
    "attention.projection": "attention.output.dense",
    "norm2": "layernorm_after",
    "expand": "intermediate.dense",
    "contract": "output.dense",
}


def links(spec: ModelSpec) -> list[Link]:
    """Every parameter of the model under its name there.

    Raises:
        VitexpError: a hybrid, a ResNet or mean pooling, which that class does not have.
    """
    if spec.trunk or spec.transformer.pool != "token":
        raise VitexpError(
            f"The layout hf holds ViTs with a class token, and {spec.name} is not one.",
            "Use the layout timm, npz or vitexp.",
        )
    found = [
        Link("embedding.kernel", ("vit.embeddings.patch_embeddings.projection.weight",), SAME),
        Link("embedding.bias", ("vit.embeddings.patch_embeddings.projection.bias",), SAME),
        Link("class_token", ("vit.embeddings.cls_token",), SAME),
    ]
    if table := table_name(spec):
        found.append(Link(table, ("vit.embeddings.position_embeddings",), BATCHED))
    for layer in range(spec.transformer.depth):
        found += _block(f"blocks.{layer}", f"vit.encoder.layer.{layer}")
    found += _layer("norm", ("vit.layernorm",))
    if spec.transformer.pre_logits is not None:
        found += _layer("pre_logits.0", ("vit.pooler.dense",))
    return [*found, *_layer("head", ("classifier",))]


def _layer(ours: str, theirs: tuple[str, ...], form: Form = SAME) -> list[Link]:
    return [
        Link(f"{ours}.{kind}", tuple(f"{name}.{kind}" for name in theirs), form)
        for kind in ("weight", "bias")
    ]


def _block(ours: str, theirs: str) -> list[Link]:
    parts = ("query", "key", "value")
    qkv = tuple(f"{theirs}.attention.attention.{part}" for part in parts)
    found = _layer(f"{ours}.attention.qkv", qkv, THIRDS)
    for name, there in _BLOCK.items():
        found += _layer(f"{ours}.{name}", (f"{theirs}.{there}",))
    return found
