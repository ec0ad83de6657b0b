"""A mean over seeds and test images, both random: the Obuchowski-Rockette / Hillis form.

d[s, i] is what seed s gives on test image i: correct (0 or 1), a difference of two cells' or a
weighted sum of several cells'. An interval over seeds alone holds for this test set only; used
as a verdict between settings it is wrong two to seven times as often as it says.

n seeds, N images, C cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import ndtri, stdtr, stdtrit

from vitexp.analysis.seeds import LEVEL


@dataclass(frozen=True)
class MeanSquares:
    """Two-way analysis of variance with one observation a (seed, image)."""

    seeds: float
    images: float
    residual: float


def mean_squares(d: np.ndarray) -> MeanSquares:
    """The mean squares of d, shape (n, N), with n >= 2 and N >= 2."""
    n, images = d.shape
    mean = d.mean()
    seeds = images * float(np.square(d.mean(axis=1) - mean).sum())
    by_image = n * float(np.square(d.mean(axis=0) - mean).sum())
    total = float(np.square(d - mean).sum())
    # Rounding may leave a sum of squares just below zero.
    residual = max(total - seeds - by_image, 0.0)
    return MeanSquares(
        seeds=seeds / (n - 1),
        images=by_image / (images - 1),
        residual=residual / ((n - 1) * (images - 1)),
    )


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds and test images with its uncertainty.

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
    """

    value: float
    n: int
    images: int
    seed_variance: float
    image_variance: float
    seed_df: float

    @cached_property
    def se(self) -> float:
        """Standard error; N images resolve no less than one image, 1 / N."""
        return float(max(self.seed_variance / self.n + self.image_variance, self.images**-2) ** 0.5)

    @cached_property
    def df(self) -> float:
        """Degrees of freedom (Satterthwaite), at least ``seed_df``."""
        return float(self.seed_df * (self.se**2 * self.n / self.seed_variance) ** 2)

    def quantile(self, tail: float) -> float:
        """How many standard errors leave ``tail`` beyond them on one side."""
        return float(-stdtrit(self.df, tail))

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
        return float(-ndtri(tail) * max(self.image_variance, self.images**-2) ** 0.5)

    @property
    def p(self) -> float:
        """Two-sided p-value of "the true value is 0"."""
        return 2 * float(stdtr(self.df, -abs(self.value) / self.se))

    @property
    def p_above(self) -> float:
        """One-sided p-value against "the true value is not above 0"."""
        return float(stdtr(self.df, -self.value / self.se))


def estimate(d: np.ndarray) -> Estimate:
    """The mean of d, shape (n, N), n >= 2, over seeds and images."""
    n, images = d.shape
    squares = mean_squares(d)
    return _estimate(d, squares, squares.seeds / images, seed_df=n - 1)


def pooled_contrast(cells: np.ndarray, weights: np.ndarray) -> Estimate:
    """A weighted sum of cells whose seed variance is pooled over all of them.

    The pooled variance is the cell-by-seed interaction (the seeds are shared), with
    (C - 1)(n - 1) degrees of freedom.

    Args:
        cells: correctness, shape (C, n, N); the same seeds and images in every cell.
        weights: shape (C,), summing to 0.
    """
    count, n, _ = cells.shape
    accuracy = cells.mean(axis=2)
    deviation = (
        accuracy
        - accuracy.mean(axis=1, keepdims=True)
        - accuracy.mean(axis=0, keepdims=True)
        + accuracy.mean()
    )
    df = (count - 1) * (n - 1)
    variance = float(np.square(deviation).sum()) / df * float(np.square(weights).sum())
    d = np.tensordot(weights, cells.astype(float), axes=1)
    return _estimate(d, mean_squares(d), variance, seed_df=df)


def _estimate(
    d: np.ndarray, squares: MeanSquares, seed_variance: float, seed_df: float
) -> Estimate:
    n, images = d.shape
    # Accuracies come in steps of 1 / N: equal ones do not prove that seeds do not matter, so
    # their variance is not taken to be below that of rounding.
    return Estimate(
        value=float(d.mean()),
        n=n,
        images=images,
        seed_variance=max(seed_variance, squares.residual / images, images**-2 / 12),
        image_variance=max(squares.images - squares.residual, 0.0) / (n * images),
        seed_df=seed_df,
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
