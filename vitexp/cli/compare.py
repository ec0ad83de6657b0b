"""``vitexp compare``: two runs, cells or families side by side."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitexp.cli.flags import Json, Out
from vitexp.cli.options import Budget, MaxSeeds, UntilDecided, most_seeds
from vitexp.settings.flags import Settings

if TYPE_CHECKING:
    import numpy as np

    from vitexp.tasks.compare import Difference, Side

_WHAT = "run id or its first digits (its cell, all seeds), model, family or position"


def compare(
    a: Annotated[str, typer.Argument(help=_WHAT)],
    b: Annotated[str, typer.Argument(help="the same")],
    until_decided: UntilDecided = False,
    max_seeds: MaxSeeds = None,
    budget: Budget = None,
    device: Annotated[
        str | None, typer.Option(help="with --until-decided: as for train [auto]")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(help="with --until-decided: runs at the same time", min=1)
    ] = None,
    out: Out = Path("."),
    json: Json = False,
) -> None:
    """Compare A with B on the seeds and test images that they share, over all and per class.

    Names that stand for runs on several data sets are compared on each. Nothing is run, but with
    --until-decided: more seeds of both, until all test images together decide.
    """
    from vitexp.cli import screen
    from vitexp.runs.store import Store
    from vitexp.tasks.compare import pairs

    if most := most_seeds(until_decided, max_seeds):
        settings = Settings(out=str(out), device=device, jobs=jobs)
        for pair in pairs(a, b, Store(out).results()):
            _settle(*pair, settings, most, budget)
    found = [_compared(*pair) for pair in pairs(a, b, Store(out).results())]
    if json:
        return screen.emit(found if len(found) > 1 else found[0])
    for one in found:
        if one is not found[0]:
            print()
        _show(one)


def _settle(a: Side, b: Side, settings: Settings, most: int, limit: str | None) -> None:
    """More seeds of both, until it is decided."""
    from vitexp.cli import budget, looks
    from vitexp.cli.execute import machine_of
    from vitexp.tasks.compare import more, questions

    until = looks.Until(most, None if limit is None else budget.seconds(limit))
    asking = looks.Asking(
        lambda count, _: more(a, b, count),
        lambda plan: plan,
        lambda plan, done: questions(a, b, plan, done),
        tuple,
    )
    if not looks.settle(machine_of(settings), asking, until):
        raise typer.Exit(1)


def _compared(a: Side, b: Side) -> dict[str, Any]:
    """Two sides on one data set under the stable names of docs/json.md."""
    from vitexp.tasks.compare import differences, shared_seeds

    rows = [_row(*item) for item in differences(a, b, _classes(a)).items()]
    seeds = len(shared_seeds(a, b))
    first, second = a.label, b.label
    if first == second:
        first, second = f"{first} ({a.name})", f"{second} ({b.name})"
    return {"data": a.data, "a": first, "b": second, "n": seeds, "rows": rows}


def _show(one: dict[str, Any]) -> None:
    from vitexp.analysis.decide import level, look
    from vitexp.cli import screen
    from vitexp.errors import printable

    columns = ("images of", "number", "A - B", "95 %", "decides", "p", "verdict on A")
    print(printable(f"A  {one['a']}\nB  {one['b']}"))
    used = look(one["n"])
    decides = f"; at {used} seeds {100 * (1 - level(used)):g} % decides" if used else ""
    print(printable(f"n  {one['n']} seeds in common on {one['data']}; points of top-1{decides}"))
    screen.table(columns, map(_cells, one["rows"]), right=columns[1:6])


def _classes(side: Side) -> dict[str, np.ndarray]:
    """Class -> which test images; empty where the data set is not at hand any more."""
    from vitexp.cli import screen
    from vitexp.datasets.folds import pooled_labels
    from vitexp.datasets.load import images_of
    from vitexp.errors import VitexpError

    data = side.groups[0].spec.data
    try:
        images = images_of(dataclasses.replace(data, fraction=None, subset_seed=None, fold=None))
    except VitexpError as error:
        screen.say(f"Not per class: {error.problem}")
        return {}
    labels = images.test.labels if data.fold is None else pooled_labels(images)
    return {name: labels == label for label, name in enumerate(images.names)}


def _row(name: str, difference: Difference) -> dict[str, Any]:
    from vitexp.tasks.compare import verdict_words

    low, high, least, most = (
        None if end is None else round(100 * end, 3)
        for ends in (difference.interval, difference.deciding)
        for end in ends or (None, None)
    )
    return {
        "images": name,
        "number": difference.images,
        "difference": round(100 * difference.delta, 3),
        "low": low,
        "high": high,
        "deciding_low": least,
        "deciding_high": most,
        "p_adjusted": difference.decision.p if difference.decision else None,
        "verdict": verdict_words(difference),
    }


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    intervals = (
        "-" if row[low] is None else f"[{row[low]:.1f}, {row[high]:.1f}]"
        for low, high in (("low", "high"), ("deciding_low", "deciding_high"))
    )
    p = "-" if row["p_adjusted"] is None else f"{row['p_adjusted']:.2g}"
    delta = f"{row['difference']:+.1f}"
    return row["images"], str(row["number"]), delta, *intervals, p, row["verdict"]
