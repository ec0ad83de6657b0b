"""Accuracies and differences as the cells of a table."""

from __future__ import annotations

from collections.abc import Iterable

from vitexp.analysis.groups import Comparison, Group
from vitexp.analysis.seeds import Sample
from vitexp.reporting.report import Cell, Tone
from vitexp.reporting.values import difference_words, said_words
from vitexp.reporting.words import decimals, percent

TONES: dict[str, Tone] = {"better": "good", "worse": "bad"}
"""The tone of a verdict; of others it is plain."""


def mean_words(found: Sample | None, places: int) -> str:
    """``"97.2 ± 0.3"``, ``"97.2"`` of a single seed, ``"-"`` without any."""
    if found is None or found.mean is None:
        return "-"
    half = "" if found.half_width is None else f" ± {percent(found.half_width, places)}"
    return f"{percent(found.mean, places)}{half}"


def accuracy_words(group: Group) -> str:
    """Test top-1 of a cell: ``"97.2 ± 0.3, n 3"``, or that all its runs diverged."""
    top1 = group.metric("test_top1")
    if top1.mean is None:
        return "diverged"
    return f"{mean_words(top1, decimals(group.images))}, n {top1.n}"


def accuracy_cell(group: Group, details: Iterable[str] = (), tone: Tone = "plain") -> Cell:
    """Test top-1 of a cell, with the runs that it is of."""
    return Cell(accuracy_words(group), tuple(details), tone, group.runs)


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
