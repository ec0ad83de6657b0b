"""``--dry-run``: what a command would do, and what that would cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.live import Live
from rich.text import Text

from vitexp.analysis.decide import look
from vitexp.analysis.power import CHANCE, Power
from vitexp.catalog.sizes import called
from vitexp.cli import screen
from vitexp.cli.execute import Label, Planner
from vitexp.cli.forecast import Forecast, forecast, timed
from vitexp.errors import printable
from vitexp.experiment.plan import Plan
from vitexp.launch.machine import Machine
from vitexp.models.count import macs, params
from vitexp.reporting.described import images_words
from vitexp.runs.store import Store
from vitexp.spec import to_json
from vitexp.tasks.power import seen

_DATA = ("name", "image_size", "train", "val", "test", "skipped", "remarks")

SMALL = 0.01
"""A difference that one would like to find: cells about so far apart say what seeds find."""


def dry_run(machine: Machine, planner: Planner, label: Label, probe: bool, json: bool) -> None:
    """Print the plan at once and, as soon as a few steps were timed, how long it will take.

    Args:
        probe: whether anything is timed.
        json: all in one, at the end.

    Raises:
        KeyboardInterrupt: a signal came in while it was timed.
    """
    cast = forecast(machine, planner)
    if not json:
        show(as_json(cast, machine, label))
    if probe and cast.todo:
        cast = _timed(cast, machine)
    if json:
        return screen.emit(as_json(cast, machine, label))
    print(_time(cast.seconds))


def _timed(cast: Forecast, machine: Machine) -> Forecast:
    """A better and better estimate in a terminal, and one word about it elsewhere."""
    console = screen.stdout()
    if not console.is_terminal:
        screen.say("Timing a few steps: 20 s at most.")
        return timed(cast, machine)
    with Live(Text(f"{_TIME}being timed, 20 s at most"), console=console, transient=True) as line:
        return timed(cast, machine, lambda so_far: line.update(Text(_so_far(so_far))))


def as_json(cast: Forecast, machine: Machine, label: Label) -> dict[str, Any]:
    """The forecast under the stable names of docs/json.md."""
    first = cast.plan.runs[0]
    return {
        "data": {k: v for k, v in to_json(first.data).items() if k in _DATA}
        | {"folds": first.data.fold and first.data.fold.of, "images": images_words(first.data)},
        "recipe": first.recipe.name,
        "lr": first.recipe.lr,
        "batch": first.recipe.batch,
        "steps": first.recipe.steps,
        "precision": machine.precision,
        "devices": list(machine.devices),
        "jobs": cast.jobs,
        "together": machine.together,
        "runs": {
            "total": len(cast.plan.runs),
            "done": len(cast.plan.runs) - len(cast.todo),
            "todo": len(cast.todo),
        },
        "cells": _cells(cast, label),
        "flops": cast.flops,
        "weights_bytes": cast.disk,
        "finds": _finds(cast.plan, machine.out),
        "seconds": cast.seconds,
    }


def _finds(plan: Plan, out: Path) -> dict[str, Any] | None:
    """Which differences to the reference the planned seeds will find; None without verdicts."""
    seeds = look(min((len({r.seed for r in runs}) for runs in plan.cells.values()), default=0))
    if plan.reference is None or seeds is None:
        return None
    data = plan.runs[0].data
    known = seen(out, Store(out).results(), data.name, SMALL)
    images = data.pool if data.fold else data.test
    smallest = Power(known.variances, len(plan.cells) - 1).smallest(seeds, images)
    return {"seeds": seeds, "points": round(100 * smallest, 2), "variances": known.where}


def _cells(cast: Forecast, label: Label) -> list[dict[str, Any]]:
    todo = {spec.id for spec in cast.todo}
    plan = cast.plan
    cells = [(label(key), runs) for key, runs in (*plan.cells.items(), *plan.tries.items()) if runs]
    return [
        {
            "row": row,
            "column": column,
            "model": called(runs[0].model),
            "seeds": list(dict.fromkeys(spec.seed for spec in runs)),
            "done": sum(spec.id not in todo for spec in runs),
            "params": params(runs[0].model),
            "macs": macs(runs[0].model),
        }
        for (row, column), runs in cells
    ]


def show(value: dict[str, Any]) -> None:
    """Print what :func:`as_json` gives but for the time, for people."""
    data, runs = value["data"], value["runs"]
    screen.table(
        ("row", "column", "model", "seeds", "done", "params", "MACs"),
        [
            (
                cell["row"],
                cell["column"],
                cell["model"],
                str(len(cell["seeds"])),
                str(cell["done"]),
                screen.amount(cell["params"]),
                screen.amount(cell["macs"]),
            )
            for cell in value["cells"]
        ],
        right=("seeds", "done", "params", "MACs"),
    )
    lines = (
        f"data      {data['name']}, {data['image_size']} px: {data['images']}",
        f"recipe    {value['recipe']}: lr {value['lr']:g}, batch {value['batch']}, "
        f"{value['steps']} steps, {value['precision']}",
        f"machine   {', '.join(value['devices'])}, {value['jobs']} at a time{_more(value)}",
        f"runs      {runs['total']}: {runs['done']} done already, {runs['todo']} to do",
        f"compute   {screen.amount(value['flops'])}FLOPs of training",
        f"disk      {screen.size(value['weights_bytes'] or 0)} of kept weights",
    )
    print(printable("\n".join((*lines, *_found(value["finds"])))), flush=True)


def _found(finds: dict[str, Any] | None) -> tuple[str, ...]:
    if finds is None:
        return ()
    likely = f"{finds['seeds']} seeds, {100 * CHANCE:.0f} % chance"
    return (f"finds     differences of {finds['points']:.1f} points ({likely}; see vitexp power)",)


def _more(value: dict[str, Any]) -> str:
    most = value["together"]
    return f", or up to {most} on each device where that is faster" if most > 1 else ""


_TIME = "time      "


def _time(seconds: float | None) -> str:
    return _TIME + ("not timed" if seconds is None else f"about {screen.duration(seconds)}")


def _so_far(cast: Forecast) -> str:
    return f"{_time(cast.seconds)} so far, still timing"
