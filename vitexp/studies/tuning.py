"""A small search over learning rate and weight decay, the same for every model.

It uses the validation split and seeds of its own; what a winner scored there is not reported.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

from vitexp.runs.record import Results
from vitexp.spec import RunSpec
from vitexp.studies.grids import TUNING_SEEDS

_FACTOR = 3.0
_WIDENINGS = 2
"""How often a winner at the edge may widen the grid."""

Exponents = tuple[int, int]
"""Of the factor, for learning rate and weight decay."""

Grid = tuple[range, range]


def tuned(bases: Sequence[RunSpec], done: Results) -> tuple[list[RunSpec], list[Exponents] | None]:
    """The trials of all models, and each one's best exponents once all trials are done.

    A winner at the edge of the grid widens it there, for every model alike.

    Args:
        bases: one run a model, with the preset's values.
    """
    grid: Grid = (range(-1, 2), range(-1, 2))
    for widening in range(_WIDENINGS + 1):
        trials = [_trials(base, grid) for base in bases]
        flat = [run for own in trials for run in own.values()]
        if any(run.id not in done for run in flat):
            return flat, None
        best = [_best(own, done) for own in trials]
        wider = _widened(grid, best)
        if wider == grid or widening == _WIDENINGS:
            break
        grid = wider
    return flat, best


def with_exponents(run: RunSpec, exponents: Exponents) -> RunSpec:
    """``run`` with its learning rate and weight decay times the factor to these powers."""
    lr, decay = (_FACTOR**exponent for exponent in exponents)
    recipe = dataclasses.replace(
        run.recipe,
        lr=float(f"{run.recipe.lr * lr:.4g}"),
        weight_decay=float(f"{run.recipe.weight_decay * decay:.4g}"),
    )
    return dataclasses.replace(run, recipe=recipe)


def _trials(base: RunSpec, grid: Grid) -> dict[Exponents, RunSpec]:
    seeded = base.seeded(TUNING_SEEDS + base.seed)
    return {
        (lr, decay): with_exponents(seeded, (lr, decay)) for lr, decay in itertools.product(*grid)
    }


def _best(trials: dict[Exponents, RunSpec], done: Results) -> Exponents:
    """The best on validation; of equals the nearest to the preset."""

    def score(exponents: Exponents) -> tuple[float, int]:
        record = done[trials[exponents].id]
        return record.metrics.get("val_top1", -1.0), -sum(map(abs, exponents))

    return max(trials, key=score)


def _widened(grid: Grid, best: Sequence[Exponents]) -> Grid:
    first, second = (
        range(
            axis.start - any(own[index] == axis[0] for own in best),
            axis.stop + any(own[index] == axis[-1] for own in best),
        )
        for index, axis in enumerate(grid)
    )
    return first, second
