"""From flags to the model of a run: its name, then overrides, then checks."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from vitexp.catalog import sizes
from vitexp.datasets.image_set import ImageSet
from vitexp.errors import VitexpError
from vitexp.models import MODELS, count
from vitexp.positions import POSITIONS, check_width, position_spec
from vitexp.registry import code_hash, is_reference
from vitexp.settings.flags import Settings, spelled
from vitexp.spec import ModelSpec, PositionSpec, ResNetShape, ViTShape

# Largest side of the images in pixels, the size to take, patches along a side.
_DEFAULT_MODELS = ((16, "vit-xxs", 4), (64, "vit-xs", 8), (1 << 30, "vit-ti", 14))

_SIZES_OF_VIT = ("patch", "width", "depth", "heads", "mlp")
_OF_VIT = (*_SIZES_OF_VIT, "pool", "gelu", "position", "placement", "position_std")
_OF_TRUNK = ("blocks", "trunk_width", "stem")


@dataclass(frozen=True)
class Wanted:
    """What the flags say about the model before the images are known.

    Attributes:
        named: what the model's name says; None without a name, or for a user's own file.
        family: name in ``vitexp/models/`` or ``file.py:Class``.
        resolution: side of the images in pixels, where it is asked for.
    """

    named: sizes.Named | None
    family: str
    resolution: int | None

    @classmethod
    def of(cls, settings: Settings) -> Wanted:
        """What ``settings`` say.

        Raises:
            VitexpError: an unknown model, or settings that do not fit it or one another.
        """
        model = settings.model
        reference = model is not None and is_reference(model)
        named = sizes.parse(model) if model is not None and not reference else None
        family = MODELS.canonical(model) if model is not None and reference else "vit"
        at = named.resolution if named else None
        if at and settings.image_size not in (None, at):
            raise VitexpError(
                f"--model {model} and --image-size {settings.image_size} ask for different sizes.",
                "Leave one of them out.",
            )
        wanted = cls(named, named.family if named else family, settings.image_size or at)
        wanted._check(settings)
        return wanted

    def _check(self, settings: Settings) -> None:
        self._check_flags(settings)
        if settings.position:
            position_spec(settings.position, settings.placement or "stem", 0.0)
        if self.named and self.resolution:
            check_model(_sized(settings, self, self.resolution))

    def _check_flags(self, settings: Settings) -> None:
        """Refuse flags about a part that the model does not have."""
        without = {"resnet": _OF_VIT, "vit": _OF_TRUNK}.get(self.family, ())
        for name in without:
            if getattr(settings, name) is not None:
                have = {"resnet": _OF_TRUNK, "vit": _SIZES_OF_VIT}[self.family]
                kind = {"resnet": "a ResNet", "vit": "a ViT without a ResNet"}[self.family]
                raise VitexpError(
                    f"{spelled(name)} means nothing to {kind}.",
                    f"Leave it out; its sizes are {', '.join(map(spelled, have))}.",
                )

    @property
    def key(self) -> str:
        """The name under which a preset lists the model's learning rate."""
        return self.named.key if self.named else ""


def fitting(settings: Settings) -> Settings:
    """``settings`` without the flags about a part that their model does not have."""
    model = settings.model
    family = "" if model is None or is_reference(model) else sizes.parse(model).family
    without = {"resnet": _OF_VIT, "vit": _OF_TRUNK}.get(family, ())
    return dataclasses.replace(settings, **dict.fromkeys(without))


def other_model(settings: Settings, model: str | None) -> Settings:
    """``settings`` for another model: without the sizes that changed theirs, where they name one,
    and without the flags about a part that the other one does not have."""
    sizes_too = dict.fromkeys((*_SIZES_OF_VIT, *_OF_TRUNK)) if settings.model else {}
    return fitting(dataclasses.replace(settings, **sizes_too, model=model))


def model_of(
    settings: Settings, wanted: Wanted, images: ImageSet, std: Mapping[str, float]
) -> ModelSpec:
    """The model that ``settings`` ask for on ``images``.

    Args:
        std: kind of position -> initial std of its tables.

    Raises:
        VitexpError: sizes that do not fit one another or the images.
    """
    sized = model_at(settings, wanted, images.image_size, std)
    model = dataclasses.replace(sized, channels=images.channels, classes=len(images.names))
    check_model(model)
    return model


def model_at(settings: Settings, wanted: Wanted, side: int, std: Mapping[str, float]) -> ModelSpec:
    """As :func:`model_of`, on RGB images of ``side`` pixels and of 1000 classes, unchecked."""
    sized = _sized(settings, wanted, side)
    vit = sized.vit and dataclasses.replace(sized.vit, position=_position(settings, std))
    return dataclasses.replace(sized, vit=vit, code=code_hash(wanted.family, "model"))


