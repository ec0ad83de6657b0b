"""The names of the official checkpoints (google-research/vision_transformer, big_vision).

ViT and hybrid as in vit_jax/models_vit.py, ResNet as in big_vision/models/bit.py. In some of
these files scale and bias of a GroupNorm have the shape (1, 1, 1, C), in others (C,); both are
read, the first is written.
"""

from __future__ import annotations

import torch

from vitexp.models.weights.link import (
    BATCHED,
    HWIO,
    SAME,
    TRANSPOSED,
    Form,
    Link,
    bottlenecks,
    embedding_prefix,
    table_name,
    trunk_prefix,
)
from vitexp.spec import ModelSpec

_NORM = Form(lambda parts: parts[0].flatten(), lambda ours: [ours[None, None, None]])


def links(spec: ModelSpec) -> list[Link]:
    """Every parameter of the model under its official name."""
    found = _trunk(spec) if spec.trunk else []
    if spec.vit:
        found += _transformer(spec)
    return [*found, *_dense("head", "head")]


def _dense(ours: str, theirs: str) -> list[Link]:
    return [
        Link(f"{ours}.weight", (f"{theirs}/kernel",), TRANSPOSED),
        Link(f"{ours}.bias", (f"{theirs}/bias",), SAME),
    ]


def _norm(ours: str, theirs: str, form: Form = SAME) -> list[Link]:
    return [
        Link(f"{ours}.weight", (f"{theirs}/scale",), form),
        Link(f"{ours}.bias", (f"{theirs}/bias",), form),
    ]


def _trunk(spec: ModelSpec) -> list[Link]:
    at = trunk_prefix(spec)
    found = [Link(f"{at}stem.kernel", ("conv_root/kernel",), HWIO)]
    found += _norm(f"{at}norm", "gn_root", _NORM)
    for index, (stage, unit, project) in enumerate(bottlenecks(spec)):
        ours, theirs = f"{at}blocks.{index}", f"block{stage + 1}/unit{unit + 1}"
        for n in (1, 2, 3):
            found.append(Link(f"{ours}.conv{n}.kernel", (f"{theirs}/conv{n}/kernel",), HWIO))
            found += _norm(f"{ours}.norm{n}", f"{theirs}/gn{n}", _NORM)
        if project:
            kernel = f"{theirs}/conv_proj/kernel"
            found.append(Link(f"{ours}.projection.0.kernel", (kernel,), HWIO))
            found += _norm(f"{ours}.projection.1", f"{theirs}/gn_proj", _NORM)
    return found


def _transformer(spec: ModelSpec) -> list[Link]:
    vit, at = spec.transformer, embedding_prefix(spec)
    found = [
        Link(f"{at}kernel", ("embedding/kernel",), HWIO),
        Link(f"{at}bias", ("embedding/bias",), SAME),
    ]
    if vit.pool == "token":
        found.append(Link("class_token", ("cls",), SAME))
    if table := table_name(spec):
        found.append(Link(table, ("Transformer/posembed_input/pos_embedding",), BATCHED))
    for layer in range(vit.depth):
        found += _block(f"blocks.{layer}", f"Transformer/encoderblock_{layer}", vit.heads)
    found += _norm("norm", "Transformer/encoder_norm")
    if vit.pre_logits is not None:
        found += _dense("pre_logits.0", "pre_logits")
    return found


def _block(ours: str, theirs: str, heads: int) -> list[Link]:
    attention = f"{theirs}/MultiHeadDotProductAttention_1"
    parts = [f"{attention}/{part}" for part in ("query", "key", "value")]
    kernels, biases = ([f"{part}/{kind}" for part in parts] for kind in ("kernel", "bias"))
    return [
        *_norm(f"{ours}.norm1", f"{theirs}/LayerNorm_0"),
        Link(f"{ours}.attention.qkv.weight", tuple(kernels), _heads_kernel(heads)),
        Link(f"{ours}.attention.qkv.bias", tuple(biases), _heads_bias(heads)),
        Link(f"{ours}.attention.projection.weight", (f"{attention}/out/kernel",), _out(heads)),
        Link(f"{ours}.attention.projection.bias", (f"{attention}/out/bias",), SAME),
        *_norm(f"{ours}.norm2", f"{theirs}/LayerNorm_2"),
        *_dense(f"{ours}.expand", f"{theirs}/MlpBlock_3/Dense_0"),
        *_dense(f"{ours}.contract", f"{theirs}/MlpBlock_3/Dense_1"),
    ]


def _heads_kernel(heads: int) -> Form:
    """Three (D, H, d) instead of one (3 D, D)."""
    return Form(
        lambda parts: torch.cat([part.flatten(1).T for part in parts]),
        lambda ours: [part.T.reshape(len(part), heads, -1) for part in ours.chunk(3)],
    )


def _heads_bias(heads: int) -> Form:
    """Three (H, d) instead of one (3 D)."""
    return Form(
        lambda parts: torch.cat([part.flatten() for part in parts]),
        lambda ours: [part.reshape(heads, -1) for part in ours.chunk(3)],
    )


def _out(heads: int) -> Form:
    """(H, d, D) instead of (D, D)."""
    return Form(
        lambda parts: parts[0].flatten(0, 1).T, lambda ours: [ours.T.reshape(heads, -1, len(ours))]
    )
