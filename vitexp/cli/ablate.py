"""``vitexp ablate``: run a study and report on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from vitexp.cli.flags import Json, with_settings
from vitexp.studies.settings import Settings

if TYPE_CHECKING:
    from vitexp.runs.record import Results
    from vitexp.spec import RunSpec

DryRun = Annotated[bool, typer.Option("--dry-run", help="print the plan and its cost; run nothing")]
Probe = Annotated[bool, typer.Option(help="time a few steps for the plan's estimate")]


@with_settings
def ablate(
    settings: Settings,
    study: Annotated[str, typer.Argument(help="pos-emb, or my_study.py:Study")],
    dry_run: DryRun = False,
    probe: Probe = True,
    json: Json = False,
) -> None:
    """Run a study's missing runs; then print its table and write tables/ and plots/.

    The same command again goes on where it stopped; more --seeds add to what is there.
    """
    from vitexp.cli import execute, plan, report, screen

    chosen = report.study_of(study)
    machine, base = execute.prepare(settings, seeds=3)

    def planner(done: Results) -> list[RunSpec]:
        return list(chosen.plan(base, done))

    if dry_run:
        value = plan.as_json(plan.forecast(machine, planner, probe), machine, chosen.label)
        return screen.emit(value) if json else plan.show(value)
    ids, well = execute.execute(machine, planner, chosen.label)
    report.after(chosen, machine.out, ids, json)
    if not well:
        raise typer.Exit(1)
