"""Verdicts at fixed looks, and what would settle an open one.

Looking again after every added seed until something is significant gives 15 to 23 % false
verdicts. So there are four looks, at 3, 5, 10 and 20 seeds, each at a quarter of alpha.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from scipy.special import chdtri

from vitexp.analysis.two_way import Estimate

ALPHA = 0.05
LOOKS = (3, 5, 10, 20)
LOOK_ALPHA = ALPHA / len(LOOKS)
"""What each look may spend."""

Verdict = Literal["better", "worse", "undecided"]
K = TypeVar("K", bound=Hashable)


def look(n: int) -> int | None:
    """How many of n seeds a verdict uses (the first ones); None below the first look."""
    return max((count for count in LOOKS if count <= n), default=None)


def holm(p: Sequence[float]) -> list[float]:
    """P-values adjusted for their number (Holm's step-down), in the order given."""
    adjusted, highest = [0.0] * len(p), 0.0
    for rank, index in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        highest = max(highest, min(1.0, (len(p) - rank) * p[index]))
        adjusted[index] = highest
    return adjusted


@dataclass(frozen=True)
class Outlook:
    """What would settle an open question, if the value stays as it is.

    The variance over seeds is known from few of them, so the answer is a range: for its 80 %
    chi-square interval.

    Attributes:
        first, last: looks at which it would be decided, at best and at worst; None: at none.
        possible: whether any number of seeds could, on these test images.
        images: number of test images.
        looks_left: whether a later look exists.
    """

    first: int | None
    last: int | None
    possible: bool
    images: int
    looks_left: bool

    def __str__(self) -> str:
        if not self.possible:
            return f"more seeds cannot settle it on {self.images} test images"
        if not self.looks_left:
            return f"{LOOKS[-1]} seeds are the last look: it stays open on these data"
        if self.first is None:
            return f"{LOOKS[-1]} seeds, the last look, would probably not settle it"
        if self.first == LOOKS[-1] and self.last is None:
            return f"{LOOKS[-1]} seeds, the last look, may or may not settle it"
        if self.last is None:
            return f"{self.first} seeds may settle it, {LOOKS[-1]} may not be enough"
        if self.first == self.last:
            return f"about {self.first} seeds would settle it"
        return f"about {self.first} to {self.last} seeds would settle it"


def outlook(current: Estimate, gap: float, tail: float) -> Outlook:
    """At which look ``gap`` (a share, positive) would exceed the interval's half-width.

    Args:
        current: the estimate at the present look.
        tail: probability left beyond the interval on one side.
    """
    df, variance = current.seed_df, current.seed_variance
    low, high = (variance * df / float(chdtri(df, tail80)) for tail80 in (0.1, 0.9))
    return Outlook(
        first=_decided_at(current, gap, tail, low),
        last=_decided_at(current, gap, tail, high),
        possible=current.floor(tail) < gap,
        images=current.images,
        looks_left=current.n < LOOKS[-1],
    )


def _decided_at(current: Estimate, gap: float, tail: float, seed_variance: float) -> int | None:
    for n in LOOKS:
        seed_df = current.seed_df * (n - 1) / (current.n - 1)
        later = Estimate(0.0, n, current.images, seed_variance, current.image_variance, seed_df)
        if n > current.n and later.upper(tail) <= gap:
            return n
    return None


@dataclass(frozen=True)
class Decision:
    """The verdict on one difference among several.

    Attributes:
        estimate: the difference at the look.
        p_holm: two-sided, adjusted for the number of differences.
        outlook: what would settle an undecided one.
    """

    estimate: Estimate
    p_holm: float
    verdict: Verdict
    outlook: Outlook | None


def decide(differences: Mapping[K, Estimate]) -> dict[K, Decision]:
    """A verdict for each difference, each estimated at its look; false ones among all of them
    together with probability ``LOOK_ALPHA`` at most."""
    adjusted = dict(zip(differences, holm([e.p for e in differences.values()]), strict=True))
    still_open = sum(p >= LOOK_ALPHA for p in adjusted.values())
    decisions = {}
    for key, difference in differences.items():
        verdict: Verdict = "undecided"
        if adjusted[key] < LOOK_ALPHA:
            verdict = "better" if difference.value > 0 else "worse"
        settle = None
        if verdict == "undecided":
            tail = LOOK_ALPHA / 2 / still_open
            settle = outlook(difference, abs(difference.value), tail)
        decisions[key] = Decision(difference, adjusted[key], verdict, settle)
    return decisions
