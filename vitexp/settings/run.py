"""From what a user asked for to a complete run: preset, then overrides, then checks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vitexp.amounts import count
from vitexp.catalog.recipes import AUGMENTATIONS, Preset, default_preset, preset
from vitexp.datasets.folds import folded, train_labels
from vitexp.datasets.image_set import ImageSet, Split
from vitexp.datasets.load import Progress, describe
from vitexp.datasets.split import subset
from vitexp.errors import VitexpError, unknown
from vitexp.positions import POSITIONS
from vitexp.settings.base import Base
from vitexp.settings.flags import Settings, asked
from vitexp.settings.model import Wanted, fitting, model_of
from vitexp.spec import DataSpec, Fold, Precision, Recipe, RunSpec

EVALUATIONS = 20
"""Evaluations on the validation split in a run, about."""

PASS = 8
"""Steps of a pass over a small folder for which batches are halved."""
ENOUGH = 100
"""Training images a class from which on a model from scratch is not warned of: digits have 129."""


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
        progress: called as images are decoded, which happens once for a data set.
        remark: called with what readers of the numbers should know about the images.

    Raises:
        VitexpError: a value that does not fit another, or data that cannot be read.
    """
    wanted = Wanted.of(settings)
    check_length(settings)
    data, images = describe(
        settings.dataset or "digits",
        image_size=wanted.resolution,
        reading=settings.reading,
        progress=progress,
    )
    first = settings.seed or 0
    if settings.folds is not None:
        data = folded(data, images, settings.folds, first)
    if remark is not None:
        for text in (*data.remarks, *_few(data, len(images.names)), *_pooled(data)):
            remark(text)
    several = tuple(range(first, first + (settings.seeds or seeds)))
    return _Found(data, images, precision, several).base(settings)


def _few(data: DataSpec, classes: int) -> tuple[str, ...]:
    """What stands against training from scratch on so few images, if something does."""
    each = data.train // classes
    if each >= ENOUGH:
        return ()
    return (
        f"{data.name}: about {count(each, 'training image')} a class: few for a model from scratch,"
        " which may learn them by heart and little else; `vitexp finetune --from FILE` starts from"
        " weights that were trained on more.",
    )


def _pooled(data: DataSpec) -> tuple[str, ...]:
    """What folds do with the data's own splits."""
    if data.fold is None:
        return ()
    return (
        f"{data.name}: train, validation and test images are put together and dealt into"
        f" {data.fold.of} folds, anew for each seed; a fold is tested by a run that is trained on"
        " the others.",
    )


def resolve_on(
    settings: Settings, data: DataSpec, images: ImageSet, precision: Precision
) -> RunSpec:
    """The run that ``settings`` ask for on images that are at hand.

    Raises:
        VitexpError: a value that does not fit another.
    """
    check_length(settings)
    return _Found(data, images, precision, (0,)).run(settings)


def resolve_again(settings: Settings, before: RunSpec, seeds: tuple[int, ...]) -> Base:
    """What ``settings`` ask for today on the data set of a run, which need not be at hand.

    Raises:
        VitexpError: a value that does not fit another.
    """
    side, channels = before.data.image_size, before.model.channels
    nothing = Split(np.empty((0, side, side, channels), np.uint8), np.empty(0, np.int64))
    names = ("",) * before.model.classes
    flips = before.recipe.flip
    images = ImageSet(nothing, nothing, nothing, names, "", before.data.name, flips)
    data = dataclasses.replace(before.data.undrawn, fraction=None).drawn(seeds[0])
    return _Found(data, images, before.precision, seeds).base(settings)


