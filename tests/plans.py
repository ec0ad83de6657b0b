"""Grids for tests: of a study's plan, or of made-up runs sorted into cells."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from vitexp.catalog.sizes import called
from vitexp.experiment.plan import Grid, Plan
from vitexp.experiment.study import Study
from vitexp.runs.measurement import Measurement
from vitexp.runs.plans import Key
from vitexp.runs.record import Results, RunRecord
from vitexp.spec import RunSpec


def done_of(
    study: Study, plan: Plan, done: Results, measured: Mapping[str, Measurement] | None = None
) -> Grid:
    """What is done of a plan."""
    return Grid(plan.asked(study.stem, study.stem), done, study.command, measured)


def sorted_into(
    study: Study,
    records: Iterable[RunRecord],
    key: Callable[[RunSpec], Key],
    reference: Key | None = None,
    tries: Iterable[RunSpec] = (),
) -> Grid:
    """A grid of these runs."""
    several = list(records)
    cells: dict[Key, list[RunSpec]] = {}
    for record in several:
        cells.setdefault(key(record.spec), []).append(record.spec)
    plan = Plan(cells, reference, tries={("search",): list(tries)})
    return done_of(study, plan, Results(several))


def by_position(spec: RunSpec) -> Key:
    return spec.position.kind, spec.position.placement


def by_model(spec: RunSpec) -> Key:
    return (called(spec.model),)


def by_fraction(spec: RunSpec) -> Key:
    return called(spec.model), spec.data.fraction or 1.0
