"""Weights in and out: a file's tensors into a model, a model's tensors into a file."""

from __future__ import annotations

import dataclasses
import math
import re
import secrets
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from vitexp.errors import VitexpError
from vitexp.models.build import skeleton
from vitexp.models.vit import ViT
from vitexp.models.weights import LAYOUTS
from vitexp.models.weights.copies import open_weights
from vitexp.models.weights.header import header
from vitexp.models.weights.layouts import links_of
from vitexp.models.weights.link import Link
from vitexp.models.weights.sources import Shape, Source, damaged
from vitexp.positions.base import Interpolation, Resizable
from vitexp.spec import Copy, ModelSpec

Reach = Literal["all", "features", "body"]
"""How much of a model: all, what its features need, or that without the layer before the head."""

_LEFT: dict[Reach, tuple[tuple[str, ...], str]] = {
    "all": ((), r"(?!)"),
    "features": (("head.",), r"^(head|classifier)\b"),
    "body": (("head.", "pre_logits."), r"^(head|classifier|pre_logits|vit\.pooler)\b"),
}
"""How our names begin that are not read, and what theirs look like, in any layout."""

_POSITION = "position."


def load_weights(
    model: nn.Module,
    spec: ModelSpec,
    path: Path,
    reach: Reach = "all",
    resize: Interpolation | None = None,
    copy: Copy | None = None,
) -> None:
    """Copies the weights in a file into ``model``, one tensor at a time.

    Args:
        model: of ``spec``; changed only if all names and shapes of the file fit.
        spec: what ``model`` was built from.
        path: of any of the layouts in ``LAYOUTS``.
        reach: how much is read; the rest of ``model`` stays as it is.
        resize: how to bring positional tables to the model's grid; None: they have to fit.
        copy: as for :func:`vitexp.models.weights.copies.open_weights`.

    Raises:
        VitexpError: not a checkpoint, or one of another model.
    """
    source = open_weights(path, copy)
    links = check(spec, source, reach, resize is not None)
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


def fitted(spec: ModelSpec, source: Source) -> ModelSpec:
    """``spec`` with the classes, channels, pool and pre-logits layer that a file was made with.

    Raises:
        VitexpError: none of a known layout.
    """
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


def has_head(spec: ModelSpec, source: Source) -> bool:
    """Whether a file holds a classifier."""
    heads = [link for link in links_of(spec, source) if link.ours.startswith("head.")]
    return any(name in source.shapes for link in heads for name in link.theirs)


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


def check(
    spec: ModelSpec, source: Source, reach: Reach = "all", resize: bool = False
) -> list[Link]:
    """Holds a file's names and shapes against the model's; arguments as in load_weights.

    Returns:
        The links to read.

    Raises:
        VitexpError: with the tensors in question and what would mend it.
    """
    state = skeleton(spec).state_dict()
    every, (left, theirs) = links_of(spec, source), _LEFT[reach]
    links = [link for link in every if not link.ours.startswith(left)]
    unlinked = sorted(state.keys() - {link.ours for link in every})
    wrong = {name: f"{name} is not in files of this layout" for name in unlinked}
    for link in links:
        table = link.ours.startswith(_POSITION)
        for name, shape in zip(link.theirs, _shapes(link, state[link.ours]), strict=True):
            why = _misfit(source, name, shape)
            if why and table and name in source.shapes:
                why = _no_grid(source.shapes[name], shape, spec) or (None if resize else why)
            if why:
                wrong[name] = f"{name} {why}"
    known = {name for link in every for name in link.theirs}
    for name in sorted(set(source.shapes) - known - set(source.odd)):
        if not re.search(theirs, name):
            wrong[name] = f"{name} has no place"
    if wrong:
        some = "; ".join(list(wrong.values())[:6])
        more = f"; and {len(wrong) - 6} more" if len(wrong) > 6 else ""
        raise VitexpError(
            f"{source.path} does not fit {spec.name or spec.family}: {some}{more}.", _fix(wrong)
        )
    return links


def _misfit(source: Source, name: str, shape: Shape) -> str | None:
    """What is wrong with one tensor of a file."""
    found = source.shapes.get(name)
    if found is None:
        return "is missing"
    if name in source.odd:
        return f"holds {source.odd[name]} instead of floating-point numbers"
    if _plain(found) != _plain(shape):
        return f"is {_times(found)} instead of {_times(shape)}"
    return None


def _no_grid(found: Shape, shape: Shape, spec: ModelSpec) -> str | None:
    """Why a positional table is not one of the model's on another square grid, as far as shows."""
    if found[-1:] != shape[-1:]:
        return f"is {_times(found)} instead of {_times(shape)}"
    rows, vit = math.prod(found[:-1]), spec.transformer
    if vit.position.kind != "learned_1d" or _is_square(rows - (vit.pool == "token")):
        return None
    if _is_square(rows):
        return "has no row for the class token"
    return f"has {rows} rows, which are no square grid and a class token"


def _is_square(number: int) -> bool:
    return math.isqrt(number) ** 2 == number


def _plain(shape: Shape) -> Shape:
    """Without leading ones, which some writers of the same layout leave out."""
    ones = next((i for i, length in enumerate(shape) if length != 1), len(shape))
    return shape[ones:]


def _times(shape: Shape) -> str:
    return "x".join(map(str, shape)) or "a number"


def _fix(wrong: Mapping[str, str]) -> str:
    if all(re.search(_LEFT["body"][1], name) for name in wrong):
        return "Only the head differs: load the file without its head, or build that head."
    if all(re.search("pos", name) and "instead" in why for name, why in wrong.items()):
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
