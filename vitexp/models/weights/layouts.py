"""In which layout a file is, which models none of ours is, and what no file says."""

from __future__ import annotations

import re
from collections.abc import Iterator

from vitexp.amounts import count
from vitexp.errors import VitexpError
from vitexp.models.weights import LAYOUTS
from vitexp.models.weights.link import Link
from vitexp.models.weights.sources import Source
from vitexp.spec import ModelSpec

# A name that only one layout has -> that layout.
_SIGNS = {
    r"^Transformer/|^conv_root/|^embedding/kernel": "npz",
    r"^vit\.layers\.": "hf5",
    r"^vit\.encoder\.": "hf",
    r"^patch_embed\.|\.blocks\.\d+\.downsample\.|^stem\.conv\.": "timm",
    r"^embedding\.(kernel|trunk)|^trunk\.": "vitexp",
}

_BIT = "a pre-activation (BiT) ResNet; those here are post-activation, as in the paper's counts"
_SCALED = r"\.ls1\.gamma$|\.layer_scale1\.|\.gamma_1$|\.lambda_1$"

# Names that give away a model which none of ours is -> what it is, and what is missing here.
_OTHERS: dict[tuple[str, ...], str] = {
    (r"standardized_conv2d|^resnet/root_block|^bit\.norm\.",): _BIT,
    (r"(^|\.)(dist_token|distillation_token)$",): (
        "a distilled DeiT, which has a second class token; models here have one"
    ),
    (r"relative_position_bias|rel_pos_bias",): (
        "a BEiT or Swin, which has a table of relative biases in every block; none here has"
    ),
    (r"(^|\.)(reg_token|register_tokens)$",): (
        "a ViT with register tokens, as DINOv2's; models here have none"
    ),
    (_SCALED, r"(^|\.)mask_token$"): (
        "DINOv2 or a kin of it, whose branches have factors of their own (LayerScale); no model "
        "here has them"
    ),
    (_SCALED,): (
        "a ViT whose branches have factors of their own (LayerScale), as DeiT-III; no model here "
        "has them"
    ),
    (r"(^|\.)(ln_pre|pre_layrnorm|norm_pre)\.",): (
        "CLIP's image tower, which has a norm before its first block; models here have none"
    ),
    (r"(^|\.)attn_pool\.|^vision_model\.head\.",): (
        "a SigLIP, which pools by attention; models here by a class token or a mean"
    ),
    (r"\.attn\.(q_norm|k_norm)\.",): ("a ViT that normalises queries and keys; models here do not"),
    (r"\.mlp\.(w12|fc1_g|w1)\.",): "a ViT with gated MLPs (SwiGLU); models here have plain ones",
    (r"^fc_norm\.",): "a ViT that normalises after pooling; those here normalise before it",
}


def links_of(spec: ModelSpec, source: Source) -> list[Link]:
    """The links of the layout that the file ``source`` is in.

    Raises:
        VitexpError: none of them, a known other model, or a layout that cannot hold ``spec``.
    """
    links: list[Link] = LAYOUTS.load(layout_of(source))(spec)
    return links


def layout_of(source: Source) -> str:
    """Name of the layout that a file is in.

    Raises:
        VitexpError: none that is known, or a known other model.
    """
    for signs, what in _OTHERS.items():
        if all(any(re.search(sign, name) for name in source.shapes) for sign in signs):
            raise _other(source, what)
    if "stem.conv.weight" in source.shapes and "stem.norm.weight" not in source.shapes:
        raise _other(source, _BIT)
    for sign, layout in _SIGNS.items():
        if any(re.search(sign, name) for name in source.shapes):
            return layout
    some = ", ".join(list(source.shapes)[:3]) or "none at all"
    raise VitexpError(
        f"{source.path} has tensors of no known layout, such as {some}.",
        f"Layouts that are known: {', '.join(LAYOUTS)}.",
    )


def _other(source: Source, what: str) -> VitexpError:
    return VitexpError(f"{source.path} is {what}.", "It cannot be converted; choose another file.")


def assumed(spec: ModelSpec, layout: str) -> tuple[str, ...]:
    """What is taken for granted about a file's model, since names and shapes do not tell it.

    Args:
        layout: of a file that does not say itself which model it is of.
    """
    return tuple(_assumed(spec, layout))


def _assumed(spec: ModelSpec, layout: str) -> Iterator[str]:
    if vit := spec.vit:
        if layout != "npz":
            yield f"{count(vit.heads, 'head')} of {vit.width // vit.heads} in each block"
        yield f"GELU in its {vit.gelu} form, norms with an epsilon of 1e-6"
        if vit.pool == "gap":
            yield "the mean of all tokens, taken after the last norm"
    if spec.trunk and layout == "timm":
        yield "SAME padding (timm's stem 'same', not 'fixed')"
    if spec.trunk:
        yield (
            "norms of 32 groups" if spec.trunk.stem == "imagenet" else "norms of 8 channels a group"
        )
    yield "images scaled to [-1, 1]"
