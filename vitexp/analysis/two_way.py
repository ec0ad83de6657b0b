"""A mean over seeds and test images, both random: the Obuchowski-Rockette / Hillis form.

d[s, i] is what seed s gives on test image i: correct (0 or 1), a difference of two cells' or a
weighted sum of several cells'. An interval over seeds alone holds for this test set only; used
as a verdict between settings it is wrong two to seven times as often as it says.

n seeds, N images, C cells.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.special import ndtri, stdtr, stdtrit

from vitexp.analysis.seeds import LEVEL

LENT = 4.0
"""Degrees of freedom that the seeds of other cells lend to a variance; see
:mod:`vitexp.analysis.together`."""


@dataclass(frozen=True)
class MeanSquares:
    """Two-way analysis of variance with one observation a (seed, image)."""

    seeds: float
    images: float
    residual: float


def mean_squares(d: np.ndarray) -> MeanSquares:
    """The mean squares of d, shape (n, N), with n >= 2 and N >= 2."""
    mean = d.mean()
    return squares_of(
        d.mean(axis=1),
        images=float(np.square(d.mean(axis=0) - mean).sum()) * len(d),
        total=float(np.square(d - mean).sum()),
        count=d.shape[1],
    )


def squares_of(by_seed: np.ndarray, images: Any, total: Any, count: int) -> MeanSquares:
    """The mean squares from sums over N = ``count`` images.

    Args:
        by_seed: the mean of each seed, shape (..., n).
        images, total: sums of squares between images and of all, shape (...).
    """
    n = by_seed.shape[-1]
    seeds = count * np.square(by_seed - by_seed.mean(axis=-1, keepdims=True)).sum(axis=-1)
    # Rounding may leave a sum of squares just below zero.
    residual = np.maximum(total - seeds - images, 0.0)
    return MeanSquares(
        seeds=seeds / (n - 1),
        images=images / (count - 1),
        residual=residual / ((n - 1) * (count - 1)),
    )


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds and test images with its uncertainty; or many of them, where its numbers
    are arrays of one shape.

    SE^2 = (S + E) / (nN) and df = (S + E)^2 / (S^2 / (n - 1)), where E = max(MS_i - MS_si, 0)
    and S = max(MS_s, MS_si): neither images nor seeds can bring less than no variance. The
    form is usually written with S = MS_s; then three seeds that agree by chance make the
    interval far too short, and a table of ten equal cells gets a false verdict in 10 to 16 %
    of cases instead of 5 %.

    Attributes:
        value: the mean, as a share.
        n, images: seeds and test images behind it.
        seed_variance: of one seed's value: S / N.
        image_variance: what the choice of test images adds to the mean's: E / (nN).
        seed_df: degrees of freedom of ``seed_variance``.
        by_seed: the mean of each seed, shape (n,); None where ``seed_variance`` is not theirs.
        least: what ``seed_variance`` is at least: MS_si / N, or that of rounding.
        most: what ``value`` can be at most, and its opposite at least: 1 of a difference of two
            accuracies, 2 of a difference of two such.
    """

    value: float
    n: int
    images: int
    seed_variance: float
    image_variance: float
    seed_df: float
    by_seed: np.ndarray | None = dataclasses.field(default=None, compare=False, repr=False)
    least: float = 0.0
    most: float = 1.0

    @cached_property
    def se(self) -> float:
        """Standard error; N images resolve no less than one image, 1 / N."""
        variance = self.seed_variance / self.n + self.image_variance
        return np.sqrt(np.maximum(variance, self.images**-2.0))  # type: ignore[no-any-return]

    @cached_property
    def df(self) -> float:
        """Degrees of freedom (Satterthwaite), at least ``seed_df``."""
        return self.seed_df * (self.se**2 * self.n / self.seed_variance) ** 2

    def quantile(self, tail: float) -> float:
        """How many standard errors leave ``tail`` beyond them on one side."""
        return -stdtrit(self.df, tail)  # type: ignore[no-any-return]

    def lower(self, tail: float) -> float:
        """One-sided lower confidence bound, wrong with probability ``tail``."""
        return self.value - self.quantile(tail) * self.se

    def upper(self, tail: float) -> float:
        """One-sided upper confidence bound, wrong with probability ``tail``."""
        return self.value + self.quantile(tail) * self.se

    def interval(self, level: float = LEVEL) -> tuple[float, float]:
        """Two-sided confidence interval."""
        tail = (1 - level) / 2
        return self.lower(tail), self.upper(tail)

    def floor(self, tail: float) -> float:
        """Half-width that is left of the interval with any number of seeds."""
        variance = np.maximum(self.image_variance, self.images**-2.0)
        return -ndtri(tail) * np.sqrt(variance)  # type: ignore[no-any-return]

    def later(self, n: int, times: float) -> Estimate:
        """What it would be at n seeds, if their variance is so many times what it seems."""
        return Estimate(
            self.value,
            n,
            self.images,
            self.seed_variance * times,
            self.image_variance,
            self.seed_df * (n - 1) / (self.n - 1),
        )

    @property
    def p(self) -> float:
        """Two-sided p-value of "the true value is 0"."""
        return 2 * stdtr(self.df, -abs(self.value) / self.se)  # type: ignore[no-any-return]

    @property
    def p_above(self) -> float:
        """One-sided p-value against "the true value is not above 0"."""
        return stdtr(self.df, -self.value / self.se)  # type: ignore[no-any-return]


