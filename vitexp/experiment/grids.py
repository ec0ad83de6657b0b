"""Runs sorted into what may stand in one table: same data, same recipe, nothing pooled silently."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from typing import Any

from vitexp.runs.record import RunRecord
from vitexp.spec import (
    DataSpec,
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


@functools.cache
def same(part: Any) -> str:
    """What two parts of specs have in common that mean the same."""
    return digest(identity(part))


def parts(spec: RunSpec, **instead: Any) -> Hashable:
    """A run's identity but for its seed, part by part, some of them replaced."""
    fields = identifying(RunSpec)
    values = {name: getattr(spec, name) for name in fields if name != "seed"} | instead
    values["data"] = _undrawn(values["data"])
    return tuple(v if isinstance(v, str | int | float | None) else same(v) for v in values.values())


@functools.cache
def _undrawn(data: DataSpec) -> DataSpec:
    return data.undrawn
