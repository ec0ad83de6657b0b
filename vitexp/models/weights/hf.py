"""The names of Hugging Face's ViTForImageClassification.

``links``: those of its published files, which every version of the library reads; ``links_5``:
those of the state dicts in memory since version 5. Its ``vit.pooler`` is the tanh layer that the
paper calls pre-logits.
"""

from __future__ import annotations

from dataclasses import dataclass

from vitexp.errors import VitexpError
from vitexp.models.weights.link import BATCHED, SAME, THIRDS, Form, Link, table_name
from vitexp.spec import ModelSpec


@dataclass(frozen=True)
class _Names:
    """What the two sets of names differ in."""

    layer: str
    qkv: tuple[str, ...]
    projection: str
    expand: str
    contract: str


_FILES = _Names(
    layer="vit.encoder.layer",
    qkv=tuple(f"attention.attention.{part}" for part in ("query", "key", "value")),
    projection="attention.output.dense",
    expand="intermediate.dense",
    contract="output.dense",
)
_MEMORY_5 = _Names(
    layer="vit.layers",
    qkv=tuple(f"attention.{part}_proj" for part in "qkv"),
    projection="attention.o_proj",
    expand="mlp.fc1",
    contract="mlp.fc2",
)


def links(spec: ModelSpec) -> list[Link]:
    """Every parameter of the model under its name in published files.

    Raises:
        VitexpError: a hybrid, a ResNet or mean pooling, which that class does not have.
    """
    return _links(spec, _FILES)


def links_5(spec: ModelSpec) -> list[Link]:
    """Every parameter of the model under its name in memory since version 5; as :func:`links`."""
    return _links(spec, _MEMORY_5)


def _links(spec: ModelSpec, names: _Names) -> list[Link]:
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
        found += _block(f"blocks.{layer}", f"{names.layer}.{layer}", names)
    found += _layer("norm", "vit.layernorm")
    if spec.transformer.pre_logits is not None:
        found += _layer("pre_logits.0", "vit.pooler.dense")
    return [*found, *_layer("head", "classifier")]


def _layer(ours: str, *theirs: str, form: Form = SAME) -> list[Link]:
    return [
        Link(f"{ours}.{kind}", tuple(f"{name}.{kind}" for name in theirs), form)
        for kind in ("weight", "bias")
    ]


def _block(ours: str, theirs: str, names: _Names) -> list[Link]:
    qkv = (f"{theirs}.{part}" for part in names.qkv)
    return [
        *_layer(f"{ours}.norm1", f"{theirs}.layernorm_before"),
        *_layer(f"{ours}.attention.qkv", *qkv, form=THIRDS),
        *_layer(f"{ours}.attention.projection", f"{theirs}.{names.projection}"),
        *_layer(f"{ours}.norm2", f"{theirs}.layernorm_after"),
        *_layer(f"{ours}.expand", f"{theirs}.{names.expand}"),
        *_layer(f"{ours}.contract", f"{theirs}.{names.contract}"),
    ]