def possible(interval: tuple[float, float], most: float = 1.0) -> tuple[float, float]:
    """The part of it that a difference of two shares can have, or what is ``most`` in size."""
    return max(interval[0], -most), min(interval[1], most)


def estimate(d: np.ndarray) -> Estimate:
    """The mean of d, shape (n, N), n >= 2, over seeds and images."""
    return estimate_of(d.mean(axis=1), mean_squares(d), d.shape[1])


def estimate_of(by_seed: np.ndarray, squares: MeanSquares, images: int) -> Estimate:
    """The same from the mean of each seed, shape (..., n), and the mean squares, shape (...)."""
    return _estimate(by_seed, squares, images, squares.seeds / images, by_seed.shape[-1] - 1)


def lent_contrast(cells: np.ndarray, weights: np.ndarray) -> Estimate:
    """A weighted sum of cells; to its seed variance all cells lend :data:`LENT` degrees of freedom.

    They lend the cell-by-seed interaction (the seeds are shared).

    Args:
        cells: correctness, shape (C, n, N); the same seeds and images in every cell.
        weights: shape (C,), summing to 0.
    """
    count, n, images = cells.shape
    accuracy = cells.mean(axis=2)
    deviation = (
        accuracy
        - accuracy.mean(axis=1, keepdims=True)
        - accuracy.mean(axis=0, keepdims=True)
        + accuracy.mean()
    )
    pool = float(np.square(deviation).sum()) / ((count - 1) * (n - 1))
    d = np.tensordot(weights, cells.astype(float), axes=1)
    squares = mean_squares(d)
    lent = LENT * pool * float(np.square(weights).sum())
    variance = (lent + (n - 1) * squares.seeds / images) / (LENT + n - 1)
    whole = _estimate(d.mean(axis=1), squares, images, variance, LENT + n - 1)
    return dataclasses.replace(whole, by_seed=None)


def _estimate(
    by_seed: np.ndarray, squares: MeanSquares, images: int, seed_variance: float, seed_df: float
) -> Estimate:
    n = by_seed.shape[-1]
    # Accuracies come in steps of 1 / N: equal ones do not prove that seeds do not matter, so
    # their variance is not taken to be below that of rounding.
    least = np.maximum(squares.residual / images, images**-2.0 / 12)
    return Estimate(
        value=by_seed.mean(axis=-1),
        n=n,
        images=images,
        seed_variance=np.maximum(seed_variance, least),
        image_variance=np.maximum(squares.images - squares.residual, 0.0) / (n * images),
        seed_df=seed_df,
        by_seed=by_seed,
        least=least,
    )


@dataclass(frozen=True)
class Resolution:
    """Half-width of the 95 % interval of a typical difference between two cells, as a share.

    Attributes:
        now: with the seeds at hand.
        at_best: with any number of seeds, on as many test images.
    """

    now: float
    at_best: float


def resolution(cells: np.ndarray) -> Resolution:
    """What a test set can rank, from all pairs of cells, shape (C, n, N), C >= 2, n >= 2.

    The variances are averaged over the pairs; the image term before it is cut off at 0.
    """
    count, n, images = cells.shape
    pairs = [
        mean_squares(np.subtract(cells[a], cells[b], dtype=float))
        for a in range(count)
        for b in range(a)
    ]
    seeds = float(np.mean([max(pair.seeds, pair.residual) for pair in pairs]))
    image_term = max(float(np.mean([pair.images - pair.residual for pair in pairs])), 0.0)
    typical = Estimate(
        value=0.0,
        n=n,
        images=images,
        seed_variance=max(seeds / images, images**-2 / 12),
        image_variance=image_term / (n * images),
        seed_df=n - 1,
    )
    tail = (1 - LEVEL) / 2
    return Resolution(typical.upper(tail), typical.floor(tail))
