"""Accuracies and differences as the cells of a table."""

from __future__ import annotations

from collections.abc import Iterable

from vitexp.analysis.groups import Comparison, Group
from vitexp.analysis.seeds import Sample
from vitexp.reporting.report import Cell, Tone
from vitexp.reporting.values import difference_words, said_words
from vitexp.reporting.words import decimals, percent, span

TONES: dict[str, Tone] = {"better": "good", "worse": "bad"}
"""The tone of a verdict; of others it is plain."""


def mean_lines(found: Sample | None, places: int) -> tuple[str, ...]:
    """``"97.2 ± 0.3"``, ``"97.2"`` of a single seed, ``"-"`` without any; where ± would go beyond
    what a share can be, ``"92.0"`` and below it ``"[74.1, 97.9]"``."""
    if found is None or found.mean is None:
        return ("-",)
    mean, half = percent(found.mean, places), found.half_width
    if found.low is None or found.high is None or half is None:
        return (mean,)
    if found.mean - half < 0 <= found.low or found.mean + half > 1 >= found.high:
        return mean, span(found.low, found.high, places)
    return (f"{mean} ± {percent(half, places)}",)


def mean_words(found: Sample | None, places: int) -> str:
    """The same in one line."""
    return " ".join(mean_lines(found, places))


def accuracy_words(group: Group) -> str:
    """Test top-1 of a cell: ``"97.2 ± 0.3, n 3"``, or that all its runs diverged."""
    return " ".join(_accuracy_lines(group))


def _accuracy_lines(group: Group) -> tuple[str, ...]:
    top1 = group.metric("test_top1")
    if top1.mean is None:
        return ("diverged",)
    mean, *interval = mean_lines(top1, decimals(group.images))
    return f"{mean}, n {top1.n}", *interval


def accuracy_cell(group: Group, details: Iterable[str] = (), tone: Tone = "plain") -> Cell:
    """Test top-1 of a cell, with the runs that it is of."""
    mean, *interval = _accuracy_lines(group)
    return Cell(mean, (*interval, *details), tone, group.runs)


def lost_words(group: Group) -> tuple[str, ...]:
    """How many runs of a cell diverged, if any did."""
    if not group.diverged:
        return ()
    return (f"{group.diverged} of {len(group.records)} diverged",)


def gap_words(comparison: Comparison | None, places: int, to: str = "") -> tuple[str, ...]:
    """A difference with its interval, and the verdict on it; nothing without a comparison.

    Args:
        to: what the difference is to, said where there is no interval.
    """
    if comparison is None:
        return ()
    words = difference_words(comparison, places)
    return (f"{words}{to}",) if comparison.estimate is None else (words, said_words(comparison))


def gap_cell(comparison: Comparison, places: int) -> Cell:
    """A difference as a cell of its own."""
    delta, *said = gap_words(comparison, places)
    return Cell(delta, tuple(said) or ("no verdict",), tone_of(comparison))


def tone_of(comparison: Comparison | None) -> Tone:
    """What the colour of a compared cell says."""
    decision = comparison and comparison.decision
    return TONES.get(decision.verdict, "plain") if decision else "plain"
