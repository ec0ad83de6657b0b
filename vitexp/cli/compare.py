"""``vitexp compare``: two runs, cells or families side by side."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitexp.cli.flags import Json, Out

if TYPE_CHECKING:
    import numpy as np

    from vitexp.tasks.compare import Difference, Side

_WHAT = "run id or its first digits (its cell, all seeds), model, family or position"


def compare(
    a: Annotated[str, typer.Argument(help=_WHAT)],
    b: Annotated[str, typer.Argument(help="the same")],
    out: Out = Path("."),
    json: Json = False,
) -> None:
    """Compare A with B on the seeds and test images that they share, over all and per class."""
    from vitexp.cli import screen
    from vitexp.errors import printable
    from vitexp.runs.store import Store
    from vitexp.tasks import compare as study

    done = Store(out).results()
    first, second = study.side(a, done), study.side(b, done)
    found = study.differences(first, second, _classes(first))
    seeds = len(study.shared_seeds(first, second))
    rows = [_row(name, difference) for name, difference in found.items()]
    if json:
        return screen.emit({"a": first.label, "b": second.label, "n": seeds, "rows": rows})
    columns = ("images of", "number", "A - B", "95 %", "decides", "p", "verdict on A")
    heads = (f"A  {first.label}", f"B  {second.label}")
    seen = f"n  {seeds} seeds in common; points of test top-1"
    print(printable("\n".join((*heads, seen))))
    screen.table(columns, map(_cells, rows), right=columns[1:6])


def _classes(side: Side) -> dict[str, np.ndarray]:
    """Class -> which test images; empty where the data set is not at hand any more."""
    from vitexp.cli import screen
    from vitexp.datasets.load import images_of
    from vitexp.errors import VitexpError

    data = side.groups[0].spec.data
    try:
        images = images_of(dataclasses.replace(data, fraction=None, subset_seed=None))
    except VitexpError as error:
        screen.say(f"Not per class: {error.problem}")
        return {}
    return {name: images.test.labels == label for label, name in enumerate(images.names)}


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
