"""Published and small sizes of the three families, and how a model's name is read.

A name is ``VIT[/PATCH]``, ``RESNET[xWIDTH]`` or ``RESNET[xWIDTH]+VIT[/STRIDE]``, each with
``@RESOLUTION`` behind it where one likes: ``vit-b/16@384`` is ViT-Base with 16x16 patches on
384x384 images; ``r50x2`` is ResNet-50 of double width; ``r50+vit-b/16`` is ViT-Base on the
feature map that ResNet-50 has at stride 16.
"""

from __future__ import annotations

import functools
import math
import re
from dataclasses import dataclass, replace
from typing import Any, Literal

from vitexp.errors import VitexpError, unknown
from vitexp.registry import is_reference
from vitexp.spec import ModelSpec, PositionSpec, ResNetShape, Stem, ViTShape

_PAPER = "ViT paper (arXiv 2010.11929), Table 1 and section 4.1"
_AUGREG = "AugReg paper (arXiv 2106.10270), Tables 1 and 2"
_BIT = "the paper's authors' big_vision/models/bit.py"
_SMALL = "vitexp, for small images"
_CIFAR = "He et al. 2015 (arXiv 1512.03385), section 4.2: basic blocks for 32x32, from 16 channels"
_HE = "He et al. 2016 (arXiv 1603.05027): their bottleneck nets for 32x32 start at 16 channels"


@dataclass(frozen=True)
class Size:
    """The widths and depth of a transformer.

    Attributes:
        name: on the command line, without the patch.
        width, depth, heads, mlp: as in :class:`vitexp.spec.ViTShape`.
        source: where the numbers are from.
    """

    name: str
    width: int
    depth: int
    heads: int
    mlp: int
    source: str


@dataclass(frozen=True)
class Trunk:
    """A ResNet before its width is chosen.

    Attributes:
        name: on the command line, without the width.
        blocks, stem, block: as in :class:`vitexp.spec.ResNetShape`.
        source: where the blocks are from.
    """

    name: str
    blocks: tuple[int, ...]
    stem: Stem
    source: str
    block: Literal["basic"] | None = None

    @property
    def base(self) -> int:
        """Channels of the stem at width x1."""
        return 64 if self.stem == "imagenet" else 16


SIZES = {
    size.name: size
    for size in (
        Size("vit-xxs", 64, 4, 4, 256, _SMALL),
        Size("vit-xs", 128, 6, 4, 512, _SMALL),
        Size("vit-ti", 192, 12, 3, 768, _AUGREG),
        Size("vit-s", 384, 12, 6, 1536, _AUGREG),
        Size("vit-b", 768, 12, 12, 3072, _PAPER),
        Size("vit-l", 1024, 24, 16, 4096, _PAPER),
        Size("vit-h", 1280, 32, 16, 5120, _PAPER),
    )
}

TRUNKS = {
    trunk.name: trunk
    for trunk in (
        Trunk("r", (), "imagenet", _AUGREG),
        Trunk("r8", (1, 1, 1), "small", _CIFAR, "basic"),
        Trunk("r14", (2, 2, 2), "small", _CIFAR, "basic"),
        Trunk("r11", (1, 1, 1), "small", _HE),
        Trunk("r20", (2, 2, 2), "small", _HE),
        Trunk("r26", (2, 2, 2, 2), "imagenet", _BIT),
        Trunk("r50", (3, 4, 6, 3), "imagenet", _BIT),
        Trunk("r101", (3, 4, 23, 3), "imagenet", _BIT),
        Trunk("r152", (3, 8, 36, 3), "imagenet", _BIT),
        Trunk("r200", (3, 24, 36, 3), "imagenet", _BIT),
    )
}

# Name, side of the images in pixels that it is listed with.
_ENTRIES = (
    *((f"vit-xxs/{patch}", 8) for patch in (2, 1, 4)),
    *((f"vit-xs/{patch}", 32) for patch in (4, 8)),
    ("vit-ti/4", 32),
    ("vit-ti/8", 64),
    *((name, 224) for name in ("vit-ti/16", "vit-s/16", "vit-s/32", "vit-b/8", "vit-b/16")),
    *((name, 224) for name in ("vit-b/32", "vit-l/16", "vit-l/32", "vit-h/14")),
    *((name, 8) for name in ("r8x2.5", "r11x1.75")),
    *((name, 32) for name in ("r8x2.75", "r14x4", "r11", "r11x2", "r20", "r20x3.5")),
    *((name, 224) for name in ("r50x1", "r50x2", "r101x1", "r152x1", "r152x2", "r200x3")),
    *((name, 8) for name in ("r8x0.75+vit-xxs/2", "r11x1.5+vit-xxs")),
    ("r8x0.5+vit-xs/4", 32),
    *((name, 32) for name in ("r20x0.75+vit-xxs/8", "r11x1.75+vit-xs/8", "r20+vit-ti")),
    *((name, 224) for name in ("r+vit-ti/16", "r26+vit-s/32", "r26+vit-b/32")),
    *((f"r50+vit-{size}/{stride}", 224) for size in ("b", "l") for stride in (16, 32)),
)

