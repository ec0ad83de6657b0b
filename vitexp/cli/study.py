"""One study from its flags to its report: the way of every command that runs one."""

from __future__ import annotations

import dataclasses

import typer

from vitexp.cli import budget, execute, long, plan, report, screen
from vitexp.errors import VitexpError
from vitexp.experiment.study import Study
from vitexp.runs.record import Results
from vitexp.settings.base import Base
from vitexp.settings.flags import Settings, spelled
from vitexp.settings.model import Wanted
from vitexp.spec import RunSpec

_WITHOUT = {
    "transformer": ({"resnet": "ResNet"}, "vit-xs/4 or r20+vit-ti"),
    "vit": ({"resnet": "ResNet", "hybrid": "hybrid"}, "vit-xs/4"),
}
"""What a study needs -> the families that are none, and models that are."""


def run(
    study: Study,
    settings: Settings,
    own: str,
    dry_run: bool,
    probe: bool,
    json: bool,
    limit: str | None,
) -> None:
    """Run what the study lacks, then report; or, dry, say what that would cost.

    Args:
        own: the command's own flags, beside the settings', for a command that extends the grid.
        limit: the time that the runs may take, such as ``"2h"``; None for any.

    Raises:
        VitexpError: a flag for what the study's cells differ in, a model that lacks what it is
            about, or a limit for a study whose runs cannot all be told beforehand.
        typer.Exit: with 1 where a run failed.
    """
    _check(study, settings)
    if limit is not None and study.searches:
        raise VitexpError(
            "--budget cannot tell beforehand how many trials the search for rates will need.",
            "Leave it out; --dry-run shows its first trials.",
        )
    machine, base = execute.prepare(settings, seeds=3)
    asked = f"{base.run.asked} {own}".strip()
    base = dataclasses.replace(base, run=dataclasses.replace(base.run, asked=asked))

    if limit is not None:
        base = budget.fitted(study, base, machine, budget.seconds(limit))
        machine = dataclasses.replace(machine, yes=True)
    carry_out(study, machine, base, dry_run, probe, json)


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
    study: Study, machine: execute.Machine, base: Base, dry_run: bool, probe: bool, json: bool
) -> None:
    """Run a study from its base, or say what that would cost.

    Raises:
        typer.Exit: with 1 where a run failed.
    """

    def planner(done: Results) -> list[RunSpec]:
        return list(study.plan(base, done))

    if dry_run:
        value = plan.as_json(plan.forecast(machine, planner, probe), machine, study.label)
        return screen.emit(value) if json else plan.show(value)
    long.consent(machine, planner, study.searches)
    ids, well = execute.execute(machine, planner, study.label)
    report.after(study, machine.out, ids, json)
    if not well:
        raise typer.Exit(1)
