"""Published and small Vision Transformer sizes, and how their names are read.

A name is ``SIZE``, ``SIZE/PATCH`` or ``SIZE/PATCH@RESOLUTION``: ``vit-b/16@384`` is ViT-Base
with 16x16 patches on 384x384 images.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from vitexp.errors import VitexpError, unknown
from vitexp.spec import ModelSpec, ViTShape

_PAPER = "ViT paper (arXiv 2010.11929), Table 1"
_AUGREG = "AugReg paper (arXiv 2106.10270), Table 1"
_SMALL = "vitexp, for small images on a laptop"


@dataclass(frozen=True)
class Size:
    """The widths and depth that a name stands for.

    Attributes:
        name: on the command line, without the patch.
        width, depth, heads, mlp: as in :class:`vitexp.spec.ViTShape`.
        patches: sides of a patch that go with it, in pixels; the first is the usual one.
        resolution: side of the images it is listed with, in pixels.
        source: where the numbers are from.
    """

    name: str
    width: int
    depth: int
    heads: int
    mlp: int
    patches: tuple[int, ...]
    resolution: int
    source: str


SIZES = {
    size.name: size
    for size in (
        Size("vit-xxs", 64, 4, 4, 256, (2, 1, 4), 8, _SMALL),
        Size("vit-xs", 128, 6, 4, 512, (4, 8), 32, _SMALL),
        Size("vit-ti", 192, 12, 3, 768, (16,), 224, _AUGREG),
        Size("vit-s", 384, 12, 6, 1536, (16, 32), 224, _AUGREG),
        Size("vit-b", 768, 12, 12, 3072, (16, 32), 224, _PAPER),
        Size("vit-l", 1024, 24, 16, 4096, (16, 32), 224, _PAPER),
        Size("vit-h", 1280, 32, 16, 5120, (14,), 224, _PAPER),
    )
}

NAMES = tuple(f"{size.name}/{patch}" for size in SIZES.values() for patch in size.patches)
"""Every size with the patches that go with it; any other patch may be written, too."""


@dataclass(frozen=True)
class Named:
    """What a model's name says: its size and, where written, patch and resolution in pixels."""

    size: Size
    patch: int | None
    resolution: int | None


def parse(name: str) -> Named:
    """Read ``vit-b``, ``vit-b/16`` or ``vit-b/16@384``.

    Raises:
        VitexpError: no such size; lists the names and the nearest.
    """
    form = re.fullmatch(r"([^/@]+)(?:/([1-9]\d*))?(?:@([1-9]\d*))?", name.strip().lower())
    if form is None or form[1].replace("_", "-") not in SIZES:
        raise _unknown(name)
    size = SIZES[form[1].replace("_", "-")]
    return Named(size, *(int(part) if part else None for part in (form[2], form[3])))


def _unknown(name: str) -> VitexpError:
    error = unknown("model", name, NAMES)
    return VitexpError(error.problem, f"{error.remedy} Or a file: my_net.py:MyNet.")


def listed() -> list[ModelSpec]:
    """Each of :data:`NAMES` at its own resolution, RGB, with 1000 classes."""
    return [_listed(size, patch) for size in SIZES.values() for patch in size.patches]


def _listed(size: Size, patch: int) -> ModelSpec:
    shape = ViTShape(patch, size.width, size.depth, size.heads, size.mlp)
    name = f"{size.name}/{patch}"
    return ModelSpec("vit", size.resolution, channels=3, classes=1000, vit=shape, name=name)
