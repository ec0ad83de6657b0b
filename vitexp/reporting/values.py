"""Measured values as the CSV of every study's table writes them."""

from __future__ import annotations

from collections.abc import Iterable

from vitexp.analysis.decide import LEVELS, LOOKS, level
from vitexp.analysis.groups import COLLAPSE, Comparison, Group
from vitexp.analysis.two_way import LENT
from vitexp.reporting.report import Value
from vitexp.reporting.words import p_value, percent, points, span


def in_percent(share: float | None) -> float | None:
    """A share in percent, or a difference of shares in points, to three decimals."""
    return None if share is None else round(100 * share, 3)


def top1_values(group: Group) -> tuple[Value, ...]:
    """Mean, sd, low and high of test top-1 over seeds, and the mean on validation; in percent."""
    top1, val = group.metric("test_top1"), group.metric("val_top1")
    return tuple(map(in_percent, (top1.mean, top1.sd, top1.low, top1.high, val.mean)))


def compared_values(comparison: Comparison | None) -> tuple[Value, ...]:
    """Difference, its low and high (points), adjusted p and the verdict; empty where unknown."""
    if comparison is None:
        return (None, None, None, None, "")
    decision = comparison.decision
    return (
        *map(in_percent, (comparison.delta, *(comparison.interval or (None, None)))),
        float(f"{decision.p:.4g}") if decision else None,
        decision.verdict if decision else "",
    )


def difference_words(comparison: Comparison, places: int) -> str:
    """A difference with the interval that stands beside its verdict, in points."""
    value, interval = comparison.shown
    return " ".join(filter(None, (points(value, places), interval and span(*interval, places))))


def said_words(comparison: Comparison) -> str:
    """The verdict with its p."""
    decision = comparison.decision
    return "no verdict" if decision is None else f"{decision.verdict}, {p_value(decision.p)}"


def deciding_words(compared: Iterable[Comparison]) -> tuple[str, ...]:
    """A note on the intervals beside verdicts; none where there is no verdict."""
    decided = [c.decision for c in compared if c.decision is not None]
    if not decided:
        return ()
    looks = sorted({decision.estimate.n for decision in decided})
    return (
        "An interval beside a verdict is the one that decides: without 0 in it there is one. It"
        " is the wider of two: the difference's own"
        f" {' or '.join(f'{100 * (1 - level(n)):g} % interval at {n} seeds' for n in looks)}, and"
        f" one for all {decided[0].among} differences together, to which their seeds lend"
        f" {LENT:g} degrees of freedom. The looks at {', '.join(map(str, LOOKS))} seeds may be"
        f" wrong in {', '.join(f'{100 * share:g}' for share in LEVELS.values())} % of tables. p is"
        " adjusted for both, so that below 0.05 there is a verdict; the plain 95 % interval is in"
        " the CSV.",
    )


def ids(group: Group) -> str:
    """The ids of a cell's runs, joined by spaces."""
    return " ".join(group.runs)


def collapsed_words(cells: Iterable[tuple[str, Group]]) -> tuple[str, ...]:
    """A note on runs that collapsed; none where none did. A cell comes with its name."""
    found = [
        f"{label} seed {run.spec.seed} ({run.id}), {percent(run.metrics['test_top1'])} %"
        for label, group in cells
        for run in group.collapsed
    ]
    if not found:
        return ()
    return (
        f"Collapsed: {'; '.join(found)}. That is a run whose odds of a right answer are less than"
        f" 1/{COLLAPSE:g} of those of its cell's median run. It stays in every mean and verdict;"
        " where some runs collapse, few seeds misjudge how many do, so that a verdict may be wrong"
        " more often than it says. More seeds tell; a lower learning rate may help.",
    )