NAMES = tuple(name for name, _ in _ENTRIES)
"""The listed models; other patches, strides and widths may be written, too."""

# Published as /16, although its tokens lie 32 pixels apart: 8x8 cells of a stem of stride 4.
_MISLABELLED = {("r", "vit-ti", 16): 32}


@dataclass(frozen=True)
class Named:
    """What a model's name says.

    Attributes:
        size: the transformer; None for a ResNet.
        trunk, factor: the ResNet and its width; None and 1 for a ViT.
        cell: a ViT's patch or a hybrid's stride in pixels, where it is written.
        resolution: side of the images in pixels, where it is written.
    """

    size: Size | None
    trunk: Trunk | None
    factor: float
    cell: int | None
    resolution: int | None

    @property
    def family(self) -> str:
        """Name of the family in ``vitexp/models/``."""
        return "vit" if self.trunk is None else "resnet" if self.size is None else "hybrid"

    @property
    def key(self) -> str:
        """The one spelling of the name, the resolution left out."""
        cell = f"/{self.cell}" if self.cell else ""
        if self.trunk is None:
            assert self.size is not None
            return f"{self.size.name}{cell}"
        plain = self.factor == 1 and (self.size is not None or self.trunk.stem == "small")
        trunk = self.trunk.name + ("" if plain else f"x{self.factor:g}")
        return f"{trunk}+{self.size.name}{cell}" if self.size else trunk

    @property
    def patch_by_side(self) -> bool:
        """Whether the side of the images decides the patch."""
        return self.trunk is None and self.cell is None

    def shapes(self, side: int) -> tuple[ViTShape | None, ResNetShape | None]:
        """The sizes of transformer and ResNet on images of ``side`` pixels.

        Raises:
            VitexpError: a stride at which the trunk has no map, or a width that is no number
                of channels.
        """
        trunk = self._trunk()
        if self.size is None:
            return None, trunk
        if trunk is None:
            return _vit(self.size, self.cell or usual_patch(self.size, side)), None
        trunk, patch = self._at_stride(trunk)
        return _vit(self.size, patch), trunk

    def _trunk(self) -> ResNetShape | None:
        if self.trunk is None:
            return None
        width, multiple = self.trunk.base * self.factor, width_multiple(self.trunk.stem)
        if width % multiple or not width:
            raise VitexpError(
                f"{self.key}: a width of {width:g} channels is not a multiple of {multiple}.",
                f"x1 of {self.trunk.name} is {self.trunk.base} channels; choose another width.",
            )
        return ResNetShape(self.trunk.blocks, int(width), self.trunk.stem, self.trunk.block)

    def _at_stride(self, trunk: ResNetShape) -> tuple[ResNetShape, int]:
        """The trunk whose last map suits the stride, and the patch on that map.

        A smaller stride folds the last stage into the one before it (paper, section 4.1).
        """
        assert self.size is not None and self.trunk is not None
        if self.cell is None:
            return trunk, 1
        cell = _MISLABELLED.get((self.trunk.name, self.size.name, self.cell), self.cell)
        while trunk.stride > cell and len(trunk.blocks) > 1:
            *first, before, last = trunk.blocks
            trunk = replace(trunk, blocks=(*first, before + last))
        if cell % trunk.stride:
            raise VitexpError(
                f"{self.key}: the maps of {self.trunk.name} have no stride of {cell} pixels.",
                f"Write a multiple of {trunk.stride} behind the slash.",
            )
        return trunk, cell // trunk.stride


def width_multiple(stem: Stem) -> int:
    """What the width of a ResNet is a multiple of, so that its norms have equal groups."""
    return 32 if stem == "imagenet" else 4


def _vit(size: Size, patch: int) -> ViTShape:
    return ViTShape(patch, size.width, size.depth, size.heads, size.mlp)


