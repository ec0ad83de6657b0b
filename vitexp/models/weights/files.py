"""Weights in and out: a file's tensors into a model, a model's tensors into a file."""

from __future__ import annotations

import dataclasses
import re
import secrets
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from vitexp.errors import VitexpError
from vitexp.models.build import skeleton
from vitexp.models.vit import ViT
from vitexp.models.weights import LAYOUTS
from vitexp.models.weights.header import header
from vitexp.models.weights.link import Link
from vitexp.models.weights.sources import Shape, Source, damaged, open_source
from vitexp.positions.base import Interpolation, Resizable
from vitexp.spec import ModelSpec

_HEAD = ("head.", "pre_logits.")
_POSITION = "position."
_HEADS = r"^(head|classifier|pre_logits|vit\.pooler)\b"
"""Names of a head and of what stands before it, in any layout."""

# A name that only one layout has -> that layout.
_SIGNS = {
    r"^Transformer/|^conv_root/|^embedding/kernel": "npz",
    r"^vit\.layers\.": "hf5",
    r"^vit\.encoder\.": "hf",
    r"^patch_embed\.|\.blocks\.\d+\.downsample\.|^stem\.conv\.": "timm",
    r"^embedding\.(kernel|trunk)|^trunk\.": "vitexp",
}

_BIT = "a pre-activation (BiT) ResNet; those here are post-activation, as in the paper's counts"

# A name that gives away a model which none of ours is -> what it is.
_OTHERS = {
    r"standardized_conv2d|^resnet/root_block|^bit\.norm\.": _BIT,
    r"^fc_norm\.": "a ViT that normalises after pooling; those here normalise before it",
    r"^(dist_token|distillation_token)$": "a distilled DeiT, which has a second class token",
}


def load_weights(
    model: nn.Module,
    spec: ModelSpec,
    path: Path,
    head: bool = True,
    resize: Interpolation | None = None,
) -> None:
    """Copies the weights in a file into ``model``, one tensor at a time.

    Args:
        model: of ``spec``; changed only if all names and shapes of the file fit.
        spec: what ``model`` was built from.
        path: of any of the layouts in ``LAYOUTS``.
        head: whether the head and the pre-logits layer are read, too; else they stay as they are.
        resize: how to bring positional tables to the model's grid; None: they have to fit.

    Raises:
        VitexpError: not a checkpoint, or one of another model.
    """
    source = open_source(path)
    links = check(spec, source, head, resize is not None)
    state = model.state_dict()
    shapes = {link.ours: _shapes(link, state[link.ours]) for link in links}
    other = [
        link
        for link in links
        if link.ours.startswith(_POSITION)
        and list(map(_plain, _found(source, link))) != list(map(_plain, shapes[link.ours]))
    ]
    for link in links:
        if link not in other:
            state[link.ours].copy_(_packed(source, link, shapes[link.ours]))
    if other and resize:
        _resize(model, source, other, resize)


def _resize(model: nn.Module, source: Source, links: list[Link], how: Interpolation) -> None:
    """Copies a file's positional tables into a model of another grid."""
    assert isinstance(model, ViT)
    if not isinstance(model.position, Resizable):
        raise VitexpError(
            f"The positions of {source.path} are for another grid, and"
            f" {type(model.position).__name__} does not say how they are resized.",
            "Give it a method `resized`, as in vitexp/positions/base.py.",
        )
    state = model.position.state_dict()
    learned = {
        link.ours.removeprefix(_POSITION): _packed(source, link, _found(source, link))
        for link in links
    }
    for name, table in model.position.resized(learned, how).items():
        state[name].copy_(table)


def links_of(spec: ModelSpec, source: Source) -> list[Link]:
    """The links of the layout that the file ``source`` is in.

    Raises:
        VitexpError: none of them, a known other model, or a layout that cannot hold ``spec``.
    """
    for sign, what in _OTHERS.items():
        if any(re.search(sign, name) for name in source.shapes):
            raise _other(source, what)
    if "stem.conv.weight" in source.shapes and "stem.norm.weight" not in source.shapes:
        raise _other(source, _BIT)
    links: list[Link] = LAYOUTS.load(layout_of(source))(spec)
    return links


def _other(source: Source, what: str) -> VitexpError:
    return VitexpError(f"{source.path} is {what}.", "It cannot be converted; choose another file.")


def layout_of(source: Source) -> str:
    """Name of the layout that a file is in.

    Raises:
        VitexpError: none that is known.
    """
    for sign, layout in _SIGNS.items():
        if any(re.search(sign, name) for name in source.shapes):
            return layout
    some = ", ".join(list(source.shapes)[:3]) or "none at all"
    raise VitexpError(
        f"{source.path} has tensors of no known layout, such as {some}.",
        f"Layouts that are known: {', '.join(LAYOUTS)}.",
    )


