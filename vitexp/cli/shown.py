"""How ``vitexp runs show`` prints one run: what it reached, its course, and all that it is."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vitexp.cli import NARROW, screen
from vitexp.cli.listing import Listed
from vitexp.errors import printable
from vitexp.render.sketch import beside, sketch
from vitexp.runs.record import RunRecord
from vitexp.spec import RunSpec, flat, to_json
from vitexp.studies import STUDIES

_WIDEST = 78
_COUNTS = ("params", "macs", "macs_executed", "flops", "flops_per_s", "peak_flops_per_s")


def show(one: Listed, folder: str, curve: Sequence[Mapping[str, float]]) -> None:
    """Print a readable run, group by group.

    Args:
        curve: its evaluations so far.
    """
    entry = one.entry
    record, spec = entry.record, to_json(entry.readable())
    _group("run", _about(one, folder))
    if record is not None:
        _group("results", {name: _measured(*pair) for name, pair in _named(record)})
    for line in _course(curve):
        print(printable(line))
    for name in ("data", "model", "recipe"):
        _group(name, _flat(spec[name]))
    if record is not None:
        _group("execution", _flat(record.execution))


def _about(one: Listed, folder: str) -> dict[str, str]:
    entry, spec = one.entry, one.entry.readable()
    what = "search for settings" if spec.tries else str(spec.seed)
    return {
        "id": entry.id,
        "name": one.note.name,
        "tags": ", ".join(one.note.tags),
        "state": f"{entry.state}, step {entry.step} of {spec.recipe.steps}",
        "date": f"{entry.date:%Y-%m-%d %H:%M}",
        "studies": ", ".join(map(STUDIES.typed, one.studies)),
        "seed": what,
        "precision": spec.precision,
        "starts from": _start(spec),
        "asked with": spec.asked,
        "folder": f"{folder} ({screen.size(entry.bytes)})",
    }


def _start(spec: RunSpec) -> str:
    return "" if spec.init is None else ", ".join(_flat(to_json(spec.init)).values())


def _named(record: RunRecord) -> Iterator[tuple[str, tuple[str, float]]]:
    return ((name, (name, value)) for name, value in record.metrics.items())


def _measured(name: str, value: float) -> str:
    """A metric with its unit."""
    if name.endswith(("top1", "top5", "majority")) or name == "utilisation":
        return f"{screen.percent(value)} %"
    if name in _COUNTS:
        return screen.amount(value)
    if name.endswith("seconds"):
        return f"{value:.1f} s"
    return screen.size(value) if name == "peak_memory" else _text(value)


def _course(curve: Sequence[Mapping[str, float]]) -> list[str]:
    """The training loss and the accuracy on validation along the steps."""
    wide = screen.stdout(_WIDEST).width
    panels = 1 if wide < NARROW else 2
    width = min(wide, _WIDEST) // panels - panels + 1
    drawn = [
        sketch(title, points, width)
        for name, title, scale in (
            ("train_loss", "training loss by step", 1),
            ("val_top1", "validation top-1 (%) by step", 100),
        )
        if (points := _points(curve, name, scale))
    ]
    several = [beside(drawn)] if panels > 1 and drawn else drawn
    return [line for panel in several for line in (*panel, "")]


def _points(
    curve: Sequence[Mapping[str, float]], name: str, scale: float
) -> list[tuple[float, float]]:
    found = ((point["step"], scale * point[name]) for point in curve if name in point)
    return [(step, value) for step, value in found if math.isfinite(value)]


def _group(title: str, known: Mapping[str, str]) -> None:
    """A heading with a line for each thing that is known."""
    if screen.stdout(_WIDEST).width < NARROW:
        print(title.upper())
    screen.table((title, ""), [(name, text) for name, text in known.items() if text])
    print()


def _flat(value: Mapping[str, Any]) -> dict[str, str]:
    """Fields of fields as ``above.below``, in words."""
    return {name: _text(item) for name, item in flat(value).items()}


def _text(value: Any) -> str:
    """A value in words; ``""`` for none."""
    if value is None or isinstance(value, bool):
        return {None: "", True: "yes", False: "no"}[value]
    if isinstance(value, dict):
        return " ".join(f"{key} {text}" for key, text in _flat(value).items() if text)
    if isinstance(value, list | tuple):
        return ("; " if value and isinstance(value[0], dict) else ", ").join(map(_text, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)