@dataclass(frozen=True)
class _Found:
    """What is known once the images are: enough to resolve any settings about them."""

    data: DataSpec
    images: ImageSet
    precision: Precision
    seeds: tuple[int, ...]

    def base(self, settings: Settings) -> Base:
        def departed(changes: Mapping[str, Any]) -> RunSpec:
            return self.run(fitting(dataclasses.replace(settings, **changes)))

        std = _position_std(settings.position_std, _preset(settings, self.data))
        return Base(self.run(settings), self.seeds, std, departed)

    def run(self, settings: Settings) -> RunSpec:
        wanted, data = Wanted.of(settings), self._part(settings.fraction)
        chosen = _preset(settings, data)
        std = _position_std(settings.position_std, chosen)
        return RunSpec(
            model=model_of(settings, wanted, self.images, std),
            data=data,
            recipe=recipe_of(settings, chosen, data, wanted, self.images.flips),
            seed=self.seeds[0],
            precision=self.precision,
            asked=asked(settings, data.source),
        )

    def _part(self, fraction: float | None) -> DataSpec:
        if fraction is None or fraction == 1:
            return self.data
        part = dataclasses.replace(self.data, fraction=fraction)
        # What is only known from a run has no labels to draw from.
        for seed in self.seeds if len(self.images.train) else ():
            for labels in self._train_labels(seed):
                subset(labels, fraction, seed)
        return part.drawn(self.seeds[0])

    def _train_labels(self, seed: int) -> Iterator[np.ndarray]:
        """The labels to train on, of each fold where there are any."""
        if (fold := self.data.fold) is None:
            yield self.images.train.labels
            return
        for index in range(fold.of):
            yield train_labels(self.images, Fold(fold.of, index, seed))


def check_length(settings: Settings) -> None:
    """Refuse both ways of saying for how long, and augmentations that there are not.

    Raises:
        VitexpError: see above.
    """
    if settings.epochs is not None and settings.steps is not None:
        raise VitexpError(
            "--epochs and --steps are both given.", "Give one; the other follows from it."
        )
    _augmentations(settings.augment or "none")


def _preset(settings: Settings, data: DataSpec) -> Preset:
    if settings.recipe is not None:
        return preset(settings.recipe)
    chosen = default_preset(data.name, data.image_size)
    # A default must fit a small folder; a preset asked for by name is taken at its word.
    return dataclasses.replace(chosen, batch=_fitting(chosen, data.used))


def _fitting(chosen: Preset, train: int) -> int:
    """The preset's batch, halved until a pass over a small folder has :data:`PASS` steps."""
    batch, least = chosen.batch, chosen.least_batch or train
    while batch > max(train // PASS, least):
        batch //= 2
    return min(batch, train)


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


def recipe_of(
    settings: Settings, chosen: Preset, data: DataSpec, wanted: Wanted, flips: bool
) -> Recipe:
    """The preset ``chosen`` with what ``settings`` change in it, for this data and model.

    Raises:
        VitexpError: values that do not fit one another or the data.
    """
    given = {
        f.name: value
        for f in dataclasses.fields(chosen)
        if (value := getattr(settings, f.name, None)) is not None
    } | {"position_std": chosen.position_std}
    augment = settings.augment
    given["augment"] = chosen.augment if augment is None else _augmentations(augment)
    plain = dataclasses.replace(chosen, **given)
    _check_batch(plain.batch, data.used)
    _check_momentum(settings, plain)
    steps = plain.steps if settings.epochs is None else None
    least = plain.least_steps if settings.epochs is None else 1
    steps = steps or max(least, round(plain.epochs * (data.used // plain.batch)))
    return Recipe(
        lr=settings.lr or chosen.peak_lr(wanted.key, wanted.family),
        weight_decay=plain.weight_decay,
        steps=steps,
        batch=plain.batch,
        warmup=_warmup(plain, steps),
        optimizer=plain.optimizer,
        schedule=plain.schedule,
        momentum=plain.momentum,
        clip=plain.clip or None,
        label_smoothing=plain.label_smoothing,
        dropout=_dropout(settings, plain, wanted.family),
        stochastic_depth=plain.stochastic_depth,
        crop="crop" in plain.augment,
        flip=_flip(plain.augment, augment, data.name, flips),
        resized_crop=plain.resized_crop if "resized-crop" in plain.augment else None,
        mixup=plain.mixup if "mixup" in plain.augment else None,
        cutmix=plain.cutmix if "cutmix" in plain.augment else None,
        early_stopping=max(1, steps // EVALUATIONS) if settings.early_stopping else None,
        averaging=plain.averaging,
        evaluate_every=max(1, steps // EVALUATIONS),
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


def _dropout(settings: Settings, plain: Preset, family: str) -> float:
    """The preset's, but for a ResNet, which has no place for it."""
    if family != "resnet":
        return plain.dropout
    if settings.dropout:
        raise VitexpError(
            "--dropout means nothing to a ResNet.", "Leave it out, or use --stochastic-depth."
        )
    return 0.0


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
