"""Accuracies and differences as the panels of a figure, and what a figure was measured on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from vitexp.analysis.decide import level
from vitexp.analysis.groups import Comparison, Group
from vitexp.catalog.sizes import called, signal
from vitexp.reporting.report import Interval, Panel, Reference
from vitexp.reporting.words import FAMILIES, kind_label
from vitexp.spec import ModelSpec, RunSpec

SEED = "one seed"
_NAMED = 3
"""Models that are named; of more, the first and their number."""


def accuracy_panel(groups: Mapping[int, Group], axis: str = "Test top-1 (%)") -> Panel:
    """Test top-1 of each row, over seeds, and over seeds and test images."""
    found = {row: _accuracy(row, group) for row, group in groups.items()}
    return Panel(
        axis,
        tuple(interval for interval in found.values() if interval is not None),
        inner="95 % over seeds",
        outer="95 % over seeds and test images",
        bounds=(0, 100),
        chance=chance(groups.values()),
        notes=tuple((row, "diverged") for row, interval in found.items() if interval is None),
    )


def difference_panel(
    compared: Mapping[int, Comparison],
    base: int | None,
    to: str,
    seeds: Mapping[int, Sequence[float]] | None = None,
    references: tuple[Reference, ...] = (),
) -> Panel:
    """The difference of each row to ``to``, with the interval that decides about it.

    Args:
        base: the row of ``to``.
        seeds: the difference of each seed, in points.
    """
    return Panel(
        f"Difference to {to} (points)",
        tuple(_difference(row, c, (seeds or {}).get(row, ())) for row, c in compared.items()),
        inner="95 % of each by itself, over seeds and test images",
        outer=_decides(compared.values()),
        references=references,
        baseline=0,
        notes=() if base is None else ((base, "base"),),
    )


def chance(groups: Iterable[Group]) -> float | None:
    """What guessing gives in percent; None where groups differ in it."""
    return _chance([group.spec for group in groups])


def setting(groups: Iterable[Group]) -> str:
    """Seeds, test images, model, steps and chance level of these cells, the first one's first."""
    several = list(groups)
    seeds = _counted({len(group.done) for group in several}, "seed")
    images = _counted({group.images for group in several}, "test image")
    return measured(f"{seeds}; {images}", [group.spec for group in several])


def measured(what: str, specs: Sequence[RunSpec]) -> str:
    """What was measured on how much, then models, steps and chance level of these runs."""
    steps, guessing = {spec.recipe.steps for spec in specs} - {0}, _chance(specs)
    parts = (
        what,
        _models([spec.model for spec in specs]),
        _counted(steps, "step") if steps else "",
        "" if guessing is None else f"chance {guessing:.3g} %",
    )
    return "; ".join(filter(None, parts))


def kinds(specs: Sequence[RunSpec]) -> list[str]:
    """What has a colour: the model's family; of one family the positions, where they differ."""
    positions = [signal(spec.model) for spec in specs]
    signals = ["" if position is None else kind_label(position.kind) for position in positions]
    families = [FAMILIES.get(spec.model.family, spec.model.family) for spec in specs]
    return signals if len(set(families)) == 1 < len(set(signals)) else families


def _chance(specs: Sequence[RunSpec]) -> float | None:
    classes = {spec.model.classes for spec in specs}
    return 100 / classes.pop() if len(classes) == 1 else None


def _accuracy(row: int, group: Group) -> Interval | None:
    """None without a run that did not diverge."""
    top1, whole = group.metric("test_top1"), group.over_images_too()
    if top1.mean is None:
        return None
    inner = None
    if top1.low is not None and top1.high is not None:
        inner = _scaled((top1.low, top1.high))
    seeds = tuple(100 * record.metrics["test_top1"] for record in group.done)
    return Interval(row, 100 * top1.mean, inner, whole and _scaled(whole), seeds)


def _difference(row: int, comparison: Comparison, seeds: Sequence[float]) -> Interval:
    value, decides = comparison.shown
    alone = comparison.interval
    outer = decides if comparison.decision else None
    return Interval(
        row, 100 * value, alone and _scaled(alone), outer and _scaled(outer), tuple(seeds)
    )


def _decides(compared: Iterable[Comparison]) -> str:
    """What the deciding intervals are called; ``""`` where there are none."""
    decided = [c.decision for c in compared if c.decision is not None]
    if not decided:
        return ""
    levels = sorted({level(decision.estimate.n) for decision in decided})
    shown = " or ".join(f"{100 * (1 - alpha):g} %" for alpha in levels)
    among = decided[0].among
    together = f", widened for all {among} together" if among > 1 else ""
    return f"what decides: {shown}{together}"


def _scaled(interval: tuple[float, float]) -> tuple[float, float]:
    """An interval of shares in percent."""
    return 100 * interval[0], 100 * interval[1]


def _counted(numbers: set[int], of: str) -> str:
    """``"3 seeds"``, ``"1 to 3 seeds"``."""
    low, high = min(numbers), max(numbers)
    many = f"{low:,}" if low == high else f"{low:,} to {high:,}"
    return f"{many} {of}{'' if high == 1 else 's'}"


def _models(models: Iterable[ModelSpec]) -> str:
    names = list(dict.fromkeys(called(model) or model.family for model in models))
    if len(names) <= _NAMED:
        return ", ".join(names)
    return f"{names[0]} and {len(names) - 1} other models"
