"""A small search over settings, such as the learning rate, by what they reach on validation.

It has seeds of its own; what a winner scored there is not reported.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import partial
from typing import Any

from vitexp.errors import VitexpError
from vitexp.experiment.grids import parts
from vitexp.runs.record import Results, RunRecord
from vitexp.spec import TUNING_SEEDS, RunSpec

_FACTOR = 3.0
_WIDER = 10**0.5
"""Factor between a rate at the end of a list and the one tried beyond it."""
_WIDENINGS = 2
"""How often a winner at the edge may widen the grid."""

TUNED = ("lr", "weight_decay")
"""Fields of the recipe that :func:`tuned` chooses."""

Point = tuple[int, ...]
"""A place in a grid, one whole number an axis."""

Grid = tuple[range, ...]

Place = Callable[[Point], RunSpec]
"""The trial at a point of the grid."""


def search(
    places: Sequence[Place], grid: Grid, done: Results
) -> tuple[list[RunSpec], list[Point] | None]:
    """The trials of all places, and each one's best point once all trials are done.

    A winner at the edge of the grid widens it there, for every place alike. Of equals the point
    nearest to 0 is taken.

    Args:
        places: one a model, or whatever else is tuned by itself.

    Raises:
        VitexpError: all trials of a place diverged.
    """
    for widening in range(_WIDENINGS + 1):
        points = list(itertools.product(*grid))
        trials = [{point: place(point) for point in points} for place in places]
        flat = [run for own in trials for run in own.values()]
        if any(run.id not in done for run in flat):
            return flat, None
        best = [_best(own, done) for own in trials]
        wider = _widened(grid, best)
        if wider == grid or widening == _WIDENINGS:
            break
        grid = wider
    return flat, best


def tuned(bases: Sequence[RunSpec], done: Results) -> tuple[list[RunSpec], list[Point] | None]:
    """Learning rate and weight decay of several models: exponents of the factor 3, as
    :func:`search` finds them.

    Args:
        bases: one run a model, with the preset's values.
    """
    places = [partial(with_exponents, trial(base, base.seed)) for base in bases]
    return search(places, (range(-1, 2), range(-1, 2)), done)


def trial(run: RunSpec, first_seed: int) -> RunSpec:
    """``run`` with the seed that tries settings for runs with seeds from ``first_seed`` on."""
    return run.seeded(TUNING_SEEDS + first_seed)


def with_exponents(run: RunSpec, exponents: Point) -> RunSpec:
    """``run`` with its learning rate, and its weight decay where there are two exponents, times
    the factor to these powers."""
    lr, decay = (_FACTOR**exponent for exponent in (*exponents, 0)[:2])
    recipe = dataclasses.replace(
        run.recipe,
        lr=float(f"{run.recipe.lr * lr:.4g}"),
        weight_decay=float(f"{run.recipe.weight_decay * decay:.4g}"),
    )
    return dataclasses.replace(run, recipe=recipe)


def with_rate(run: RunSpec, rates: Sequence[float], point: Point) -> RunSpec:
    """``run`` with one of ``rates``, rising and counted from 0, or with one beyond its ends."""
    return dataclasses.replace(run, recipe=dataclasses.replace(run.recipe, lr=_rate(rates, *point)))


class Searches:
    """The trials among records, by what they were tried for.

    Args:
        fields: of the recipe, which the searches chose.
    """

    def __init__(self, records: Iterable[RunRecord], *fields: str) -> None:
        self._fields = fields
        self._trials: dict[Hashable, list[RunRecord]] = {}
        for trial in (record for record in records if record.spec.tries):
            self._trials.setdefault(self._untuned(trial.spec), []).append(trial)

    def of(self, runs: Sequence[RunRecord]) -> list[RunRecord]:
        """The trials for these runs."""
        if not self._trials:
            return []
        settings = dict.fromkeys(self._untuned(run.spec) for run in runs)
        return [trial for setting in settings for trial in self._trials.get(setting, ())]

    def chose(self, runs: Sequence[RunRecord]) -> bool:
        """Whether these runs have the values that did best on validation."""
        trials = self.of(runs)
        best = max((t.metrics.get("val_top1", -1.0) for t in trials), default=None)
        values = self._values(runs[0])
        return any(t.metrics.get("val_top1") == best and self._values(t) == values for t in trials)

    def edge(self, runs: Sequence[RunRecord]) -> dict[str, float]:
        """Those of the fields whose value in these runs is the best, and the least or largest that
        was tried: beyond it there may be a better one."""
        if not self.chose(runs):
            return {}
        tried = zip(*map(self._values, self.of(runs)), strict=True)
        chosen = zip(self._fields, self._values(runs[0]), tried, strict=True)
        return {
            field: best
            for field, best, values in chosen
            if min(values) < max(values) and best in (min(values), max(values))
        }

    def _untuned(self, spec: RunSpec) -> Hashable:
        free: dict[str, Any] = dict.fromkeys(self._fields)
        return parts(spec, recipe=dataclasses.replace(spec.recipe, **free))

    def _values(self, record: RunRecord) -> list[float]:
        return [getattr(record.spec.recipe, field) for field in self._fields]


def _rate(rates: Sequence[float], index: int) -> float:
    if 0 <= index < len(rates):
        return rates[index]
    beyond = _rate(rates, index + 1) / _WIDER if index < 0 else _rate(rates, index - 1) * _WIDER
    return float(f"{beyond:.3g}")


def _best(trials: dict[Point, RunSpec], done: Results) -> Point:
    def score(point: Point) -> tuple[float, int]:
        record = done[trials[point].id]
        return record.metrics.get("val_top1", -1.0), -sum(map(abs, point))

    best = max(trials, key=score)
    if score(best)[0] < 0:
        raise VitexpError(
            "Every learning rate that was tried diverged.",
            "Give lower ones: --lr, or for a fine-tune --rates 0.0003,0.001,0.003.",
        )
    return best


def _widened(grid: Grid, best: Sequence[Point]) -> Grid:
    return tuple(
        range(
            axis.start - any(own[index] == axis[0] for own in best),
            axis.stop + any(own[index] == axis[-1] for own in best),
        )
        for index, axis in enumerate(grid)
    )
