"""One study from its flags to its report: the way of every command that runs one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import typer

from vitexp.analysis.decide import LOOKS
from vitexp.cli import budget, execute, long, looks, plan, report, screen
from vitexp.cli.options import Manner, canonical
from vitexp.errors import VitexpError
from vitexp.experiment.looks import Question
from vitexp.experiment.plan import Grid, Plan
from vitexp.experiment.study import Study
from vitexp.launch.machine import Machine
from vitexp.runs import plans
from vitexp.runs.record import Results
from vitexp.settings.base import Base
from vitexp.settings.flags import Settings, spelled
from vitexp.settings.model import Wanted
from vitexp.studies import STUDIES
from vitexp.studies.named import configured

_WITHOUT = {
    "transformer": ({"resnet": "ResNet"}, "vit-xs/4 or r20+vit-ti"),
    "vit": ({"resnet": "ResNet", "hybrid": "hybrid"}, "vit-xs/4"),
}
"""What a study needs -> the families that are none, and models that are."""


def run(
    name: str,
    settings: Settings,
    own: Mapping[str, str],
    manner: Manner,
) -> None:
    """Run what the study lacks, then report; or, dry, say what that would cost.

    Args:
        name: of the study, or ``file.py:Class``.
        own: the study's own flags, as they are written.

    Raises:
        VitexpError: a flag for what the study's cells differ in, a model that lacks what it is
            about, or a limit for a study whose runs are not all known beforehand.
        typer.Exit: with 1 where a run failed.
    """
    study = configured(canonical(name), own, settings)
    _check(study, settings)
    if manner.budget is not None and study.searches:
        raise VitexpError(
            "--budget cannot tell beforehand how many trials the search for rates will need.",
            "Leave it out; --dry-run shows its first trials.",
        )
    seconds = None if manner.budget is None else budget.seconds(manner.budget)
    until = None if manner.most is None else looks.Until(manner.most, seconds)
    if until and settings.seeds:
        raise VitexpError(
            "--until-decided chooses the number of seeds, and --seeds gives it.",
            "Leave one of them out; --max-seeds says how far it may go.",
        )
    machine, base = execute.prepare(settings, seeds=LOOKS[0])
    base = base.asked_with(own)
    if seconds is not None:
        base = budget.fitted(study, base, machine, seconds)
        machine = dataclasses.replace(machine, yes=True)
    if until and len(base.seeds) < LOOKS[0]:
        raise VitexpError(
            f"--budget leaves no time for the {LOOKS[0]} seeds of all cells that a verdict needs.",
            "Give a larger --budget, or choose fewer --steps, models or fractions.",
        )
    carry_out(study, name, machine, base, manner, until)


def _check(study: Study, settings: Settings) -> None:
    for name in study.decides:
        if getattr(settings, name) is not None:
            raise VitexpError(
                f"vitexp {study.command} compares several values of {spelled(name)} by itself.",
                f"Leave it out; for one cell alone, `vitexp train` takes {spelled(name)}.",
            )
    if study.probe and settings.keep is False:
        raise VitexpError(
            f"vitexp {study.command} measures trained weights, and --no-keep leaves none.",
            "Leave it out; `vitexp runs rm` frees the disk afterwards.",
        )
    if study.needs is None:
        return
    others, such = _WITHOUT[study.needs]
    if other := others.get(Wanted.of(settings).family):
        what = "a ViT by itself" if study.needs == "vit" else "a transformer"
        raise VitexpError(
            f"vitexp {study.command} is about {what}, and {settings.model} is a {other}.",
            f"Choose another with --model, such as {such}.",
        )


def carry_out(
    study: Study,
    name: str,
    machine: Machine,
    base: Base,
    manner: Manner,
    until: looks.Until | None = None,
) -> None:
    """Run a study from its base, or say what that would cost.

    Raises:
        typer.Exit: with 1 where a run failed.
    """

    def planner(done: Results) -> Plan:
        return study.planned(base, done)

    if manner.dry_run:
        if until is not None:
            screen.say(f"First {len(base.seeds)} seeds; then more of what is open, {until}.")
        return plan.dry_run(machine, planner, study.label, manner.probe, manner.json)
    long.consent(machine, planner, study.searches)
    question = None

    def kept(planned: Plan) -> Plan:
        nonlocal question
        if not planned.open:
            question = plans.keep(machine.out, planned.asked(STUDIES.canonical(name), study.stem))
        return planned

    if until is None:
        well = execute.execute(machine, lambda done: kept(planner(done)), study.label)
    else:
        well = looks.settle(machine, _asking(study, base, kept), until)
    if study.probe:
        well = execute.measure(machine, planner, study.probe) and well
    report.after(study, question, machine.out, manner.json, manner.detail)
    if not well:
        raise typer.Exit(1)


def _asking(study: Study, base: Base, kept: Callable[[Plan], Plan]) -> looks.Asking:
    """What the study asks, seed by seed; ``kept`` takes each plan that is run."""

    def plan(count: int, done: Results) -> Plan:
        seeds = range(base.seeds[0], base.seeds[0] + count)
        return study.planned(dataclasses.replace(base, seeds=tuple(seeds)), done)

    def questions(plan: Plan, done: Results) -> list[Question]:
        return study.questions(Grid(plan.asked(study.stem, study.stem), done, study.command))

    return looks.Asking(plan, kept, questions, study.label)
