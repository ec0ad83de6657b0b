"""Tests of the shapes that the paper's claims have: "all are better", "all are the same"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from vitexp.analysis.decide import LOOK_ALPHA, Outlook, outlook
from vitexp.analysis.two_way import Estimate

Standing = Literal["SUPPORTED", "REFUTED", "INCONCLUSIVE", "NOT RUN"]


@dataclass(frozen=True)
class Finding:
    """The outcome of a test.

    Attributes:
        key: the difference that decided, or that stands in the way.
        estimate: that difference.
        low, high: its interval, 1 - 2 alpha, as the test used it.
        outlook: what would settle an inconclusive one.
    """

    standing: Standing
    key: str
    estimate: Estimate
    low: float
    high: float
    outlook: Outlook | None = None


def all_exceed(
    differences: Mapping[str, Estimate], margin: float, alpha: float = LOOK_ALPHA
) -> Finding:
    """Whether every difference exceeds ``margin`` (a share).

    SUPPORTED if every one-sided lower bound does (all must, so none is adjusted); REFUTED if
    some upper bound, Bonferroni over the differences, lies below it.
    """
    weakest = min(differences, key=lambda key: differences[key].lower(alpha))
    if differences[weakest].lower(alpha) > margin:
        return finding("SUPPORTED", weakest, differences, alpha)
    each = alpha / len(differences)
    lowest = min(differences, key=lambda key: differences[key].upper(each))
    if differences[lowest].upper(each) < margin:
        return finding("REFUTED", lowest, differences, alpha)
    gap = differences[weakest].value - margin
    settle = outlook(differences[weakest], abs(gap), alpha if gap > 0 else each)
    return finding("INCONCLUSIVE", weakest, differences, alpha, settle)


def all_equivalent(
    differences: Mapping[str, Estimate], margin: float, alpha: float = LOOK_ALPHA
) -> Finding:
    """Whether every difference lies within +- ``margin`` (a share).

    SUPPORTED if every 1 - 2 alpha interval does (two one-sided tests); REFUTED if some
    interval, Bonferroni over the differences, lies outside.
    """

    def reach(key: str) -> float:
        low, high = differences[key].interval(1 - 2 * alpha)
        return max(-low, high)

    widest = max(differences, key=reach)
    if reach(widest) < margin:
        return finding("SUPPORTED", widest, differences, alpha)
    tail = alpha / len(differences) / 2
    for key, difference in differences.items():
        if difference.lower(tail) > margin or difference.upper(tail) < -margin:
            return finding("REFUTED", key, differences, alpha)
    gap = margin - abs(differences[widest].value)
    settle = outlook(differences[widest], abs(gap), alpha if gap > 0 else tail)
    return finding("INCONCLUSIVE", widest, differences, alpha, settle)


def some_equivalent(
    differences: Mapping[str, Estimate], margin: float, alpha: float = LOOK_ALPHA
) -> Finding:
    """Whether some difference lies within +- ``margin`` (a share).

    SUPPORTED if some interval, Bonferroni over the differences, does (two one-sided tests);
    REFUTED if every one-sided bound lies outside (all must, so none is adjusted).
    """

    def reach(key: str, tail: float) -> float:
        return max(-differences[key].lower(tail), differences[key].upper(tail))

    def beyond(key: str) -> bool:
        return differences[key].lower(alpha) > margin or differences[key].upper(alpha) < -margin

    each = alpha / len(differences)
    nearest = min(differences, key=lambda key: reach(key, each))
    if reach(nearest, each) < margin:
        return finding("SUPPORTED", nearest, differences, alpha)
    if all(map(beyond, differences)):
        return finding("REFUTED", nearest, differences, alpha)
    gap = margin - abs(differences[nearest].value)
    settle = outlook(differences[nearest], abs(gap), each if gap > 0 else alpha)
    return finding("INCONCLUSIVE", nearest, differences, alpha, settle)


def finding(
    standing: Standing,
    key: str,
    differences: Mapping[str, Estimate],
    alpha: float,
    settle: Outlook | None = None,
) -> Finding:
    """The :class:`Finding` that the difference ``key`` decided, at ``alpha``."""
    low, high = differences[key].interval(1 - 2 * alpha)
    return Finding(standing, key, differences[key], low, high, settle)
