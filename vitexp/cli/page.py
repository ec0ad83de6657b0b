"""``vitexp report``: all that a results folder has to say, as one page."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vitexp.cli.flags import Json, Out

if TYPE_CHECKING:
    from vitexp.experiment.study import Study
    from vitexp.page.answer import Answer
    from vitexp.runs.record import Results

NAME = "report.html"
RELOAD = 15
"""Seconds after which a page that follows runs shows what it has become."""


def report(
    out: Out = Path("."),
    to: Annotated[
        Path | None, typer.Option("-o", "--to", help=f"the page [{NAME} in --out]")
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="write it anew when results come, until Ctrl-C")
    ] = False,
    json: Json = False,
) -> None:
    """Write one HTML page of all studies and runs, to look at, send and keep.

    It opens from the disk, without a network: tables, figures and verdicts of every study; each
    cell's seeds, curves, settings, command and worst test images; all runs, all claims, the cost.
    """
    from vitexp.cli import screen

    file = to or out / NAME
    if watch:
        return _follow(out, file)
    size = _write(out, file)
    if json:
        return screen.emit({"file": str(file), "bytes": size})
    screen.say(f"Wrote {file} ({screen.size(size)}).")


def _write(out: Path, file: Path, reload: int | None = None) -> int:
    """The page as things stand now; how many bytes it is."""
    from vitexp.errors import VitexpError
    from vitexp.page.contents import contents
    from vitexp.page.html import html
    from vitexp.render.files import publish
    from vitexp.runs.record import Results
    from vitexp.tasks.listed import listed

    runs = listed(out)
    if not runs and reload is None:
        raise VitexpError(
            f"No runs in {out / 'runs'}.",
            "Run a study first, with `vitexp ablate pos-emb`, or choose another --out.",
        )
    done = Results(record for one in runs if (record := one.entry.record))
    studies = _studies(out)
    answers = _answers(studies, out, done)
    page = html(contents(out, answers, studies.values(), runs, done, reload)).encode(
        errors="replace"
    )
    publish(file, page)
    return len(page)


def _studies(out: Path) -> dict[str, Study]:
    from vitexp.cli.report import all_studies
    from vitexp.studies.named import study_of

    return {name: study_of(name) for name in all_studies(out)}


def _answers(studies: Mapping[str, Study], out: Path, done: Results) -> list[Answer]:
    """Of each study every grid, the latest last."""
    from vitexp.experiment.answers import grids, reported
    from vitexp.page.answer import Answer
    from vitexp.studies import STUDIES

    return [
        Answer(STUDIES.typed(name), grid, reported(study, grid))
        for name, study in studies.items()
        for grid in grids(study, name, out, done)
    ]


def _follow(out: Path, file: Path) -> None:
    """Writes the page after each change; once stopped, as one that stays as it is."""
    from vitexp.cli import screen
    from vitexp.errors import VitexpError
    from vitexp.page.watch import PERIOD, follow

    def write() -> None:
        try:
            size = _write(out, file, RELOAD)
            screen.say(f"{datetime.now():%H:%M:%S}  {file} ({screen.size(size)})")
        except VitexpError as error:
            # What is half there now may be whole at the next look.
            screen.say(f"{datetime.now():%H:%M:%S}  {error.problem} {error.remedy}")

    screen.say(f"Looks at {out} every {PERIOD:g} s. Ctrl-C ends it.")
    with suppress(KeyboardInterrupt):
        follow(out, write)
    size = _write(out, file)
    screen.say(f"Wrote {file} ({screen.size(size)}), for good.")
