"""``vitexp ablate``: run a study and report on it."""

from __future__ import annotations

from typing import Annotated

import typer

from vitexp.cli.flags import Json, with_settings
from vitexp.studies.settings import Settings

DryRun = Annotated[bool, typer.Option("--dry-run", help="print the plan and its cost; run nothing")]
Budget = Annotated[
    str | None,
    typer.Option(help="90s, 30min or 2h: drop whole seeds, the last first, to fit"),
]
Probe = Annotated[bool, typer.Option(help="time a few steps for the plan's estimate")]


@with_settings
def ablate(
    settings: Settings,
    study: Annotated[
        str,
        typer.Argument(help="pos-emb, shape, patch, pool, optimizer, compute or my_study.py:Study"),
    ],
    dry_run: DryRun = False,
    probe: Probe = True,
    budget: Budget = None,
    json: Json = False,
) -> None:
    """Run a study's missing runs; then print its table and write tables/ and plots/.

    The same command again goes on where it stopped; more --seeds add to what is there.
    """
    from vitexp.cli.report import study_of
    from vitexp.cli.study import run

    run(study_of(study), settings, "", dry_run, probe, json, budget)