def _sized(settings: Settings, wanted: Wanted, side: int) -> ModelSpec:
    """The model on RGB images of ``side`` pixels, with the default position."""
    named = wanted.named or _default(side)
    vit, trunk = named.shapes(side)
    vit, trunk = vit and _changed(settings, vit), trunk and _changed_trunk(settings, trunk)
    own = wanted.family not in MODELS
    # A ViT's patch is written in its name; a model of one's own has it among what was changed.
    size = named.size and not (named.trunk or own) and vit and f"{named.size.name}/{vit.patch}"
    model = ModelSpec(named.family, side, 3, 1000, vit, size or named.key, trunk=trunk)
    name = sizes.called(model)
    if own:
        name = " ".join([wanted.family.rpartition(":")[2], *name.split()[1:]])
    return dataclasses.replace(model, family=wanted.family, name=name)


def _default(side: int) -> sizes.Named:
    _, name, along = next(entry for entry in _DEFAULT_MODELS if side <= entry[0])
    patch = min(_divisors(side), key=lambda p: abs(p - side / along))
    return sizes.Named(sizes.SIZES[name], None, 1, patch, None)


def _changed(settings: Settings, vit: ViTShape) -> ViTShape:
    given = _given(settings, _SIZES_OF_VIT)
    choices: dict[str, Any] = {"pool": settings.pool or "token", "gelu": settings.gelu or "exact"}
    return dataclasses.replace(vit, **given, **choices)


def _changed_trunk(settings: Settings, trunk: ResNetShape) -> ResNetShape:
    fields = _given(settings, _OF_TRUNK)
    if "blocks" in fields:
        fields["blocks"] = _blocks(fields["blocks"])
    if "trunk_width" in fields:
        fields["width"] = fields.pop("trunk_width")
    return dataclasses.replace(trunk, **fields)


def _given(settings: Settings, names: Iterable[str]) -> dict[str, Any]:
    return {name: value for name in names if (value := getattr(settings, name)) is not None}


def _blocks(text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if all(part.strip().isdecimal() and int(part) for part in parts):
        return tuple(map(int, parts))
    raise VitexpError(
        f"--blocks is {text!r}.", "Write the blocks of each stage, such as --blocks 3,4,6,3."
    )


def _position(settings: Settings, std: Mapping[str, float]) -> PositionSpec:
    kind = POSITIONS.canonical(settings.position or "learned_1d")
    return position_spec(kind, settings.placement or "stem", std.get(kind, std["*"]))


def check_model(model: ModelSpec) -> None:
    """Refuse sizes that do not fit one another.

    Raises:
        VitexpError: the patch does not divide the image or the trunk's map, the heads do not
            divide the width, the width does not suit the positional signal, or the trunk's
            width does not suit its norms.
    """
    if model.trunk:
        _check_trunk(model.trunk)
    if model.vit:
        _check_patch(model, model.vit.patch)
        _check_heads(model.vit.heads, model.vit.width)
        check_width(model.vit.position.kind, model.vit.width)


def _check_trunk(trunk: ResNetShape) -> None:
    multiple = sizes.width_multiple(trunk.stem)
    if trunk.width % multiple:
        nearest = multiple * max(1, round(trunk.width / multiple))
        raise VitexpError(
            f"A trunk of width {trunk.width} is not a multiple of {multiple}.",
            f"The nearest is --trunk-width {nearest}.",
        )


def _check_patch(model: ModelSpec, patch: int) -> None:
    side = count.source_side(model)
    if side % patch:
        fitting = _divisors(side)
        nearest = min(fitting, key=lambda p: abs(p - patch))
        what = "pixels does not divide images of {} pixels"
        if model.trunk:
            what = "cells does not divide the trunk's map of {} cells"
        raise VitexpError(
            f"A patch of {patch} {what.format(side)}.",
            f"Patches that do: {_list(fitting)}; the nearest is --patch {nearest}.",
        )


def _check_heads(heads: int, width: int) -> None:
    if width % heads:
        fitting = [n for n in _divisors(width) if n <= 64]
        nearest = min(fitting, key=lambda n: abs(n - heads))
        raise VitexpError(
            f"{heads} heads do not divide a width of {width}.",
            f"Numbers of heads that do: {_list(fitting)}; the nearest is --heads {nearest}.",
        )


def _divisors(number: int) -> list[int]:
    return [n for n in range(1, number + 1) if number % n == 0]


def _list(values: list[int]) -> str:
    return ", ".join(map(str, values))
