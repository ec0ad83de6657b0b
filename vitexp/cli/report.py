"""``vitexp table`` and ``vitexp plot``: reports on the runs that are done."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitexp.cli.flags import Json, Out
from vitexp.cli.options import Notes, Quiet, StudyName, canonical, detail
from vitexp.spec import USUAL

if TYPE_CHECKING:
    from vitexp.experiment.plan import Grid
    from vitexp.experiment.study import Study
    from vitexp.render.console import Detail
    from vitexp.reporting.report import Report
    from vitexp.runs.plans import Asked

    Answer = tuple[Report, list[Report]]
    """A report to show, and what the files hold: each under its own stem."""

CURVES, ERRORS = "curves", "errors"

GridName = Annotated[
    str | None,
    typer.Option(help="a --name, or first digits of a grid or of a run in it [the latest]"),
]


def table(
    study: StudyName = None,
    out: Out = Path("."),
    grid: GridName = None,
    notes: Notes = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Print a study's table and write it to tables/, without running anything.

    Of several grids the latest is printed; each has files of its own, named after its data.
    """
    from vitexp.render import write_tables

    for report, files in _answers(study, out, grid):
        paths = [path for each in files for path in write_tables(each, out)]
        _show(report, paths, json, detail(notes, quiet))


def plot(
    study: StudyName = None,
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RUN...]", help="curves, errors: run ids or their first digits [curves: all]"
        ),
    ] = None,
    out: Out = Path("."),
    grid: GridName = None,
    paper: Annotated[bool, typer.Option("--paper", help="compute: the paper's Table 6")] = False,
    json: Json = False,
) -> None:
    """Draw a study's figures into plots/, without running anything.

    `plot curves` draws loss, accuracy and learning rate of runs along their steps; `plot errors`
    what runs take for what on their test images, which it predicts again, and the worst of these.
    """
    from vitexp.cli import screen
    from vitexp.render import write_figures

    if study == ERRORS:
        answers = _errors(out, runs or [])
    elif study == CURVES or runs:
        report = _curves(study, out, runs or [])
        answers = [(report, [report])]
    else:
        answers = [(_paper(study), [_paper(study)])] if paper else _answers(study, out, grid)
    files = [path for _, each in answers for report in each for path in write_figures(report, out)]
    for report, _ in answers:
        for figure in report.figures:
            for remark in getattr(figure, "remarks", ()):
                screen.say(remark)
    if json:
        return screen.emit({"files": list(map(str, files))})
    screen.say(_wrote(files))


def _curves(study: str | None, out: Path, runs: Sequence[str]) -> Report:
    from vitexp.errors import VitexpError
    from vitexp.runs.store import Store
    from vitexp.tasks.curves import curves

    if study != CURVES:
        raise VitexpError(
            f"{runs[0]} means nothing to {study}.",
            "Runs follow `plot curves` and `plot errors`; `--grid RUN` chooses the grid that a run"
            " is in.",
        )
    return curves(Store(out), runs)


def _errors(out: Path, runs: Sequence[str]) -> list[Answer]:
    from vitexp.cli.execute import check_writable
    from vitexp.cli.predict import predicted, subjects_of
    from vitexp.errors import VitexpError
    from vitexp.launch import devices
    from vitexp.launch.machine import Machine
    from vitexp.runs.store import Store
    from vitexp.tasks.errors import errors

    if not runs:
        raise VitexpError(
            "The errors of which run?",
            "Name it: `vitexp plot errors RUN`; `vitexp runs list` shows the ids.",
        )
    check_writable(out)
    subjects = subjects_of(runs, Store(out))
    machine = Machine(out, devices.resolve("auto"))
    with predicted(subjects, None, USUAL, machine, out) as files:
        reports = [errors(*pair) for pair in zip(subjects, files, strict=True)]
    return [(each[0], each) for each in reports]


def _paper(study: str | None) -> Report:
    from vitexp.errors import VitexpError
    from vitexp.studies.compute.paper import paper_report

    if study is None or canonical(study) != "compute":
        raise VitexpError(
            "--paper draws the paper's Table 6, which is about compute.",
            "Write `vitexp plot compute --paper`.",
        )
    return paper_report()


def _show(report: Report, files: Sequence[Path], json: bool, detail: Detail) -> None:
    from vitexp.cli import screen
    from vitexp.render.console import console

    if json:
        return screen.emit(_as_json(report, files))
    screen.stdout().print(console(report, detail))
    if detail == "headline":
        return
    more = "" if detail == "notes" else " More on the screen with --notes."
    screen.say(f"{_wrote(files)}{more}")


def _as_json(report: Report, files: Sequence[Path]) -> dict[str, Any]:
    """A report under the stable names of docs/json.md."""
    return {
        "study": report.stem,
        "facts": dict(report.facts),
        "headline": list(report.headline),
        "rows": list(report.rows),
        "claims": [asdict(claim) for claim in report.claims],
        "notes": list(report.notes),
        "files": list(map(str, files)),
    }


def _wrote(files: Sequence[Path]) -> str:
    return f"Wrote {', '.join(map(str, files))}."


