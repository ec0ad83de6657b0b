"""From what a user asked for to a complete fine-tuning run."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from vitexp.catalog import sizes
from vitexp.catalog.recipes import FINETUNE, Preset, preset
from vitexp.datasets.image_set import ImageSet
from vitexp.datasets.load import Progress, describe
from vitexp.errors import VitexpError
from vitexp.models.check import check_channels, model_of_file, open_file
from vitexp.models.count import onto
from vitexp.models.weights.header import model_in
from vitexp.runs.record import Results
from vitexp.runs.store import Store
from vitexp.runs.weights_file import from_file, names_file
from vitexp.settings.base import Base
from vitexp.settings.flags import MODEL, Settings, asked, flags, spelled
from vitexp.settings.model import Wanted, check_model, model_at, model_of
from vitexp.settings.run import check_length, recipe_of
from vitexp.spec import (
    TUNING_SEEDS,
    USUAL,
    Copy,
    DataSpec,
    FromFile,
    FromRun,
    ModelSpec,
    Precision,
    Reading,
    RunSpec,
)

if TYPE_CHECKING:
    from vitexp.models.weights.sources import Source


def resolve_finetune(
    settings: Settings,
    source: str,
    rates: tuple[float, ...],
    store: Store,
    precision: Precision,
    progress: Progress,
    remark: Callable[[str], None],
    copy: Copy | None = None,
) -> Base:
    """The fine-tune of ``source`` that ``settings`` ask for, with nothing left to a default.

    Args:
        source: a run's id or its first digits, or the path of a file with weights.
        rates: learning rates to choose from; none: the recipe's, or ``settings.lr`` alone.
        progress, remark: as for :func:`vitexp.settings.run.resolve`.
        copy: as for :func:`vitexp.models.weights.copies.open_weights`; None for a run.

    Raises:
        VitexpError: no such run or file, or a value that does not fit it or the data.
    """
    check_length(settings)
    if settings.folds is not None:
        raise VitexpError("--folds is for runs from scratch.", "Leave it out.")
    given = open_file(Path(source), copy, remark) if names_file(source) else None
    parent = None if given else _parent(settings, source, copy, store)
    old = parent.model if parent else _known(settings, given)
    seeds = _seeds(settings, parent, store.results())
    data, images = describe(
        settings.dataset or (parent.data.source if parent else "digits"),
        image_size=settings.image_size or (old.image_size if old else None),
        reading=_reading(settings, parent),
        fraction=settings.fraction,
        subset_seed=seeds[0],
        held_out=preset(settings.recipe or FINETUNE).held_out,
        progress=progress,
    )
    model = _new(old, images) if old else _named(settings, images, given)
    check_model(model)
    data = dataclasses.replace(data, remarks=data.remarks + check_channels(model, images))
    for text in data.remarks:
        remark(text)
    chosen = _preset(settings, data)
    recipe = recipe_of(settings, chosen, data, Wanted(None, model.family, None), images.flips)
    run = RunSpec(
        model=model,
        data=data,
        recipe=recipe,
        seed=seeds[0],
        precision=precision,
        asked=f"{_from(source, given)} {asked(settings, data.source)}",
        init=FromRun(parent.seeded(seeds[0]).id) if parent else _init(given),
    )
    sweep = rates or ((settings.lr,) if settings.lr else chosen.rates) or (recipe.lr,)
    return Base(run, seeds, {"*": 0.0}, parent=parent, rates=tuple(sorted(set(sweep))))


def _reading(settings: Settings, parent: RunSpec | None) -> Reading:
    """As the flags say; the parent's own images are read as they were for it."""
    asked = settings.reading
    if parent is None or settings.dataset is not None or asked != USUAL:
        return asked
    return parent.data.reading


def _init(given: Source | None) -> FromFile:
    assert given is not None
    return from_file(given.path, given.copy)


def _from(source: str, given: Source | None) -> str:
    """The flags that name where a fine-tune starts."""
    return shlex.join(["--from", source, *(["--weights", "ema"] if given and given.copy else [])])


