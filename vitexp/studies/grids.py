"""Runs sorted into what may stand in one table: same data, same recipe, nothing pooled silently."""

from __future__ import annotations

import dataclasses
import functools
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from typing import Any

from vitexp.runs.record import RunRecord
from vitexp.spec import DataSpec, PositionSpec, Recipe, RunSpec, digest, identifying, identity

TUNING_SEEDS = 1_000_000
"""The first seed of runs that only choose a setting; no report contains one."""

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
    return [r for r in records if r.spec.seed < TUNING_SEEDS and r.spec.init is None]


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
