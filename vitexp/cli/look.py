"""``vitexp look``: what goes on inside trained transformers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vitexp.cli.flags import Json, Out
from vitexp.cli.options import Weights, copy_of
from vitexp.errors import unknown

if TYPE_CHECKING:
    from vitexp.reporting.report import Report
    from vitexp.tasks.look.opened import Looked

KINDS = ("similarity", "filters")


def look(
    kind: Annotated[str, typer.Argument(metavar="KIND", help=", ".join(KINDS))],
    things: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN|FILE...",
            help="run ids or their first digits; files or folders of weights",
        ),
    ],
    model: Annotated[
        str | None, typer.Option(help="the model that a file holds, such as vit-b/16@384")
    ] = None,
    weights: Weights = None,
    out: Out = Path("."),
    json: Json = False,
) -> None:
    """Draw what trained transformers have learned, into plots/, with the numbers as CSV.

    similarity: which positions have embeddings that are alike. filters: the principal components
    of the patch embedding.
    """
    from vitexp.cli import screen
    from vitexp.cli.execute import check_writable
    from vitexp.render import write_figures

    if kind not in KINDS:
        raise unknown("kind of look", kind, KINDS)
    check_writable(out)
    said: list[str] = []

    def remark(text: str) -> None:
        said.append(text)
        screen.say(text)

    looked = _looked(things, out, (model, weights), remark)
    reports = _reports(kind, looked)
    files = [str(path) for report in reports for path in write_figures(report, out)]
    if json:
        return screen.emit({"files": files, "remarks": said})
    screen.say(f"Wrote {', '.join(files)}.")


def _looked(
    things: list[str],
    out: Path,
    asked: tuple[str | None, str | None],
    remark: Callable[[str], None],
) -> list[Looked]:
    """Runs and files, each once."""
    from vitexp.runs.store import Store
    from vitexp.runs.weights_file import names_file
    from vitexp.tasks.look.opened import looked_file, looked_run

    store, model, copy = Store(out), asked[0], copy_of(asked[1])
    found = [
        looked_file(Path(thing), model, copy, remark)
        if names_file(thing)
        else looked_run(store.find(thing).readable(), store)
        for thing in things
    ]
    return list({each.of.id: each for each in found}.values())


def _reports(kind: str, looked: list[Looked]) -> list[Report]:
    from vitexp.tasks.look.filters import filters
    from vitexp.tasks.look.similarity import similarity

    return list(map({"similarity": similarity, "filters": filters}[kind], looked))
