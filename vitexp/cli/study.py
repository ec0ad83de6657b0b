"""One study from its flags to its report: the way of every command that runs one."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping

import typer

from vitexp.cli import budget, execute, long, plan, report
from vitexp.errors import VitexpError
from vitexp.experiment.plan import Plan
from vitexp.experiment.study import Study
from vitexp.launch.machine import Machine
from vitexp.render.console import Detail
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
    dry_run: bool,
    probe: bool,
    json: bool,
    limit: str | None,
    detail: Detail,
) -> None:
    """Run what the study lacks, then report; or, dry, say what that would cost.

    Args:
        name: of the study, or ``file.py:Class``.
        own: the study's own flags, as they are written.
        detail: how much of the report is printed.
        limit: the time that the runs may take, such as ``"2h"``; None for any.

    Raises:
        VitexpError: a flag for what the study's cells differ in, a model that lacks what it is
            about, or a limit for a study whose runs are not all known beforehand.
        typer.Exit: with 1 where a run failed.
    """
    study = configured(name, own, settings)
    _check(study, settings)
    if limit is not None and study.searches:
        raise VitexpError(
            "--budget cannot tell beforehand how many trials the search for rates will need.",
            "Leave it out; --dry-run shows its first trials.",
        )
    machine, base = execute.prepare(settings, seeds=3)
    base = base.asked_with(own)
    if limit is not None:
        base = budget.fitted(study, base, machine, budget.seconds(limit))
        machine = dataclasses.replace(machine, yes=True)
    carry_out(study, name, machine, base, dry_run, probe, json, detail)


def _check(study: Study, settings: Settings) -> None:
    for name in study.decides:
        if getattr(settings, name) is not None:
            raise VitexpError(
                f"vitexp {study.command} compares several values of {spelled(name)} by itself.",
                f"Leave it out; for one cell alone, `vitexp train` takes {spelled(name)}.",
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
    dry_run: bool,
    probe: bool,
    json: bool,
    detail: Detail,
) -> None:
    """Run a study from its base, or say what that would cost.

    Raises:
        typer.Exit: with 1 where a run failed.
    """

    if dry_run:
        planned = functools.partial(study.plan, base)
        return plan.dry_run(machine, planned, study.label, probe, json)
    long.consent(machine, lambda done: study.plan(base, done), study.searches)
    question = None

    def planner(done: Results) -> Plan:
        nonlocal question
        planned = study.plan(base, done)
        if not planned.open:
            question = plans.keep(machine.out, planned.asked(STUDIES.canonical(name), study.stem))
        return planned

    well = execute.execute(machine, planner, study.label)
    report.after(study, question, machine.out, json, detail)
    if not well:
        raise typer.Exit(1)