def _parent(settings: Settings, start: str, copy: Copy | None, store: Store) -> RunSpec:
    entry = store.find(start)
    if copy is not None:
        raise VitexpError(
            f"--weights {copy} chooses between the copies in a file, and {start} is a run.",
            "Leave it out: a run keeps one copy.",
        )
    if entry.problem is not None:
        raise entry.problem
    assert entry.spec is not None
    if entry.spec.data.fold is not None:
        raise VitexpError(
            f"Run {entry.id} was trained on one fold of many: on images that others test.",
            "Start from a run on the data's own splits.",
        )
    _check_model_is_left(settings, f"run {entry.id}")
    return entry.spec


def _check_model_is_left(settings: Settings, known: str) -> None:
    """Refuse flags about a model that is known."""
    for name, flag in flags().items():
        if flag.panel == MODEL and getattr(settings, name) is not None:
            raise VitexpError(
                f"{spelled(name)} is a part of the model, which is that of {known}.",
                f"Leave {spelled(name)} out, or train another run to start from.",
            )


def _known(settings: Settings, given: Source | None) -> ModelSpec | None:
    """The model in a file, where the file says it; None where the images decide its last parts.

    As far as it can be told without the images, whether the file holds it is found out here.

    Raises:
        VitexpError: no model is named, or the file holds another.
    """
    assert given is not None
    if said := model_in(given.path):
        _check_model_is_left(settings, str(given.path))
        return model_of_file(said, given, "body", resize=True)
    if settings.model is None:
        raise VitexpError(
            "A file of weights does not say which model they are of.",
            "Say it with --model, such as --model vit-b/16.",
        )
    wanted = Wanted.of(settings)
    if wanted.named and (settings.patch or not wanted.named.patch_by_side):
        side = wanted.resolution or sizes.usual_side(wanted.named)
        _in_file(settings, model_at(settings, wanted, side, {"*": 0.0}), given)
    return None


def _in_file(settings: Settings, model: ModelSpec, given: Source) -> ModelSpec:
    """``model`` with the channels of a file, and with its pool unless that is asked for."""
    found = model_of_file(model, given, "body", resize=True)
    asked, told = model.vit, found.vit
    if not asked or not told or asked.pool == told.pool:
        return dataclasses.replace(model, channels=found.channels)
    if settings.pool is not None:
        raise VitexpError(
            f"{given.path} holds a model with --pool {told.pool}.", "Leave --pool out."
        )
    vit = dataclasses.replace(asked, pool=told.pool)
    return dataclasses.replace(model, channels=found.channels, vit=vit)


def _new(old: ModelSpec, images: ImageSet) -> ModelSpec:
    """The parent's model with another image size and a single linear layer as its head."""
    return onto(old, len(images.names), images.image_size)


def _named(settings: Settings, images: ImageSet, given: Source | None) -> ModelSpec:
    assert given is not None
    model = model_of(settings, Wanted.of(settings), images, {"*": 0.0})
    return _in_file(settings, model, given)


def _preset(settings: Settings, data: DataSpec) -> Preset:
    chosen = preset(settings.recipe or FINETUNE)
    small = chosen.name == FINETUNE
    # A default must fit a small folder; a preset asked for by name is taken at its word.
    return dataclasses.replace(chosen, batch=min(chosen.batch, data.used)) if small else chosen


def _seeds(settings: Settings, parent: RunSpec | None, done: Results) -> tuple[int, ...]:
    """Those asked for, else those that the parent was trained with.

    Raises:
        VitexpError: several seeds of a parent that was itself fine-tuned.
    """
    first = settings.seed if settings.seed is not None else parent.seed if parent else 0
    if settings.seeds is None and settings.seed is None and parent is not None:
        here = {r.spec.seed for r in done if r.spec.seeded(0).id == parent.seeded(0).id}
        seeds = tuple(sorted(s for s in here | {parent.seed} if s < TUNING_SEEDS))
    else:
        seeds = tuple(range(first, first + (settings.seeds or 1)))
    if parent is not None and parent.init is not None and seeds != (parent.seed,):
        raise VitexpError(
            f"Run {parent.id} was itself fine-tuned, so its other seeds have other parents.",
            "Fine-tune each of its seeds by itself, without --seeds and --seed.",
        )
    return seeds
