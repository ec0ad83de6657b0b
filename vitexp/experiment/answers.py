"""Which questions of a study a store answers: what was asked for, and what is done of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path

from vitexp.errors import VitexpError
from vitexp.experiment.grids import from_scratch
from vitexp.experiment.plan import Grid, Plan
from vitexp.experiment.study import Study
from vitexp.reporting import training
from vitexp.reporting.headline import headline
from vitexp.reporting.report import Report
from vitexp.runs.measurement import Measurement
from vitexp.runs.plans import Asked, kept
from vitexp.runs.record import Results, RunRecord
from vitexp.runs.store import Store
from vitexp.settings.flags import Settings, said
from vitexp.settings.model import other_model
from vitexp.settings.run import resolve, resolve_again
from vitexp.spec import own_probe


def grids(study: Study, name: str, out: Path, done: Results) -> list[Grid]:
    """One entry a question (data, model, recipe, ...), the one with the latest run last.

    Args:
        name: of the study, in its one spelling.
    """
    every = kept(out)
    known = {run for each in every for cell in each.cells.values() for run in cell}
    asked = [each for each in every if each.study == name]
    # What another study asked for is no question of this one, though all of its runs may be here.
    asked = asked or [e for e in earlier(study, name, done) if _begun_runs(e, done) - known]
    found = (Grid(each, done, study.command, _measured(study, each, out, done)) for each in asked)
    return sorted((grid for grid in found if study.answered(grid.keys())), key=lambda g: g.ended)


def _measured(
    study: Study, asked: Asked, out: Path, done: Results
) -> dict[str, Measurement] | None:
    """What was measured of the runs of a question, where its study asks for that."""
    if study.probe is None:
        return None
    store, runs = Store(out), (run for cell in asked.cells.values() for run in cell)
    specs = [done[run].spec for run in runs if run in done]
    found = (store.measurement(spec, own_probe(spec, study.probe)) for spec in specs)
    return {each.run_id: each for each in found if each is not None}


def reported(study: Study, grid: Grid) -> Report:
    """A study's report on a grid, with how far training came and what it comes to."""
    said, groups = study.report(grid), list(grid.values())
    return dataclasses.replace(
        said,
        facts=said.facts + training.facts(groups),
        headline=headline(said, training.undertrained(groups), training.limited_words(groups)),
    )


def earlier(study: Study, name: str, done: Results) -> list[Asked]:
    """What a store was asked for by a version that did not write it down.

    The flags that its runs keep are asked again; what they come to today is the question, if
    half of its cells have runs, so that it was not another that they were asked for.
    """
    plans = study.earlier(done)
    if plans is None:
        plans = [plan for runs in _by_flags(study, done) if (plan := _planned(study, runs, done))]
    whole = [plan for plan in plans if not plan.open and 2 * _begun(plan, done) >= len(plan.cells)]
    found: dict[str, Asked] = {}
    for asked in (plan.asked(name, study.stem) for plan in whole):
        before = found.get(asked.name)
        found[asked.name] = asked.with_seeds_of(before) if before else asked
    return list(found.values())


def _begun_runs(asked: Asked, done: Results) -> set[str]:
    return {run for cell in asked.cells.values() for run in cell if run in done}


def _begun(plan: Plan, done: Results) -> int:
    """How many cells have a run."""
    return sum(any(run.id in done for run in runs) for runs in plan.cells.values())


def _by_flags(study: Study, done: Results) -> Iterable[list[RunRecord]]:
    """Runs that the same flags asked for on the same data, a list each."""
    found: dict[tuple[object, ...], list[RunRecord]] = {}
    for record in from_scratch(done):
        model, data = record.spec.model, record.spec.data
        fits = model.vit is not None and (study.needs == "transformer" or model.trunk is None)
        if record.spec.asked and (study.needs is None or fits):
            key = (record.spec.asked, data.fingerprint, record.spec.precision)
            found.setdefault(key, []).append(record)
    return found.values()


def _planned(study: Study, runs: list[RunRecord], done: Results) -> Plan | None:
    """What the flags of these runs ask of a study today; None where they cannot."""
    spec = runs[0].spec
    given, others = said(spec.asked)
    settings = Settings(**{**given, "dataset": spec.data.source})
    if "model" in study.decides:
        settings = dataclasses.replace(other_model(settings, None), model=None)
    # Momentum is an optimiser's.
    free = (*study.decides, "momentum") if "optimizer" in study.decides else study.decides
    settings = dataclasses.replace(settings, **dict.fromkeys(free))
    own = {flag: " ".join(values) for flag, values in others.items() if flag in study.own}
    seeds = tuple(sorted({run.spec.seed for run in runs}))
    try:
        if spec.data.classes is None:
            base = resolve_again(settings, spec, seeds)
        else:
            whole = dataclasses.replace(settings, dataset=given.get("dataset"))
            base = dataclasses.replace(resolve(whole, spec.precision), seeds=seeds)
        return type(study).configured(own, settings).planned(base.asked_with(own), done)
    except VitexpError:
        return None
