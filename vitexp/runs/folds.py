"""The runs of a seed that test one fold each, put together into one result on all images."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from vitexp.runs.record import RunRecord, pack_classes, pack_correct, unpack

_TESTED = ("test_", "few_shot_")
"""Metrics of the test images: their mean counts each image once."""

_SPENT = ("seconds", "device_seconds")
"""Metrics that add up. All others are what they are on average of a run, flops, too."""


@dataclass(frozen=True)
class Folded(RunRecord):
    """Some seed's runs together: each of all images was tested once, by a model that had not seen
    it. One that diverged makes it one that did.

    Its spec and curve are those of the first fold's run, or of the first that diverged; its
    execution is that of the run that ended last.

    Attributes:
        folds: the runs, by their folds.
    """

    folds: tuple[RunRecord, ...] = ()

    @property
    def runs(self) -> tuple[str, ...]:
        return tuple(record.id for record in self.folds)

    @property
    def images(self) -> int:
        return self.spec.data.pool


def whole(records: Iterable[RunRecord]) -> list[RunRecord]:
    """One result a seed: the runs of a seed that test one fold each are one together; one of which
    some are missing is left out. Runs without folds stay as they are."""
    found: dict[str, dict[int, RunRecord]] = {}
    for record in records:
        fold = record.spec.data.fold
        found.setdefault(record.spec.folds[0].id, {})[fold.index if fold else 0] = record
    several = ([by[index] for index in sorted(by)] for by in found.values())
    return [_one(each) for each in several if len(each) == len(each[0].spec.folds)]


def _one(folds: Sequence[RunRecord]) -> RunRecord:
    if folds[0].spec.data.fold is None:
        return folds[0]
    lost = next((record for record in folds if record.status == "diverged"), None)
    shown = lost or folds[0]
    return Folded(
        spec=shown.spec,
        status=shown.status,
        metrics=lost.metrics if lost else _metrics(folds),
        correct="" if lost else pack_correct(_pooled(folds)),
        curve=shown.curve,
        execution=max((r.execution for r in folds), key=lambda e: str(e.get("ended", ""))),
        mistaken=None if lost else _mistaken(folds),
        folds=tuple(folds),
    )


def _pooled(folds: Sequence[RunRecord]) -> np.ndarray:
    """Correctness of all images, in one order for all seeds: bool, shape (N,)."""
    correct = np.zeros(folds[0].spec.data.pool, bool)
    for record in folds:
        assert record.tested is not None
        correct[unpack(record.tested, len(correct))] = record.correctness()
    return correct


def _mistaken(folds: Sequence[RunRecord]) -> str | None:
    """What all images that are wrong were taken for; None where a fold did not keep it."""
    taken = np.full(folds[0].spec.data.pool, -1)
    for record in folds:
        own = record.taken()
        if own is None:
            return None
        assert record.tested is not None
        taken[unpack(record.tested, len(taken))] = own
    return pack_classes(taken[taken >= 0])


def _metrics(folds: Sequence[RunRecord]) -> dict[str, float]:
    names = [name for name in folds[0].metrics if all(name in r.metrics for r in folds)]
    return {name: _metric(name, folds) for name in names}


def _metric(name: str, folds: Sequence[RunRecord]) -> float:
    values = [record.metrics[name] for record in folds]
    if name in _SPENT:
        return math.fsum(values)
    if name.startswith(_TESTED):
        return statistics.fmean(values, [record.images for record in folds])
    return statistics.fmean(values)