def after(
    study: Study, asked: Asked | None, out: Path, json: bool, detail: Detail = "table"
) -> None:
    """Report on what is done of what was just asked for."""
    from vitexp.cli import screen
    from vitexp.experiment.answers import grids, reported
    from vitexp.render import write
    from vitexp.runs.store import Store

    found = grids(study, asked.study, out, Store(out).results()) if asked else []
    grid = next((grid for grid in found if asked and grid.name == asked.name), None)
    if grid is None:
        return screen.say("No table: too few of the study's runs are done.")
    report = reported(study, grid)
    stems = dict.fromkeys((report.stem, *_stems(grid, found, report.stem)))
    files = [path for stem in stems for path in write(replace(report, stem=stem), out)]
    for other in found:
        files += _first_files(study, other, found, out)
    _show(report, files, json, detail)


def _first_files(study: Study, grid: Grid, grids: Sequence[Grid], out: Path) -> list[Path]:
    """The files of a grid that was the only one so far, under the name that is its own now."""
    from vitexp.experiment.answers import reported
    from vitexp.render import write

    stem = _stems(grid, grids, study.stem)[-1]
    if (out / "tables" / f"{stem}.csv").exists():
        return []
    return write(replace(reported(study, grid), stem=stem), out)


def _answers(name: str | None, out: Path, wanted: str | None) -> list[Answer]:
    """Of each study the latest grid, or the one that is ``wanted``."""
    from vitexp.errors import VitexpError
    from vitexp.experiment.answers import grids, reported
    from vitexp.runs.store import Store
    from vitexp.studies import STUDIES
    from vitexp.studies.named import study_of

    done = Store(out).results()
    answers: list[Answer] = []
    known: list[Grid] = []
    for each in [canonical(name)] if name else all_studies(out):
        study = study_of(each)
        found = grids(study, each, out, done)
        known += found
        if chosen := _pick(found, wanted, out):
            shown = [chosen] if wanted else found
            reports = {grid.name: reported(study, grid) for grid in shown}
            files = [
                replace(reports[grid.name], stem=stem)
                for grid in shown
                for stem in _stems(grid, found, study.stem)
            ]
            answers.append((reports[chosen.name], files))
    if not answers and known:
        others = "".join(f"\n  --grid {_describe(grid)}" for grid in known)
        raise VitexpError(
            f"No grid and no run in one begins with {wanted!r}, and none has this --name.",
            f"Choose one of these, or leave --grid out:{others}",
        )
    if not answers:
        asked = f"study {STUDIES.typed(STUDIES.canonical(name))!r}" if name else "any study"
        raise VitexpError(
            f"No finished runs of {asked} in {out / 'runs'}.",
            f"Run it first, with `vitexp {study_of(name or 'pos-emb').command}`,"
            " or choose another --out.",
        )
    return answers


def all_studies(out: Path) -> list[str]:
    """The names of all studies, those in files of one's own that were asked for here included.

    A results folder may come from somebody else: what it names is only run where it lies in the
    current folder and not among the results.
    """
    from vitexp.cli import screen
    from vitexp.registry import is_reference
    from vitexp.runs.plans import kept
    from vitexp.studies import STUDIES

    own = dict.fromkeys(asked.study for asked in kept(out) if is_reference(asked.study))
    here, results = Path.cwd(), out.resolve()

    def ours(name: str) -> bool:
        file = Path(name.rpartition(":")[0]).resolve()
        among_results = results != here and file.is_relative_to(results)
        return file.is_file() and file.is_relative_to(here) and not among_results

    for name in (name for name in own if not ours(name)):
        screen.say(f"Left out: {name}, whose file is not below this folder. To run it, name it.")
    return [*STUDIES, *filter(ours, own)]


def _stems(grid: Grid, grids: Sequence[Grid], stem: str) -> list[str]:
    """What a grid's files are called: ``stem`` if it is the latest; where there are others, also
    after its data, and if these are another's, too, after its digest."""
    plain = [stem] if grid is grids[-1] else []
    if len(grids) == 1:
        return plain
    data = [re.sub(r"[^\w.-]+", "_", each.spec.data.name) for each in grids]
    own = data[grids.index(grid)]
    return [*plain, f"{stem}-{own}" if data.count(own) == 1 else f"{stem}-{own}-{grid.digest[:8]}"]


def _pick(grids: Sequence[Grid], wanted: str | None, out: Path) -> Grid | None:
    """The latest grid that is called or has a run called ``wanted``; says what else there is."""
    from vitexp.cli import screen

    if wanted is not None:
        return next((grid for grid in reversed(grids) if _is(grid, wanted, out)), None)
    if len(grids) > 1:
        screen.say(f"{len(grids)} grids here; this is the latest. For another:")
        for grid in grids[:-1]:
            screen.say(f"  --grid {_describe(grid)}")
    return grids[-1] if grids else None


def _is(grid: Grid, wanted: str, out: Path) -> bool:
    from vitexp.runs.notes import noted

    ids = [run for record in grid.records for run in record.runs]
    digits = any(name.startswith(wanted) for name in (grid.digest, *ids))
    return digits or any(noted(out, run).name == wanted for run in ids)


def _describe(grid: Grid) -> str:
    from vitexp.cli import screen
    from vitexp.reporting.described import facts, shared

    runs = [run for record in grid.records for run in record.spec.folds]
    same = shared([facts(run) for run in runs])
    return f"{grid.digest[:8]}  {', '.join([*same, screen.count(len(runs), 'run')])}"
