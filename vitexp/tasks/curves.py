"""How runs came to where they are: loss, accuracy and learning rate along their steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vitexp.amounts import count
from vitexp.errors import VitexpError
from vitexp.reporting.described import differing, facts
from vitexp.reporting.panels import kinds, measured
from vitexp.reporting.report import Report, Series, TraceFigure, TracePanel, Value
from vitexp.runs.folder import Entry
from vitexp.runs.store import Store
from vitexp.spec import RunSpec
from vitexp.training.schedule import learning_rate

COLUMNS = ("run", "name", "seed", "step", "learning_rate", "train_loss", "val_top1")
_RATES = 200
"""Points of a rate's line."""


@dataclass(frozen=True)
class _Course:
    """A run and its evaluations so far, in order; each has a ``step``."""

    spec: RunSpec
    points: list[dict[str, float]]

    def series(self, name: str, what: str, scale: float = 1.0) -> Series:
        found = tuple((p["step"], scale * p[what]) for p in self.points if what in p)
        return Series(name, found)

    def rates(self, name: str) -> Series:
        """Up to the last evaluation."""
        last = int(self.points[-1]["step"])
        steps = sorted({round(i * (last - 1) / _RATES) for i in range(_RATES + 1)})
        rates = ((step + 1.0, learning_rate(self.spec.recipe, step)) for step in steps)
        return Series(name, tuple(rates) if last else ())


def curves(store: Store, ids: Sequence[str]) -> Report:
    """The courses of runs, whether they are done or under way.

    Args:
        ids: of the runs, or their first digits; none: all but those that only choose settings.

    Raises:
        VitexpError: no such run, or none that has been evaluated.
    """
    entries = [store.find(start) for start in ids] if ids else [
        each for each in store.entries() if each.spec and not each.spec.tries
    ]  # fmt: skip
    courses = [course for entry in entries if (course := _course(store, entry)).points]
    if not courses:
        raise VitexpError(
            f"No run in {store.root} has been evaluated so far"
            + (f" of {', '.join(ids)}." if ids else "."),
            "`vitexp runs list` shows the runs; choose others, or another --out.",
        )
    specs = [course.spec for course in courses]
    names = _names(specs)
    families = dict(zip(names, kinds(specs), strict=True))
    pairs = list(zip(names, courses, strict=True))
    figure = TraceFigure(
        title="Training curves",
        x_axis="step",
        setting=measured(_number(specs), specs),
        families=tuple(families.items()) if len({*families.values()}) > 1 else (),
        panels=(
            TracePanel("training loss", tuple(c.series(n, "train_loss") for n, c in pairs)),
            TracePanel(
                "validation top-1 (%)", tuple(c.series(n, "val_top1", 100) for n, c in pairs)
            ),
            TracePanel("learning rate", tuple(c.rates(n) for n, c in pairs)),
        ),
    )
    rows = tuple(row for name, course in pairs for row in _rows(name, course))
    return Report("curves", "Training curves", (), (), COLUMNS, rows, (figure,), (), ())


def _number(specs: Sequence[RunSpec]) -> str:
    images = sorted({spec.data.val for spec in specs})
    many = " to ".join(f"{n:,}" for n in dict.fromkeys((images[0], images[-1])))
    return f"{count(len(specs), 'run')}; {many} validation images"


def _course(store: Store, entry: Entry) -> _Course:
    return _Course(entry.readable(), store.curve(entry))


def _rows(name: str, course: _Course) -> list[dict[str, Value]]:
    spec = course.spec
    return [
        {
            "run": spec.id,
            "name": name,
            "seed": spec.seed,
            "step": int(point["step"]),
            "learning_rate": _rate(spec, int(point["step"])),
            "train_loss": point.get("train_loss"),
            "val_top1": 100 * point["val_top1"] if "val_top1" in point else None,
        }
        for point in course.points
    ]


def _rate(spec: RunSpec, step: int) -> float | None:
    """That of the step before an evaluation."""
    return learning_rate(spec.recipe, step - 1) if step else None


def _names(specs: Sequence[RunSpec]) -> list[str]:
    """What to call each run: what it has another of than some other run, but for the seed."""
    several = [facts(spec) for spec in specs]
    told = differing(several) or ["model"]
    return [" ".join(own[name] for name in told if own[name]) or "-" for own in several]
