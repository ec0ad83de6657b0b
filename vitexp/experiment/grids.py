"""Runs sorted into what may stand in one table: same data, same recipe, nothing pooled silently."""

from __future__ import annotations

import dataclasses
import functools
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

from vitexp.catalog.sizes import called
from vitexp.runs.record import RunRecord
from vitexp.spec import (
    DataSpec,
    ModelSpec,
    PositionSpec,
    Recipe,
    RunSpec,
    digest,
    identifying,
    identity,
)

Key = Callable[[RunRecord], Hashable]


def split(records: Iterable[RunRecord], key: Key) -> list[list[RunRecord]]:
    """The records by ``key``, in the order in which its values first occur."""
    parts: defaultdict[Hashable, list[RunRecord]] = defaultdict(list)
    for record in records:
        parts[key(record)].append(record)
    return list(parts.values())


def last_ended(records: Iterable[RunRecord]) -> str:
    """When the last of them ended, ISO 8601."""
    return max(str(record.execution.get("ended", "")) for record in records)


def from_scratch(records: Iterable[RunRecord]) -> list[RunRecord]:
    """The records of runs from scratch that are no tuning runs."""
    return [r for r in records if not r.spec.tries and r.spec.init is None]


def setting(spec: RunSpec, *tuned: str) -> str:
    """What runs of one table share: data but for the fraction, precision and recipe but for its
    fields ``tuned`` and what follows from the number of steps."""
    return _setting(spec.data, spec.recipe, spec.precision, tuned)


# Thousands of runs share a few data sets, recipes and models.
@functools.cache
def _setting(data: DataSpec, recipe: Recipe, precision: str, tuned: tuple[str, ...]) -> str:
    data = dataclasses.replace(data, fraction=None, subset_seed=None)
    free = dict.fromkeys(("warmup", "early_stopping", *tuned))
    recipe = dataclasses.replace(recipe, **free)  # type: ignore[arg-type]
    return digest([identity(data), identity(recipe), precision])


@functools.cache
def same(part: Any) -> str:
    """What two parts of specs have in common that mean the same."""
    return digest(identity(part))


def model_names(records: Iterable[RunRecord]) -> dict[str, str]:
    """What to call each model, by what it is (:func:`same`): its name, and of models with one
    name what they have another of than usual."""
    names: dict[str, str] = {}
    models = {}
    for record in records:
        model = record.spec.model
        one, name = same(model), called(model)
        models[one] = model
        names[one] = min(name, names.get(one, name), key=lambda text: (len(text), text))
    alike: defaultdict[str, list[str]] = defaultdict(list)
    for one, name in names.items():
        alike[name].append(one)
    for name, several in alike.items():
        told = _told_apart([models[one] for one in several])
        names |= {one: " ".join([name, *told]) for one, told in zip(several, told, strict=True)}
    return names


def _told_apart(models: Sequence[ModelSpec]) -> list[list[str]]:
    """What differs between models, left out of those in which it is the default."""
    facts = [_facts(model) for model in models]
    keys = sorted({key for own in facts for key in own})
    differ = [key for key in keys if len({own.get(key) for own in facts}) > 1]
    return [[own[key] for key in differ if own.get(key)] for own in facts]


def _facts(model: ModelSpec) -> dict[str, str]:
    """What is said of a model's parts, such as ``pool=gap``; nothing of a default."""
    position = model.vit and model.vit.position
    named = (("", model), ("", model.vit), ("position_", position), ("trunk_", model.trunk))
    return {
        f"{name}{field.name}": f"{name}{field.name}={value}"
        for name, part in named
        if part is not None
        for field in dataclasses.fields(part)
        if field.metadata.get("identity", True)
        and (value := getattr(part, field.name)) != field.default
        and not dataclasses.is_dataclass(value)
    }


def by_position(records: list[RunRecord]) -> list[list[RunRecord]]:
    """One part for each positional signal; models that have none belong to every part."""
    with_vit = [record for record in records if record.spec.model.vit]
    without = [record for record in records if not record.spec.model.vit]
    parts = split(with_vit, lambda record: same(position(record.spec)))
    return [part + without for part in parts] or [without]


def position(spec: RunSpec) -> PositionSpec:
    """The position of a model that has a transformer."""
    return spec.model.transformer.position


def latest_variant(records: list[RunRecord]) -> list[RunRecord]:
    """Of runs of one cell, those that differ in nothing but the seed: the variant (another
    learning rate, say) that was finished last."""
    return max(split(records, lambda r: parts(r.spec)), key=last_ended)


def parts(spec: RunSpec, **instead: Any) -> Hashable:
    """A run's identity but for its seed, part by part, some of them replaced."""
    fields = identifying(RunSpec)
    values = {name: getattr(spec, name) for name in fields if name != "seed"} | instead
    values["data"] = _any_subset(values["data"])
    return tuple(v if isinstance(v, str | int | float | None) else same(v) for v in values.values())


@functools.cache
def _any_subset(data: DataSpec) -> DataSpec:
    return dataclasses.replace(data, subset_seed=None)