def usual_patch(size: Size, side: int) -> int:
    """The listed patch of ``size`` whose images are nearest to ``side`` pixels."""

    def far(entry: tuple[str, int]) -> float:
        return abs(math.log(entry[1] / side))

    own = [entry for entry in _ENTRIES if entry[0].startswith(f"{size.name}/")]
    return int(min(own, key=far)[0].rpartition("/")[2])


def usual_side(named: Named) -> int:
    """Side in pixels of the images that a model is listed with; 224 where it is not listed."""
    return dict(_ENTRIES).get(named.key, 224)


def parse(name: str) -> Named:
    """Read ``vit-b/16@384``, ``r50x2`` or ``r50+vit-b/16``.

    Raises:
        VitexpError: no such size; lists the names and the nearest.
    """
    plain = name.strip().lower().replace("_", "-")
    form = re.fullmatch(
        r"(?:(r\d*)(?:x(\d*\.?\d+))?)?\+?(vit-[a-z]+)?(?:/([1-9]\d*))?(?:@([1-9]\d*))?", plain
    )
    if form is None or not _known(plain, form[1], form[3], form[4]):
        raise _unknown(name)
    cell, resolution = (int(part) if part else None for part in (form[4], form[5]))
    size = SIZES[form[3]] if form[3] else None
    trunk = TRUNKS[form[1]] if form[1] else None
    return Named(size, trunk, float(form[2] or 1), cell, resolution)


def _known(plain: str, trunk: str | None, size: str | None, cell: str | None) -> bool:
    if ("+" in plain) != bool(trunk and size):
        return False
    if size is None and (cell or trunk == "r"):
        return False
    return bool(trunk or size) and trunk in (None, *TRUNKS) and size in (None, *SIZES)


def _unknown(name: str) -> VitexpError:
    error = unknown("model", name, NAMES)
    return VitexpError(error.problem, f"{error.remedy} Or a file: my_net.py:MyNet.")


@functools.cache
def called(model: ModelSpec) -> str:
    """A model's name: that of its size, then what it has another of, however it was asked for;
    a model of a user's own file keeps its name."""
    size = model.name.partition(" ")[0]
    if is_reference(model.family):
        return model.name
    try:
        vit, trunk = parse(size).shapes(model.image_size)
    except VitexpError:
        return model.name
    changed: dict[str, Any] = {}
    if vit and model.vit:
        changed |= _changed(vit, model.vit, ("patch", "width", "depth", "heads", "mlp"))
    if trunk and model.trunk:
        other = _changed(trunk, model.trunk, ("blocks", "width", "stem"))
        blocks = {"blocks": ",".join(map(str, other["blocks"]))} if "blocks" in other else {}
        changed |= {"trunk_width" if n == "width" else n: v for n, v in (other | blocks).items()}
    return " ".join([size, *(f"{name}={value}" for name, value in changed.items())])


def signal(model: ModelSpec) -> PositionSpec | None:
    """The positional signal that a model is known by; None for one without, or of a user's own
    file with the default one, which it need not have at all."""
    if model.vit is None:
        return None
    position, usual = model.vit.position, PositionSpec()
    plain = (position.kind, position.placement) == (usual.kind, usual.placement)
    return None if is_reference(model.family) and plain else position


def _changed(size: object, model: object, fields: tuple[str, ...]) -> dict[str, Any]:
    pairs = {field: getattr(model, field) for field in fields}
    return {field: value for field, value in pairs.items() if value != getattr(size, field)}


def listed(classes: int = 1000, channels: int = 3) -> list[ModelSpec]:
    """Each of :data:`NAMES` at its own resolution."""
    return [model(name, resolution, channels, classes) for name, resolution in _ENTRIES]


def model(name: str, image_size: int, channels: int = 3, classes: int = 1000) -> ModelSpec:
    """The model called ``name`` with every choice at its default.

    Raises:
        VitexpError: unknown name, or a part of it that does not fit.
    """
    named = parse(name)
    vit, trunk = named.shapes(image_size)
    return ModelSpec(named.family, image_size, channels, classes, vit, named.key, trunk=trunk)


def at_usual_side(name: str) -> ModelSpec:
    """The model called ``name`` at the resolution in its name, else at the one it is listed with.

    Raises:
        VitexpError: unknown name, or a part of it that does not fit.
    """
    named = parse(name)
    return model(name, named.resolution or usual_side(named))
