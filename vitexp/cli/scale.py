"""``vitexp scale``: models against the amount of training data."""

from __future__ import annotations

from typing import Annotated

import typer

from vitexp.cli.flags import Json, with_settings
from vitexp.cli.options import (
    Budget,
    DryRun,
    Manner,
    MaxSeeds,
    Notes,
    Probe,
    Quiet,
    UntilDecided,
    detail,
    most_seeds,
)
from vitexp.errors import VitexpError
from vitexp.settings.flags import Settings


@with_settings
def scale(
    settings: Settings,
    models: Annotated[
        str,
        typer.Option(help="names, with commas [a ResNet, a hybrid and three ViTs]"),
    ] = "",
    fractions: Annotated[
        str, typer.Option(help="shares of the train split, with commas")
    ] = "3%,10%,30%,100%",
    tune: Annotated[
        bool, typer.Option("--tune", help="choose each model's rate and decay on validation first")
    ] = False,
    dry_run: DryRun = False,
    probe: Probe = True,
    budget: Budget = None,
    until_decided: UntilDecided = False,
    max_seeds: MaxSeeds = None,
    notes: Notes = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """How much data each family needs: models by nested fractions of the train split.

    The same number of steps for every fraction; with --epochs, the same number of epochs.
    """
    from vitexp.cli.study import run

    if settings.model or settings.fraction:
        flag = "--model" if settings.model else "--fraction"
        raise VitexpError(
            f"{flag} names one, but scale compares several.", f"Write {flag}s, with commas."
        )
    if tune and budget:
        raise VitexpError(
            "--budget cannot tell beforehand how many trials --tune will need.",
            "Leave one of them out; --tune --dry-run shows its first trials.",
        )
    own = {"--models": models, "--fractions": fractions}
    own = {flag: value for flag, value in own.items() if value} | ({"--tune": ""} if tune else {})
    most = most_seeds(until_decided, max_seeds)
    manner = Manner(dry_run, probe, json, detail(notes, quiet), budget, most)
    run("data_size", settings, own, manner)
