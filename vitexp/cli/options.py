"""Options that several commands have, and what is written after them."""

from __future__ import annotations

import sys
import typing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from vitexp.errors import VitexpError, unknown
from vitexp.spec import Copy
from vitexp.studies import STUDIES

if TYPE_CHECKING:
    from vitexp.render.console import Detail

DryRun = Annotated[bool, typer.Option("--dry-run", help="print the plan and its cost; run nothing")]
Budget = Annotated[
    str | None,
    typer.Option(help="90s, 30min or 2h: drop whole seeds, the last first, to fit"),
]
UntilDecided = Annotated[
    bool,
    typer.Option("--until-decided", help="add seeds, at the looks, to what is still open"),
]
MaxSeeds = Annotated[
    int | None,
    typer.Option(
        help="with --until-decided: seeds of a cell, at most [those of the last look, 20]"
    ),
]
Notes = Annotated[bool, typer.Option("--notes", help="print the verdicts and notes in full, too")]
Quiet = Annotated[bool, typer.Option("--quiet", help="print what it comes to alone")]
Probe = Annotated[bool, typer.Option(help="time a few steps for the plan's estimate")]


@dataclass(frozen=True)
class Manner:
    """How a study is run and what is printed of it.

    Attributes:
        dry_run: only say what it would cost.
        probe: time a few steps for that.
        detail: how much of the report is printed.
        budget: the time that the runs may take, such as ``"2h"``; None for any.
        most: seeds of a cell until it is decided; None for a fixed number of all.
    """

    dry_run: bool
    probe: bool
    json: bool
    detail: Detail
    budget: str | None = None
    most: int | None = None


def detail(notes: bool, quiet: bool) -> Detail:
    """How much of a report ``--notes`` and ``--quiet`` ask for."""
    return "notes" if notes else "headline" if quiet else "table"


StudyName = Annotated[
    str | None,
    typer.Argument(
        metavar="[STUDY]", help=f"{', '.join(map(STUDIES.typed, STUDIES))} or FILE.py:Study [all]"
    ),
]


def canonical(study: str) -> str:
    """A study in its one spelling; where another was typed, the one to type is said.

    Raises:
        VitexpError: there is no such study.
    """
    from vitexp.cli import screen

    found = STUDIES.canonical(study)
    if study.lower().replace("-", "_") != found.lower():
        screen.say(f"{study} is the study {STUDIES.typed(found)}.")
    return found


def most_seeds(until_decided: bool, max_seeds: int | None) -> int | None:
    """Seeds that ``--until-decided`` may give a cell; None without it.

    Raises:
        VitexpError: a limit to what was not asked for.
    """
    if max_seeds is not None and not until_decided:
        raise VitexpError(
            "--max-seeds limits --until-decided.", "Add that, or give --seeds instead."
        )
    limit = sys.maxsize if max_seeds is None else max_seeds
    return limit if until_decided else None


Things = Annotated[
    list[str],
    typer.Argument(
        metavar="RUN|FILE...", help="run ids or their first digits; files or folders of weights"
    ),
]
ModelOfFile = Annotated[
    str | None,
    typer.Option("--model", help="the model that a file holds, such as vit-b/16@384"),
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, mps, cuda or cuda:0")]
Deterministic = Annotated[
    bool, typer.Option("--deterministic", help="the same bits again, also on CUDA")
]
Weights = Annotated[
    str | None,
    typer.Option(
        "--weights",
        metavar="raw|ema",
        help="of a file with both: the weights as trained, or their exponential mean [raw]",
    ),
]


def copy_of(text: str | None) -> Copy | None:
    """What ``--weights`` asks for.

    Raises:
        VitexpError: neither ``raw`` nor ``ema``.
    """
    if text is not None and text not in typing.get_args(Copy):
        raise unknown("--weights", text, typing.get_args(Copy))
    return typing.cast("Copy | None", text)
