"""``vitexp table`` and ``vitexp plot``: reports on the runs that are done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from inspect import isabstract
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitexp.cli.flags import Json, Out
from vitexp.settings.flags import Settings

if TYPE_CHECKING:
    from vitexp.experiment.plan import Grid
    from vitexp.experiment.study import Study
    from vitexp.reporting.report import Report
    from vitexp.runs.plans import Asked

StudyName = Annotated[
    str | None,
    typer.Argument(
        metavar="[STUDY]", help="pos-emb, data-size, compute or my_study.py:Study [all]"
    ),
]
GridName = Annotated[
    str | None, typer.Option(help="first digits of a grid's name or of a run in it [the latest]")
]


def table(
    study: StudyName = None, out: Out = Path("."), grid: GridName = None, json: Json = False
) -> None:
    """Print a study's table and write it to tables/, without running anything."""
    from vitexp.render import write_tables

    for report in _reports(study, out, grid):
        _show(report, write_tables(report, out), json)


def plot(
    study: StudyName = None,
    out: Out = Path("."),
    grid: GridName = None,
    paper: Annotated[bool, typer.Option("--paper", help="compute: the paper's Table 6")] = False,
    json: Json = False,
) -> None:
    """Draw a study's figures into plots/, without running anything."""
    from vitexp.cli import screen
    from vitexp.render import write_figures

    reports = [_paper(study)] if paper else _reports(study, out, grid)
    files = [path for report in reports for path in write_figures(report, out)]
    for report in reports:
        for figure in report.figures:
            for remark in getattr(figure, "remarks", ()):
                screen.say(remark)
    if json:
        return screen.emit({"files": list(map(str, files))})
    screen.say(_wrote(files))


def _paper(study: str | None) -> Report:
    from vitexp.errors import VitexpError
    from vitexp.studies.compute.paper import paper_report

    if study != "compute":
        raise VitexpError(
            "--paper draws the paper's Table 6, which is about compute.",
            "Write `vitexp plot compute --paper`.",
        )
    return paper_report()


def _show(report: Report, files: Sequence[Path], json: bool) -> None:
    from vitexp.cli import screen
    from vitexp.render.console import console

    if json:
        return screen.emit(_as_json(report, files))
    screen.stdout().print(console(report))
    screen.say(_wrote(files))


def _as_json(report: Report, files: Sequence[Path]) -> dict[str, Any]:
    """A report under the stable names of docs/json.md."""
    return {
        "study": report.stem,
        "facts": dict(report.facts),
        "rows": list(report.rows),
        "claims": [asdict(claim) for claim in report.claims],
        "notes": list(report.notes),
        "files": list(map(str, files)),
    }


def _wrote(files: Sequence[Path]) -> str:
    return f"Wrote {', '.join(map(str, files))}."


def after(study: Study, out: Path, asked: Asked | None, json: bool) -> None:
    """Report on what is done of what was asked for."""
    from vitexp.cli import screen
    from vitexp.experiment.plan import Grid
    from vitexp.render import write_figures, write_tables
    from vitexp.runs.store import Store

    grid = asked and Grid(asked, Store(out).results(), study.command)
    if not grid or not study.answered(grid.keys()):
        return screen.say("No table: too few of the study's runs are done.")
    report = study.report(grid)
    _show(report, [*write_tables(report, out), *write_figures(report, out)], json)


def _reports(name: str | None, out: Path, run: str | None) -> list[Report]:
    from vitexp.errors import VitexpError
    from vitexp.experiment.answers import grids
    from vitexp.runs.store import Store
    from vitexp.studies import STUDIES

    done = Store(out).results()
    reports = []
    for each in [name] if name else STUDIES:
        study = study_of(each)
        if grid := _pick(grids(study, STUDIES.canonical(each), out, done), run):
            reports.append(study.report(grid))
    if not reports:
        asked = f"study {name!r}" if name else "any study"
        raise VitexpError(
            f"No finished runs of {asked} in {out / 'runs'}"
            + (f" with run {run}." if run else "."),
            f"Run it first, with `vitexp {study_of(name or 'pos-emb').command}`,"
            " or choose another --out.",
        )
    return reports


def study_of(name: str) -> Study:
    """The study that ``name`` stands for, with its own flags left out.

    Raises:
        VitexpError: unknown, or something in a file that is not a study.
    """
    return configured(name, {}, Settings())


def configured(name: str, own: Mapping[str, str], settings: Settings) -> Study:
    """The study that ``name`` stands for, with its own flags.

    Raises:
        VitexpError: unknown, something in a file that is not a study, or a flag that it lacks.
    """
    from vitexp.errors import VitexpError
    from vitexp.experiment.study import Study
    from vitexp.registry import is_reference
    from vitexp.studies import STUDIES

    found = STUDIES.load(name)
    if isinstance(found, type) and issubclass(found, Study) and not isabstract(found):
        if is_reference(name):
            found.command = f"ablate {name}"
        return found.configured(own, settings)
    raise VitexpError(
        f"{name} is not a study.",
        "Give a class that derives from vitexp.experiment.study.Study and defines its methods.",
    )


def _pick(grids: Sequence[Grid], wanted: str | None) -> Grid | None:
    """The latest grid that is called or has a run called ``wanted``; says what else there is."""
    from vitexp.cli import screen

    if wanted is not None:
        return next((grid for grid in reversed(grids) if _is(grid, wanted)), None)
    if len(grids) > 1:
        screen.say(f"{len(grids)} grids here; this is the latest. For another:")
        for grid in grids[:-1]:
            screen.say(f"  --grid {_describe(grid)}")
    return grids[-1] if grids else None


def _is(grid: Grid, wanted: str) -> bool:
    return any(name.startswith(wanted) for name in (grid.digest, *(r.id for r in grid.records)))


def _describe(grid: Grid) -> str:
    spec = grid.spec
    return (
        f"{grid.digest[:8]}  {spec.data.name}, {spec.model.name}, recipe {spec.recipe.name}, "
        f"{spec.recipe.steps} steps, {spec.precision}, {len(grid.records)} runs"
    )
