"""Tests of the shapes that the paper's claims have: "all are better", "all are the same".

``alpha``, where it is not given, is what the look may spend on a claim. Where all differences
must hold, none is adjusted and none lends: what is lent pays for the number of tries at one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from vitexp.analysis.decide import Outlook, claim_level, outlook
from vitexp.analysis.together import together
from vitexp.analysis.two_way import Estimate, possible

Standing = Literal["SUPPORTED", "REFUTED", "INCONCLUSIVE", "NOT RUN"]


@dataclass(frozen=True)
class Finding:
    """The outcome of a test.

    Attributes:
        key: the difference that decided, or that stands in the way.
        estimate: that difference.
        low, high: its interval, 1 - 2 alpha, as the test used it.
        alpha: one-sided level of the test.
        outlook: what would settle an inconclusive one.
    """

    standing: Standing
    key: str
    estimate: Estimate
    low: float
    high: float
    alpha: float
    outlook: Outlook | None = None

    @property
    def possible(self) -> Finding:
        """The same with the part of its interval that a difference of accuracies can have."""
        low, high = possible((self.low, self.high), self.estimate.most)
        return replace(self, low=low, high=high)


def all_exceed(
    differences: Mapping[str, Estimate], margin: float, alpha: float | None = None
) -> Finding:
    """Whether every difference exceeds ``margin`` (a share).

    SUPPORTED if every one-sided lower bound does (all must, so none is adjusted); REFUTED if
    some upper bound, for all differences together, lies below it.
    """
    alpha = _level(differences, alpha)
    weakest = min(differences, key=lambda key: differences[key].lower(alpha))
    if differences[weakest].lower(alpha) > margin:
        return finding("SUPPORTED", weakest, differences, alpha)
    joints = together(differences)
    lowest = min(joints, key=lambda key: joints[key].upper(alpha))
    if joints[lowest].upper(alpha) < margin:
        return finding("REFUTED", lowest, differences, alpha)
    gap = differences[weakest].value - margin
    settle = outlook((differences if gap > 0 else joints)[weakest], abs(gap), alpha)
    return finding("INCONCLUSIVE", weakest, differences, alpha, settle)


def all_equivalent(
    differences: Mapping[str, Estimate], margin: float, alpha: float | None = None
) -> Finding:
    """Whether every difference lies within +- ``margin`` (a share).

    SUPPORTED if every 1 - 2 alpha interval does (two one-sided tests); REFUTED if some
    interval, for all differences together, lies outside.
    """
    alpha = _level(differences, alpha)

    def reach(key: str) -> float:
        low, high = differences[key].interval(1 - 2 * alpha)
        return max(-low, high)

    widest = max(differences, key=reach)
    if reach(widest) < margin:
        return finding("SUPPORTED", widest, differences, alpha)
    joints = together(differences)
    for key, joint in joints.items():
        if joint.lower(alpha / 2) > margin or joint.upper(alpha / 2) < -margin:
            return finding("REFUTED", key, differences, alpha)
    gap = margin - abs(differences[widest].value)
    settle = (
        outlook(differences[widest], gap, alpha)
        if gap > 0
        else outlook(joints[widest], -gap, alpha / 2)
    )
    return finding("INCONCLUSIVE", widest, differences, alpha, settle)


def some_equivalent(
    differences: Mapping[str, Estimate], margin: float, alpha: float | None = None
) -> Finding:
    """Whether some difference lies within +- ``margin`` (a share).

    SUPPORTED if some interval, for all differences together, does (two one-sided tests);
    REFUTED if every one-sided bound lies outside (all must, so none is adjusted).
    """
    alpha = _level(differences, alpha)
    joints = together(differences)

    def reach(key: str) -> float:
        return max(-joints[key].lower(alpha), joints[key].upper(alpha))

    def beyond(key: str) -> bool:
        return differences[key].lower(alpha) > margin or differences[key].upper(alpha) < -margin

    nearest = min(differences, key=reach)
    if reach(nearest) < margin:
        return finding("SUPPORTED", nearest, differences, alpha)
    if all(map(beyond, differences)):
        return finding("REFUTED", nearest, differences, alpha)
    gap = margin - abs(differences[nearest].value)
    settle = outlook((joints if gap > 0 else differences)[nearest], abs(gap), alpha)
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
    return Finding(standing, key, differences[key], low, high, alpha, settle)


def _level(differences: Mapping[str, Estimate], alpha: float | None) -> float:
    return claim_level(min(one.n for one in differences.values())) if alpha is None else alpha
