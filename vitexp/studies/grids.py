"""Runs sorted into what may stand in one table: same data, same recipe, nothing pooled silently."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable

from vitexp.runs.record import RunRecord
from vitexp.spec import PositionSpec, RunSpec, digest, identity

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


def reported(records: Iterable[RunRecord]) -> list[RunRecord]:
    """The records that are no tuning runs."""
    return [record for record in records if record.spec.seed < TUNING_SEEDS]


def setting(spec: RunSpec, *tuned: str) -> str:
    """What runs of one table share: data but for the fraction, precision and recipe but for its
    fields ``tuned`` and what follows from the number of steps."""
    data = dataclasses.replace(spec.data, fraction=None, subset_seed=None)
    free = dict.fromkeys(("warmup", "early_stopping", *tuned))
    recipe = dataclasses.replace(spec.recipe, **free)  # type: ignore[arg-type]
    return digest([identity(data), identity(recipe), spec.precision])


def by_position(records: list[RunRecord]) -> list[list[RunRecord]]:
    """One part for each positional signal; models that have none belong to every part."""
    with_vit = [record for record in records if record.spec.model.vit]
    without = [record for record in records if not record.spec.model.vit]
    parts = split(with_vit, lambda record: digest(identity(position(record.spec))))
    return [part + without for part in parts] or [without]


def position(spec: RunSpec) -> PositionSpec:
    """The position of a model that has a transformer."""
    return spec.model.transformer.position


def latest_variant(records: list[RunRecord]) -> list[RunRecord]:
    """Of runs of one cell, those that differ in nothing but the seed: the variant (another
    learning rate, say) that was finished last."""
    return max(split(records, lambda r: digest(identity(r.spec.seeded(0)))), key=last_ended)
