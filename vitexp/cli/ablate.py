"""``vitexp ablate``: run a study and report on it."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from vitexp.cli.flags import Json, with_settings
from vitexp.cli.options import Budget, DryRun, Probe, parsed
from vitexp.settings.flags import Settings
from vitexp.spec import Reading

if TYPE_CHECKING:
    from vitexp.experiment.study import Study


@with_settings
def ablate(
    settings: Settings,
    study: Annotated[
        str,
        typer.Argument(
            help="pos-emb, shape, patch, pool, optimizer, compute, resolution, pretrain or"
            " my_study.py:Study"
        ),
    ],
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
        str, typer.Option(help="pretrain: shares of the target's train split [3%,10%,30%,100%]")
    ] = "",
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

    asked = {
        "--source": source,
        "--target": target,
        "--target-image-column": target_image_column,
        "--target-label-column": target_label_column,
        "--fractions": fractions,
        "--source-classes": "" if source_classes is None else str(source_classes),
    }
    own = {flag: value for flag, value in asked.items() if value}
    chosen = study_of(study)
    if own:
        chosen = _pretrain(chosen, own, settings.reading)
        settings = dataclasses.replace(settings, dataset=source or settings.dataset)
    words = shlex.join(word for pair in own.items() for word in pair)
    run(chosen, settings, words, dry_run, probe, json, budget)


def _pretrain(study: Study, own: Mapping[str, str], reading: Reading) -> Study:
    """The study of pre-training with its own flags.

    Args:
        reading: how the source's files are read, and the target's but for its columns.

    Raises:
        VitexpError: another study, or flags that exclude one another.
    """
    from vitexp.errors import VitexpError
    from vitexp.studies.data_size.study import FRACTIONS
    from vitexp.studies.pretrain.study import Pretrain

    if not isinstance(study, Pretrain):
        raise VitexpError(
            f"{next(iter(own))} means nothing to this study.",
            "Leave it out; it is a flag of `vitexp ablate pretrain`.",
        )
    if "--target" in own and "--source-classes" in own:
        raise VitexpError(
            "--target and --source-classes exclude one another.",
            "Give --target to go on to another data set, or --source-classes to share one out.",
        )
    columns = {name: own.get(f"--target-{name}-column") for name in ("image", "label")}
    if any(columns.values()) and "--target" not in own:
        raise VitexpError(
            "There is no --target whose columns could be named.",
            "Name those of the data set with --image-column and --label-column.",
        )
    kept, shares = own.get("--source-classes"), own.get("--fractions")
    return Pretrain(
        target=own.get("--target", ""),
        source_classes=int(kept) if kept else None,
        fractions=tuple(map(parsed, shares.split(","))) if shares else FRACTIONS,
        reading=dataclasses.replace(
            reading,
            image_column=columns["image"],
            label_column=columns["label"],
        ),
    )
