"""``vitexp table`` and ``vitexp plot``: reports on the runs that are done."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict
from inspect import isabstract
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitexp.cli.flags import Json, Out

if TYPE_CHECKING:
    from vitexp.experiment.study import Study
    from vitexp.reporting.report import Report
    from vitexp.runs.record import Results

CURVES = "curves"

StudyName = Annotated[
    str | None,
    typer.Argument(
        metavar="[STUDY]", help="pos-emb, data-size, compute or my_study.py:Study [all]"
    ),
]
Grid = Annotated[
    str | None, typer.Option(help="first digits of a run's id: the grid it is in [the latest]")
]


def table(
    study: StudyName = None, out: Out = Path("."), grid: Grid = None, json: Json = False
) -> None:
    """Print a study's table and write it to tables/, without running anything."""
    from vitexp.render import write_tables

    for report in _reports(study, out, grid):
        _show(report, write_tables(report, out), json)


def plot(
    study: StudyName = None,
    runs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RUN...]", help="curves: run ids or their first digits [all]"),
    ] = None,
    out: Out = Path("."),
    grid: Grid = None,
    paper: Annotated[bool, typer.Option("--paper", help="compute: the paper's Table 6")] = False,
    json: Json = False,
) -> None:
    """Draw a study's figures into plots/, without running anything.

    `plot curves` draws loss, accuracy and learning rate of runs along their steps.
    """
    from vitexp.cli import screen
    from vitexp.render import write_figures

    if study == CURVES or runs:
        reports = [_curves(study, out, runs or [])]
    else:
        reports = [_paper(study)] if paper else _reports(study, out, grid)
    files = [path for report in reports for path in write_figures(report, out)]
    for report in reports:
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
            "Runs follow `plot curves`; `--grid RUN` chooses the grid that a run is in.",
        )
    return curves(Store(out), runs)


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
    """A report under the stable names that the README lists."""
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


def after(study: Study, out: Path, ids: Collection[str], json: bool) -> None:
    """Report on the grid that holds most of the runs ``ids``, the latest of equals."""
    from vitexp.cli import screen
    from vitexp.render import write_figures, write_tables
    from vitexp.runs.store import Store

    def planned(grid: Results) -> int:
        return sum(run in grid for run in ids)

    # Grids may share runs: two initial stds have the cells in common that have no table.
    grid = max(reversed(study.grids(Store(out).results())), key=planned, default=None)
    if grid is None or not planned(grid):
        return screen.say("No table: too few of the study's runs are done.")
    report = study.report(grid)
    _show(report, [*write_tables(report, out), *write_figures(report, out)], json)


def _reports(name: str | None, out: Path, run: str | None) -> list[Report]:
    from vitexp.errors import VitexpError
    from vitexp.runs.store import Store
    from vitexp.studies import STUDIES

    done = Store(out).results()
    wanted = Store(out).find(run).id if run else None
    reports = []
    for study in (studies := [study_of(each) for each in ([name] if name else STUDIES)]):
        if grid := _pick(study.grids(done), wanted):
            reports.append(study.report(grid))
    if not reports:
        asked = f"study {name!r}" if name else "any study"
        raise VitexpError(
            f"No finished runs of {asked} in {out / 'runs'}"
            + (f" with run {run}." if run else "."),
            f"Run it first, with `vitexp {_command(studies[0], name)}`, or choose another --out.",
        )
    return reports


def _command(study: Study, name: str | None) -> str:
    return getattr(study, "command", f"ablate {name}")


def study_of(name: str) -> Study:
    """The study that ``name`` stands for.

    Raises:
        VitexpError: unknown, or something in a file that is not a study.
    """
    from vitexp.errors import VitexpError
    from vitexp.experiment.study import Study
    from vitexp.studies import STUDIES

    found = STUDIES.load(name)
    if isinstance(found, type) and issubclass(found, Study) and not isabstract(found):
        return found()
    raise VitexpError(
        f"{name} is not a study.",
        "Give a class that derives from vitexp.experiment.study.Study and defines its methods.",
    )


def _pick(grids: Sequence[Results], wanted: str | None) -> Results | None:
    """The grid that holds the run ``wanted``, else the latest; says what else there is."""
    from vitexp.cli import screen

    if wanted is not None:
        return next((grid for grid in grids if wanted in grid), None)
    if len(grids) > 1:
        screen.say(f"{len(grids)} grids here; this is the latest. For another:")
        for grid in grids[:-1]:
            screen.say(f"  --grid {_describe(grid)}")
    return grids[-1] if grids else None


def _describe(grid: Results) -> str:
    first = next(iter(grid))
    spec = first.spec
    return (
        f"{first.id[:8]}  {spec.data.name}, {spec.model.name}, recipe {spec.recipe.name}, "
        f"{spec.recipe.steps} steps, {spec.precision}, {len(grid)} runs"
    )
