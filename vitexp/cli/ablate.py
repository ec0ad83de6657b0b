"""``vitexp ablate``: run a study and report on it."""

from __future__ import annotations

import dataclasses
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
from vitexp.settings.flags import Settings


@with_settings
def ablate(
    settings: Settings,
    study: Annotated[
        str,
        typer.Argument(
            help="pos-emb, shape, patch, pool, optimizer, compute, resolution, pretrain,"
            " bias or my_study.py:Study"
        ),
    ],
    models: Annotated[
        str, typer.Option(help="compute, bias: names, with commas [by image size]")
    ] = "",
    source: Annotated[
        str, typer.Option(help="pretrain: the data set to pre-train on [--dataset]")
    ] = "",
    target: Annotated[
        str, typer.Option(help="pretrain: the data set to go on to [the source's other classes]")
    ] = "",
    target_image_column: Annotated[
        str, typer.Option(help="pretrain: the target's column of images [by name and type]")
    ] = "",
    target_label_column: Annotated[
        str, typer.Option(help="pretrain: the target's column of labels [by name and type]")
    ] = "",
    source_classes: Annotated[
        int | None, typer.Option(help="pretrain: classes to pre-train on [six in ten]", min=1)
    ] = None,
    fractions: Annotated[
        str,
        typer.Option(help="pretrain, bias: shares of the (target's) train split [3%,10%,30%,100%]"),
    ] = "",
    dry_run: DryRun = False,
    probe: Probe = True,
    budget: Budget = None,
    until_decided: UntilDecided = False,
    max_seeds: MaxSeeds = None,
    notes: Notes = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Run a study's missing runs; then print its table and write tables/ and plots/.

    The same command again goes on where it stopped; more --seeds add to what is there.
    """
    from vitexp.cli.study import run

    asked = {
        "--models": models,
        "--source": source,
        "--target": target,
        "--target-image-column": target_image_column,
        "--target-label-column": target_label_column,
        "--source-classes": "" if source_classes is None else str(source_classes),
        "--fractions": fractions,
    }
    settings = dataclasses.replace(settings, dataset=source or settings.dataset)
    own = {flag: value for flag, value in asked.items() if value}
    most = most_seeds(until_decided, max_seeds)
    manner = Manner(dry_run, probe, json, detail(notes, quiet), budget, most)
    run(study, settings, own, manner)
