"""The list of all runs, column by column, as small as JSON can hold it."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

from vitexp.reporting.described import differing, shared
from vitexp.runs.record import RunRecord
from vitexp.tasks.listed import Listed, said_of

NUMBERS = (
    *("test_top1", "val_top1", "train_top1", "train_loss", "seconds", "device_seconds"),
    *("flops", "images_per_s", "peak_memory", "utilisation"),
)
"""Metrics that go along."""
ENVIRONMENT = (
    *("vitexp", "commit", "torch", "numpy", "python", "system", "device_name", "threads"),
    *("precision", "deterministic", "compiled"),
)
"""What is said of how a run was computed."""


def listing(runs: Sequence[Listed]) -> dict[str, Any]:
    """All runs, in their order.

    Returns:
        A value a run, some of them :func:`coded`: ``id``, ``date``, ``seed``, ``search`` (whether
        it only chose a setting), ``fold`` (from 1; 0 for none), ``state``, ``progress``,
        ``environment``, ``numbers`` (by the names of :data:`NUMBERS`) and ``told`` (by name, what
        they differ in); and ``shared``, what is the same in all.
    """
    said = [said_of(one) for one in runs]
    told = [name for name in differing(said) if name != "state"] if said else []
    records = [one.entry.record for one in runs]
    specs = [one.entry.spec for one in runs]
    return {
        "id": [one.entry.id for one in runs],
        "date": [f"{one.entry.date:%Y-%m-%d %H:%M}" for one in runs],
        "seed": [spec and spec.seed for spec in specs],
        "search": [int(bool(spec and spec.tries)) for spec in specs],
        "fold": [spec.data.fold.index + 1 if spec and spec.data.fold else 0 for spec in specs],
        "state": coded([one.entry.state for one in runs]),
        "progress": [_progress(one) for one in runs],
        "told": {name: coded([own[name] for own in said]) for name in told},
        "shared": shared(said) if said else [],
        "environment": coded([_environment(record) for record in records]),
        "numbers": {name: [number(record, name) for record in records] for name in NUMBERS},
    }


def coded(values: Iterable[Hashable]) -> dict[str, list[Any]]:
    """Few values of many: each once, and which of them each is."""
    places: dict[Hashable, int] = {}
    codes = [places.setdefault(value, len(places)) for value in values]
    return {"values": list(places), "codes": codes}


def number(record: RunRecord | None, name: str) -> float | None:
    """A metric to four digits; None where there is none or it is not finite."""
    return None if record is None else rounded(record.metrics.get(name))


def rounded(value: float | None) -> float | None:
    """Four digits of a finite number."""
    if value is None or not math.isfinite(value):
        return None
    short = float(f"{value:.4g}")
    return int(short) if short == int(short) else short


def _progress(one: Listed) -> float | None:
    """The share of its steps that a run without a result has done."""
    entry = one.entry
    if entry.spec is None or entry.record is not None or not entry.spec.recipe.steps:
        return None
    return rounded(entry.step / entry.spec.recipe.steps)


def _environment(record: RunRecord | None) -> tuple[tuple[str, str], ...]:
    if record is None:
        return ()
    known: Mapping[str, Any] = record.execution
    return tuple((name, _words(known[name])) for name in ENVIRONMENT if _words(known.get(name)))


def _words(value: Any) -> str:
    """A fact in words; ``""`` for what is not so or not known."""
    return "" if value is None or value is False else "yes" if value is True else str(value)
