"""The difference of two models at several amounts of training data, and where it changes sign.

d[f, s, i] is what seed s gives on test image i at amount f: correct_A - correct_B.

F amounts, n seeds, N test images.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np

from vitexp.analysis.decide import Outlook, claim_level, outlook
from vitexp.analysis.findings import Finding, finding
from vitexp.analysis.seeds import LEVEL
from vitexp.analysis.two_way import Estimate, estimate

_STEPS = 64
"""Points at which the line between two amounts is looked at."""


@dataclass(frozen=True)
class Curve:
    """A difference over the amount of data, each amount with its own variance over seeds.

    That variance often falls steeply with the amount; pooled over the amounts it makes the
    interval at the least data far too short.

    Attributes:
        sizes: number of training images, rising, shape (F,).
        values: the mean difference at each, shape (F,).
        n, images: seeds and test images behind it.
        seed_variances: of one seed's value, at each, shape (F,).
        image_terms: shape (F, F); u' image_terms u is the image variance of the contrast u.
    """

    sizes: np.ndarray
    values: np.ndarray
    n: int
    images: int
    seed_variances: np.ndarray
    image_terms: np.ndarray

    @classmethod
    def of(cls, d: np.ndarray, sizes: np.ndarray) -> Curve:
        """From d, shape (F, n, N), n >= 2, at ``sizes``, rising, shape (F,)."""
        amounts, n, images = d.shape
        assert len(sizes) == amounts and np.all(np.diff(sizes) > 0)
        by_image = d.mean(axis=1) - d.mean(axis=(1, 2))[:, None]
        residual = d - d.mean(axis=2, keepdims=True) - by_image[:, None]
        flat = residual.reshape(amounts, -1)
        squares = n * by_image @ by_image.T - flat @ flat.T / (n - 1)
        return cls(
            sizes=np.asarray(sizes, float),
            values=d.mean(axis=(1, 2)),
            n=n,
            images=images,
            seed_variances=np.array([estimate(one).seed_variance for one in d]),
            image_terms=squares / (images - 1) / (n * images),
        )

    def between(self, place: float) -> Estimate:
        """The difference at ``place`` in [0, F - 1], linear in log size between two amounts; at
        an amount just what :func:`estimate` says of it.

        So is the variance over seeds, with n - 1 degrees of freedom: that of the line through
        two amounts is never larger, however a seed's luck at one goes with that at the other
        (subsets are nested).
        """
        left = min(int(place), len(self.sizes) - 2)
        weights = np.zeros(len(self.sizes))
        weights[left], weights[left + 1] = left + 1 - place, place - left
        return Estimate(
            value=float(weights @ self.values),
            n=self.n,
            images=self.images,
            seed_variance=float(weights @ self.seed_variances),
            image_variance=max(float(weights @ self.image_terms @ weights), 0.0),
            seed_df=self.n - 1,
        )

    def size(self, place: float) -> float:
        """Number of images at ``place``."""
        log = np.log(self.sizes)
        return float(np.exp(np.interp(place, np.arange(len(log)), log)))


@dataclass(frozen=True)
class Crossing:
    """Where a difference passes 0 upwards, in training images.

    Attributes:
        at: where the means do; None where they do not within the range.
        low, high: ends of the confidence interval; None where it is open, beyond the range.
    """

    at: float | None
    low: float | None
    high: float | None


def crossing(curve: Curve, level: float = LEVEL) -> Crossing | None:
    """Every size at which 0 lies within the interval of the difference, from first to last: the
    test at each size turned round, as Fieller (1954) does for a ratio.

    Returns:
        None where 0 lies outside it everywhere: no crossing within the range.
    """
    places = np.linspace(0, len(curve.sizes) - 1, _STEPS * (len(curve.sizes) - 1) + 1)
    tail = (1 - level) / 2
    estimates = [curve.between(place) for place in places]
    inside = [e.lower(tail) <= 0 <= e.upper(tail) for e in estimates]
    at = _passing(curve)
    if not any(inside) and at is None:
        return None
    # An interval narrower than the looked-at points is where the means pass.
    kept = [curve.size(p) for p, hit in zip(places, inside, strict=True) if hit]
    around = [at] if at is not None else []
    return Crossing(
        at,
        None if inside[0] else min(kept + around),
        None if inside[-1] else max(kept + around),
    )


def _passing(curve: Curve) -> float | None:
    """Where the means pass 0 upwards for the last time; None where they do not."""
    found = None
    for left, (low, high) in enumerate(zip(curve.values, curve.values[1:], strict=False)):
        if low < 0 <= high:
            found = curve.size(left + low / (low - high))
    return found


def families_cross(d: np.ndarray, names: list[str], alpha: float | None = None) -> Finding:
    """Whether A is worse than B with less data and better with more.

    SUPPORTED if, Bonferroni over the amounts, the difference is below 0 at one and above 0 at
    a larger one; REFUTED if it is above 0 at one and below 0 at a larger one.

    Args:
        d: shape (F, n, N), by rising amount.
        names: what to call each amount.
    """
    estimates = {name: estimate(one) for name, one in zip(names, d, strict=True)}
    alpha = claim_level(d.shape[1]) if alpha is None else alpha
    tail = alpha / len(names)
    below = [e.upper(tail) < 0 for e in estimates.values()]
    above = [e.lower(tail) > 0 for e in estimates.values()]
    last = names[-1]
    if _then(below, above):
        return finding("SUPPORTED", last, estimates, alpha)
    if _then(above, below):
        return finding("REFUTED", last, estimates, alpha)
    return finding("INCONCLUSIVE", last, estimates, alpha, _outlook(list(estimates.values()), tail))


def _outlook(estimates: list[Estimate], tail: float) -> Outlook | None:
    """When the pair of amounts that is nearest to being decided would be; None where no mean is
    below 0 before one that is above."""
    pairs = [
        [outlook(one, abs(one.value), tail) for one in pair]
        for pair in itertools.combinations(estimates, 2)
        if pair[0].value < 0 < pair[1].value
    ]
    return min((_both(*pair) for pair in pairs), key=_lateness, default=None)


def _both(one: Outlook, other: Outlook) -> Outlook:
    """When both are decided."""
    first, last = (
        None if None in ends else max(end for end in ends if end is not None)
        for ends in ((one.first, other.first), (one.last, other.last))
    )
    possible = one.possible and other.possible
    return Outlook(first, last, possible, one.images, one.looks_left)


def _lateness(outlook: Outlook) -> tuple[bool, float, float]:
    first, last = (float("inf") if n is None else n for n in (outlook.first, outlook.last))
    return not outlook.possible, first, last


def _then(first: list[bool], second: list[bool]) -> bool:
    return any(first[i] and any(second[i + 1 :]) for i in range(len(first)))


def gains_differ(d: np.ndarray) -> Estimate:
    """How much more the difference grows from the first to the last amount: d[-1] - d[0].

    Positive where A gains more from more data than B does.
    """
    return replace(estimate(np.subtract(d[-1], d[0], dtype=np.int8)), most=2)
