"""A model as Hugging Face's ViTForImageClassification: its config.json and its tensors.

That class adds one table to its tokens and pools by a class token. So whatever signal is a table
added at the stem can be held, also a fixed one, and no other.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from vitexp.models.build import build, skeleton
from vitexp.models.vit import ViT
from vitexp.models.weights.files import exported
from vitexp.positions.base import Additive
from vitexp.spec import ModelSpec, PositionSpec

_ACTIVATIONS = {"exact": "gelu", "tanh": "gelu_pytorch_tanh"}


def misfit(spec: ModelSpec) -> str | None:
    """What a model has that ViTForImageClassification has not; None where it can be one."""
    if spec.family != "vit" or spec.vit is None:
        return "it is no plain Vision Transformer"
    if spec.vit.pool != "token":
        return "it pools by the mean of its tokens"
    if spec.vit.pre_logits is not None:
        return "it has a layer before its head"
    if not _at_the_stem(skeleton(spec)):
        position = spec.vit.position
        return f"its position is {position.kind} ({position.placement}), no table at the stem alone"
    return None


def config(spec: ModelSpec) -> dict[str, Any]:
    """The ``config.json`` of a model without a :func:`misfit`."""
    vit = spec.transformer
    return {
        "architectures": ["ViTForImageClassification"],
        "model_type": "vit",
        "image_size": spec.image_size,
        "patch_size": vit.patch,
        "num_channels": spec.channels,
        "hidden_size": vit.width,
        "num_hidden_layers": vit.depth,
        "num_attention_heads": vit.heads,
        "intermediate_size": vit.mlp,
        "hidden_act": _ACTIVATIONS[vit.gelu],
        "layer_norm_eps": 1e-6,
        "qkv_bias": True,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "id2label": {str(index): str(index) for index in range(spec.classes)},
        "label2id": {str(index): index for index in range(spec.classes)},
    }


def tensors(state: Mapping[str, Tensor], spec: ModelSpec) -> dict[str, Tensor]:
    """The weights of a model without a :func:`misfit`, under the names of published files."""
    model = build(spec, seed=0)
    model.load_state_dict(state)
    assert isinstance(model, ViT) and isinstance(model.position, Additive)
    with torch.no_grad():
        table = model.position.table(0)
    if table is None:
        table = torch.zeros(model.geometry.tokens, model.geometry.width)
    vit = dataclasses.replace(spec.transformer, position=PositionSpec("learned_1d"))
    rest = {name: value for name, value in state.items() if not name.startswith("position.")}
    plain = rest | {"position.tables.places.0.embedding": table}
    return exported(plain, dataclasses.replace(spec, vit=vit), "hf")


def _at_the_stem(model: Any) -> bool:
    """Whether the position is a table that is added to the input of the first block alone."""
    position = model.position
    later = range(1, len(model.blocks))
    return isinstance(position, Additive) and all(position.table(b) is None for b in later)