def fitted(spec: ModelSpec, path: Path) -> ModelSpec:
    """``spec`` with the classes, channels, pool and pre-logits layer that a file was made with.

    Raises:
        VitexpError: not a checkpoint, or none of a known layout.
    """
    source = open_source(path)
    vit = spec.vit and dataclasses.replace(spec.vit, pre_logits=spec.vit.pre_logits or 1)
    meta = skeleton(dataclasses.replace(spec, vit=vit)).state_dict()
    links = {link.ours: link for link in links_of(dataclasses.replace(spec, vit=vit), source)}

    def found(ours: str) -> Shape | None:
        link = links.get(ours)
        return source.shapes.get(link.theirs[0]) if link else None

    if classes := found("head.bias"):
        spec = dataclasses.replace(spec, classes=classes[0])
    first = next(name for name in links if name.endswith("kernel"))
    if kernel := found(first):
        share = torch.Size(kernel).numel() * spec.channels / meta[first].numel()
        spec = dataclasses.replace(spec, channels=int(share) if share in (1, 3) else spec.channels)
    if spec.vit is None:
        return spec
    hidden = found("pre_logits.0.bias")
    pool = spec.vit.pool if found("class_token") else "gap"
    vit = dataclasses.replace(spec.vit, pre_logits=hidden[0] if hidden else None, pool=pool)
    return dataclasses.replace(spec, vit=vit)


def _shapes(link: Link, ours: Tensor) -> list[Shape]:
    return [tuple(part.shape) for part in link.form.unpack(ours.to("meta"))]


def _found(source: Source, link: Link) -> list[Shape]:
    return [source.shapes[name] for name in link.theirs]


def _packed(source: Source, link: Link, shapes: list[Shape]) -> Tensor:
    try:
        pairs = zip(link.theirs, shapes, strict=True)
        return link.form.pack([source.read(name).reshape(shape) for name, shape in pairs])
    except (OSError, ValueError, RuntimeError, EOFError) as error:
        raise damaged(source.path, error) from error


def check(spec: ModelSpec, source: Source, head: bool = True, resize: bool = False) -> list[Link]:
    """Holds a file's names and shapes against the model's; arguments as in load_weights.

    Returns:
        The links to read.

    Raises:
        VitexpError: with the tensors in question and what would mend it.
    """
    state = skeleton(spec).state_dict()
    every = links_of(spec, source)
    links = [link for link in every if head or not link.ours.startswith(_HEAD)]
    unlinked = sorted(state.keys() - {link.ours for link in every})
    wrong = {name: f"{name} is not in files of this layout" for name in unlinked}
    for link in links:
        free = resize and link.ours.startswith(_POSITION)
        for name, shape in zip(link.theirs, _shapes(link, state[link.ours]), strict=True):
            found = source.shapes.get(name)
            if found is None:
                wrong[name] = f"{name} is missing"
            elif _plain(found) != _plain(shape) and not free:
                wrong[name] = f"{name} is {_times(found)} instead of {_times(shape)}"
    known = {name for link in every for name in link.theirs}
    for name in sorted(set(source.shapes) - known):
        if head or not re.search(_HEADS, name):
            wrong[name] = f"{name} has no place"
    if wrong:
        some = "; ".join(list(wrong.values())[:6])
        more = f"; and {len(wrong) - 6} more" if len(wrong) > 6 else ""
        raise VitexpError(
            f"{source.path} does not fit {spec.name or spec.family}: {some}{more}.", _fix(wrong)
        )
    return links


def _plain(shape: Shape) -> Shape:
    """Without leading ones, which some writers of the same layout leave out."""
    ones = next((i for i, length in enumerate(shape) if length != 1), len(shape))
    return shape[ones:]


def _times(shape: Shape) -> str:
    return "x".join(map(str, shape)) or "a number"


def _fix(wrong: Mapping[str, str]) -> str:
    if all(re.search(_HEADS, name) for name in wrong):
        return "Only the head differs: load the file without its head, or build that head."
    if all(re.search("pos", name) for name in wrong):
        return "Only the grid differs: choose the file's own resolution, or resize the positions."
    return "Choose the model that the file was made from; `vitexp models` lists them."


def exported(state: Mapping[str, Tensor], spec: ModelSpec, layout: str) -> dict[str, Tensor]:
    """A model's weights under the names of another layout.

    Args:
        state: the state dict of a model of ``spec``.

    Raises:
        VitexpError: unknown layout, or one that cannot hold the model, such as parameters of a
            user's own class.
    """
    links: list[Link] = LAYOUTS.load(layout)(spec)
    if lost := sorted({link.ours for link in links} ^ set(state)):
        raise VitexpError(
            f"The layout {layout} does not fit this model: {', '.join(lost[:6])}.",
            "Use the layout vitexp, which holds every parameter under its own name.",
        )
    pairs = ((link, link.form.unpack(state[link.ours])) for link in links)
    return {
        name: part.clone(memory_format=torch.contiguous_format)
        for link, parts in pairs
        for name, part in zip(link.theirs, parts, strict=True)
    }


def write(tensors: Mapping[str, Tensor], layout: str, path: Path, spec: ModelSpec) -> None:
    """Writes exported tensors, whole or not at all: ``.npz`` for that layout, else safetensors;
    in our own layout the file says which model it is of.

    Raises:
        VitexpError: the file exists already.
    """
    if path.exists():
        raise VitexpError(f"{path} exists already.", "Remove it, or choose another name.")
    temporary = path.with_name(f".tmp-{secrets.token_hex(6)}-{path.name}")
    try:
        if layout == "npz":
            _write_npz(tensors, temporary)
        else:
            ours = layout == "vitexp"
            save_file(dict(tensors), temporary, header(spec) if ours else {"format": "pt"})
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _write_npz(tensors: Mapping[str, Tensor], path: Path) -> None:
    with zipfile.ZipFile(path, "w") as file:
        for name, value in tensors.items():
            with file.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, value.numpy(), allow_pickle=False)
