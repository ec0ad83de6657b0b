"""From what a user asked for to a complete run: preset, then overrides, then checks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from vitexp.catalog import sizes
from vitexp.catalog.recipes import AUGMENTATIONS, Preset, default_preset, preset
from vitexp.datasets.image_set import ImageSet
from vitexp.datasets.load import Progress, describe
from vitexp.datasets.shots import left_out
from vitexp.errors import VitexpError, unknown
from vitexp.models import MODELS
from vitexp.positions import POSITIONS, check_width, position_spec
from vitexp.registry import code_hash, is_reference
from vitexp.spec import DataSpec, ModelSpec, Precision, Recipe, RunSpec, ViTShape
from vitexp.studies.base import Base
from vitexp.studies.settings import Settings, asked

LOOKS = 20
"""Evaluations on the validation split in a run, about."""

# Largest side of the images in pixels, the size to take, patches along a side.
_DEFAULT_MODELS = ((16, "vit-xxs", 4), (64, "vit-xs", 8), (1 << 30, "vit-ti", 14))


def resolve(
    settings: Settings,
    precision: Precision,
    seeds: int = 1,
    progress: Progress | None = None,
    remark: Callable[[str], None] | None = None,
) -> Base:
    """The run that ``settings`` ask for, with nothing left to a default.

    Everything that can be refused without the images is refused before they are read.

    Args:
        settings: the flags.
        precision: what ``settings.precision`` comes to on the device.
        seeds: how many, where the settings do not say.
        progress: told of images as they are decoded, which happens once for a data set.
        remark: told what whoever reads the numbers should know about the images.

    Raises:
        VitexpError: a value that does not fit another, or data that cannot be read.
    """
    wanted = _Wanted.of(settings)
    data, images = describe(
        settings.dataset or "digits",
        image_size=wanted.resolution,
        skip_broken=bool(settings.skip_broken),
        progress=progress,
    )
    if remark is not None:
        for text in _remarks(images):
            remark(text)
    chosen = _preset(settings, data)
    std = _position_std(settings.position_std, chosen)
    first = settings.seed or 0
    run = RunSpec(
        model=_model(settings, wanted, images, std),
        data=data,
        recipe=_recipe(settings, chosen, data, wanted.lr_key, images.flips),
        seed=first,
        precision=precision,
        asked=asked(settings, data.source),
    )
    check_model(run.model)
    return Base(run, tuple(range(first, first + (settings.seeds or seeds))), std)


def _remarks(images: ImageSet) -> Iterator[str]:
    if images.broken:
        count = len(images.broken)
        yield f"{count} unreadable images of {images.name} left out, such as {images.broken[0]}."
    if images.duplicates:
        yield f"{images.duplicates} test images of {images.name} also occur in train or validation."
    if fewer := left_out(images.train.labels, images.names):
        yield fewer


def check_model(model: ModelSpec) -> None:
    """Refuse sizes that do not fit one another.

    Raises:
        VitexpError: the patch does not divide the image, the heads do not divide the width, or
            the width does not suit the positional signal.
    """
    _check_patch(model.vit.patch, model.image_size)
    _check_heads(model.vit.heads, model.vit.width)
    check_width(model.vit.position.kind, model.vit.width)


@dataclass(frozen=True)
class _Wanted:
    """What the flags say about the model before the images are known."""

    named: sizes.Named | None
    family: str
    resolution: int | None

    @classmethod
    def of(cls, settings: Settings) -> _Wanted:
        model = settings.model
        reference = model is not None and is_reference(model)
        family = MODELS.canonical(model) if model is not None and reference else "vit"
        named = sizes.parse(model) if model is not None and not reference else None
        at = named.resolution if named else None
        if at and settings.image_size not in (None, at):
            raise VitexpError(
                f"--model {model} and --image-size {settings.image_size} ask for different sizes.",
                "Leave one of them out.",
            )
        wanted = cls(named, family, settings.image_size or at)
        wanted._check(settings)
        return wanted

    def _check(self, settings: Settings) -> None:
        if settings.epochs is not None and settings.steps is not None:
            raise VitexpError(
                "--epochs and --steps are both given.", "Give one; the other follows from it."
            )
        patch = settings.patch or (self.named.patch if self.named else None)
        if self.resolution and patch:
            _check_patch(patch, self.resolution)
        if self.named:
            size = self.named.size
            _check_heads(settings.heads or size.heads, settings.width or size.width)
        if settings.position:
            position_spec(settings.position, settings.placement or "stem", 0.0)
        _augmentations(settings.augment or "none")

    @property
    def lr_key(self) -> str:
        """The name under which a preset lists its learning rate."""
        return f"{self.named.size.name}/{self.named.patch}" if self.named else ""


def _check_patch(patch: int, image_size: int) -> None:
    if image_size % patch:
        fitting = _divisors(image_size)
        nearest = min(fitting, key=lambda p: abs(p - patch))
        raise VitexpError(
            f"A patch of {patch} pixels does not divide images of {image_size} pixels.",
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


def _model(
    settings: Settings, wanted: _Wanted, images: ImageSet, std: Mapping[str, float]
) -> ModelSpec:
    side = images.image_size
    size, patch = _size(wanted, side)
    given = {
        name: value
        for name in ("patch", "width", "depth", "heads", "mlp")
        if (value := getattr(settings, name)) is not None
    }
    shape = ViTShape(patch, size.width, size.depth, size.heads, size.mlp)
    kind = POSITIONS.canonical(settings.position or "learned_1d")
    spread = std.get(kind, std["*"])
    position = position_spec(kind, settings.placement or "stem", spread)
    choices: dict[str, Any] = {"pool": settings.pool or "token", "gelu": settings.gelu or "exact"}
    return ModelSpec(
        family=wanted.family,
        image_size=side,
        channels=images.channels,
        classes=len(images.names),
        vit=dataclasses.replace(shape, **given, **choices, position=position),
        name=_name(wanted, f"{size.name}/{given.pop('patch', patch)}", given),
        code=code_hash(wanted.family, "model"),
    )


def _size(wanted: _Wanted, side: int) -> tuple[sizes.Size, int]:
    if wanted.named:
        return wanted.named.size, wanted.named.patch or wanted.named.size.patches[0]
    _, name, along = next(entry for entry in _DEFAULT_MODELS if side <= entry[0])
    return sizes.SIZES[name], min(_divisors(side), key=lambda p: abs(p - side / along))


def _name(wanted: _Wanted, name: str, given: Mapping[str, int]) -> str:
    base = name if wanted.family == "vit" else wanted.family.rpartition(":")[2]
    return " ".join([base, *(f"{key}={value}" for key, value in given.items())])


def _preset(settings: Settings, data: DataSpec) -> Preset:
    if settings.recipe is not None:
        return preset(settings.recipe)
    chosen = default_preset(data.name, data.image_size)
    # A default must fit a small folder; a preset asked for by name is taken at its word.
    return dataclasses.replace(chosen, batch=min(chosen.batch, data.train))


def _position_std(text: str | None, chosen: Preset) -> dict[str, float]:
    if text is None:
        return dict(chosen.position_std)
    if "=" not in text:
        return {"*": _std(text, text)}
    std = dict(chosen.position_std)
    for part in text.split(","):
        kind, _, value = part.strip().partition("=")
        std[kind if kind == "*" else POSITIONS.canonical(kind)] = _std(value, text)
    return std


def _std(value: str, text: str) -> float:
    try:
        std = float(value)
    except ValueError:
        std = -1.0
    if not 0 <= std < float("inf"):
        raise VitexpError(
            f"--position-std is {text!r}.",
            "Write a number of at least 0, or a number a kind: *=0.5,relative=2.",
        )
    return std


def _recipe(settings: Settings, chosen: Preset, data: DataSpec, lr_key: str, flips: bool) -> Recipe:
    given = {
        f.name: value
        for f in dataclasses.fields(chosen)
        if (value := getattr(settings, f.name, None)) is not None
    } | {"position_std": chosen.position_std}
    augment = settings.augment
    given["augment"] = chosen.augment if augment is None else _augmentations(augment)
    plain = dataclasses.replace(chosen, **given)
    _check_batch(plain.batch, data.train)
    _check_momentum(settings, plain)
    steps = settings.steps or max(1, round(plain.epochs * (data.train // plain.batch)))
    return Recipe(
        lr=settings.lr or chosen.peak_lr(lr_key),
        weight_decay=plain.weight_decay,
        steps=steps,
        batch=plain.batch,
        warmup=_warmup(plain, steps),
        optimizer=plain.optimizer,
        schedule=plain.schedule,
        momentum=plain.momentum,
        clip=plain.clip or None,
        label_smoothing=plain.label_smoothing,
        dropout=plain.dropout,
        stochastic_depth=plain.stochastic_depth,
        crop="crop" in plain.augment,
        flip=_flip(plain.augment, augment, data.name, flips),
        resized_crop=plain.resized_crop if "resized-crop" in plain.augment else None,
        mixup=plain.mixup if "mixup" in plain.augment else None,
        cutmix=plain.cutmix if "cutmix" in plain.augment else None,
        evaluate_every=max(1, steps // LOOKS),
        name=chosen.name,
    )


def _check_batch(batch: int, train: int) -> None:
    if batch > train:
        raise VitexpError(
            f"A batch of {batch} is larger than the train split of {train} images.",
            f"Choose --batch {min(64, train)} or another up to {train}.",
        )


def _check_momentum(settings: Settings, plain: Preset) -> None:
    if settings.momentum is not None and plain.optimizer != "sgd":
        raise VitexpError(
            f"--momentum means nothing to {plain.optimizer}.",
            "Leave it out, or choose --optimizer sgd.",
        )


def _warmup(plain: Preset, steps: int) -> int:
    warmup = round(plain.warmup * steps) if plain.warmup < 1 else round(plain.warmup)
    if warmup >= steps > 1:
        raise VitexpError(
            f"A warm-up of {warmup} steps leaves none of the {steps} steps (recipe {plain.name}).",
            "Choose fewer, such as --warmup 0.1 for a tenth of them, or train for longer.",
        )
    return min(warmup, steps - 1)


def _augmentations(text: str) -> tuple[str, ...]:
    names = tuple(part.strip() for part in text.split(",") if part.strip() not in ("", "none"))
    for name in names:
        if name not in AUGMENTATIONS:
            raise unknown("augmentation", name, ("none", *AUGMENTATIONS))
    return names


def _flip(augment: tuple[str, ...], asked_for: str | None, name: str, flips: bool) -> bool:
    if "flip" in augment and not flips and asked_for is not None:
        raise VitexpError(
            f"A horizontal flip changes what the images of {name} show.",
            "Leave flip out of --augment.",
        )
    return "flip" in augment and flips
