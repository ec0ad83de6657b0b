"""Verdicts at fixed looks, and what would settle an open one.

Looking again after every added seed until something is significant gives 15 to 23 % false
verdicts. So there are four looks, at 3, 5, 10 and 20 seeds, which share alpha. The first has most
of it (an alpha-spending function, Lan and DeMets 1983, Biometrika 70, 659): there seeds are few and
its share buys most, and later ones hardly miss theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

from scipy.special import chdtri

from vitexp.amounts import count
from vitexp.analysis.together import Joint, together
from vitexp.analysis.two_way import Estimate

ALPHA = 0.05
LEVELS = {3: 0.038, 5: 0.006, 10: 0.004, 20: 0.002}
"""What each look may spend on the differences of a table; together alpha."""
CLAIM_LEVELS = {3: 0.025, 5: 0.01, 10: 0.008, 20: 0.007}
"""The same for a claim, on one side. With few seeds that are skewed, as accuracies are, one side is
wrong more often than two, so the first look has less."""
LOOKS = tuple(LEVELS)
LOOK_ALPHA = ALPHA / len(LOOKS)
"""What each may spend where model sizes are the replicates: these do not grow with the seeds."""

Verdict = Literal["better", "worse", "undecided"]
K = TypeVar("K", bound=Hashable)


def look(n: int) -> int | None:
    """How many of n seeds a verdict uses (the first ones); None below the first look."""
    return max((count for count in LOOKS if count <= n), default=None)


def level(n: int) -> float:
    """What the look at n seeds may spend on the differences of a table."""
    return LEVELS[look(n) or LOOKS[0]]


def claim_level(n: int) -> float:
    """What the look at n seeds may spend on a claim, on one side."""
    return CLAIM_LEVELS[look(n) or LOOKS[0]]


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
            return f"more seeds cannot settle it on {count(self.images, 'test image')}"
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


def outlook(
    current: Estimate | Joint,
    gap: float,
    tail: float,
    spend: Callable[[int], float] = claim_level,
) -> Outlook:
    """At which look ``gap`` (a share, positive) would exceed the interval's half-width.

    Args:
        current: the estimate at the present look.
        tail: probability left beyond the interval on one side, of the present look's level.
        spend: the level of a look.
    """
    df, share = current.seed_df, tail / spend(current.n)
    tails = {n: share * spend(n) for n in LOOKS}
    left = [n for n in LOOKS if n > current.n]
    first, last = (
        _decided_at(current, gap, {n: tails[n] for n in left}, df / float(chdtri(df, tail80)))
        for tail80 in (0.1, 0.9)
    )
    return Outlook(
        first=first,
        last=last,
        possible=any(current.floor(tails[n]) < gap for n in left or LOOKS[-1:]),
        images=current.images,
        looks_left=bool(left),
    )


def _decided_at(
    current: Estimate | Joint, gap: float, tails: Mapping[int, float], times: float
) -> int | None:
    for n, tail in tails.items():
        later = current.later(n, times)
        if later.upper(tail) - later.value <= gap:
            return n
    return None


@dataclass(frozen=True)
class Decision:
    """The verdict on one difference among several.

    Attributes:
        estimate: the difference at the look.
        p: two-sided, adjusted for the number of differences and for the looks: below 0.05 there is
            a verdict.
        low, high: the interval that decides: without 0 in it there is a verdict.
        among: number of differences.
        outlook: what would settle an undecided one.
    """

    estimate: Estimate
    p: float
    low: float
    high: float
    among: int
    verdict: Verdict
    outlook: Outlook | None


def decide(
    differences: Mapping[K, Estimate],
    one_reference: bool = True,
    kin: Mapping[K, Hashable] | None = None,
    among: int | None = None,
) -> dict[K, Decision]:
    """A verdict for each difference, each estimated at its look; false ones among all of them
    and all looks together with probability ``ALPHA``.

    Args:
        one_reference, kin, among: as for :func:`vitexp.analysis.together.together`.
    """
    joints = together(differences, one_reference, kin, among)
    return {key: _decision(joints[key], differences[key]) for key in differences}


def _decision(joint: Joint, difference: Estimate) -> Decision:
    tail = level(joint.n) / 2
    low, high = joint.lower(tail), joint.upper(tail)
    verdict: Verdict = "better" if low > 0 else "worse" if high < 0 else "undecided"
    settle = None
    if verdict == "undecided":
        settle = outlook(joint, abs(difference.value), tail, level)
    p = min(1.0, float(joint.p) * ALPHA / level(joint.n))
    return Decision(difference, p, low, high, joint.among, verdict, settle)
