"""How many times less compute one family needs than another for the same error.

    log error = family + slope * log compute

with one slope for both families, each with a scatter of its own. The sizes are the replicates,
not the seeds: what a ratio says is about models of these families, and other sizes of them would
lie elsewhere around the lines.

The interval is Fieller's (1954, J. R. Stat. Soc. B 16, 175): all ratios that a t test does not rule
out. One variance for both families covers 60 to 90 % instead of 95 where that of fewer sizes
scatters 3 to 10 times as much; so each has its own, and the t its degrees of freedom by
Satterthwaite (1946, Biometrics Bull. 2, 110), as in Welch's test (1947, Biometrika 34, 28).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import stdtr, stdtrit

from vitexp.analysis.decide import ALPHA, LOOK_ALPHA
from vitexp.analysis.findings import Standing
from vitexp.analysis.seeds import LEVEL

LEAST_SIZES = 3
"""Sizes that a family needs for a fit."""

SIZE_LOOKS = 3
"""Looks at sizes: at three of each family, and with either of the two more that a study names."""

SIZES_ALPHA = LOOK_ALPHA / SIZE_LOOKS
"""What a look at seeds may spend where sizes, too, may be added until a ratio is decided."""

Points = Sequence[tuple[float, float]]
"""(training compute in FLOPs, error as a share), one a size."""

Obstacle = Literal["few sizes", "not parallel", "flat"]


@dataclass(frozen=True)
class ComputeRatio:
    """The fit of two families.

    Attributes:
        slope: of log error over log compute; negative.
        offsets: the families' intercepts, the reference's first.
        covariance: of (difference of the offsets, slope), shape (2, 2).
        df: degrees of freedom of the covariance, for the ratio.
        p_parallel: of "the two slopes are equal".
    """

    slope: float
    offsets: tuple[float, float]
    covariance: np.ndarray
    df: float
    p_parallel: float

    @property
    def ratio(self) -> float:
        """Compute of the reference over that of the family, at equal error."""
        return float(np.exp((self.offsets[1] - self.offsets[0]) / self.slope))

    def interval(self, level: float = LEVEL) -> tuple[float, float] | None:
        """By Fieller; None where the slope is not clearly below 0, so that all ratios fit."""
        t2 = float(stdtrit(self.df, 0.5 + level / 2)) ** 2
        gap = self.offsets[1] - self.offsets[0]
        square = self.slope**2 - t2 * self.covariance[1, 1]
        middle = gap * self.slope - t2 * self.covariance[0, 1]
        rest = gap**2 - t2 * self.covariance[0, 0]
        if square <= 0 or self.slope >= 0:
            return None
        half = float(np.sqrt(max(middle**2 - square * rest, 0.0)))
        with np.errstate(over="ignore"):  # a ratio that has no upper end in practice
            low, high = np.exp(np.array([middle - half, middle + half]) / square)
        return float(low), float(high)

    def error(self, family: int, compute: np.ndarray) -> np.ndarray:
        """The fitted error of the reference (0) or of the family (1), as a share."""
        return np.asarray(np.exp(self.offsets[family] + self.slope * np.log(compute)))


def compute_ratio(reference: Points, family: Points) -> ComputeRatio | Obstacle:
    """Fit both families; or say what stands against one ratio for them.

    ``"few sizes"``: fewer than three of one; ``"not parallel"``: the slopes differ (p below
    0.05), so the ratio depends on the error; ``"flat"``: error does not clearly fall with
    compute.
    """
    if min(_sizes(reference), _sizes(family)) < LEAST_SIZES:
        return "few sizes"
    fit = _fit(*(np.log(np.asarray(points, float)).T for points in (reference, family)))
    if fit.p_parallel < ALPHA:
        return "not parallel"
    return "flat" if fit.interval() is None else fit


def _fit(reference: np.ndarray, family: np.ndarray) -> ComputeRatio:
    """From (log compute, log error) of each, shape (2, sizes).

    A family's variance is the sum of its squared residuals over what that would be on average
    for variance 1 if the other family had none: so it is never too small on average, whatever
    the other one's is.
    """
    compute, error = np.concatenate([reference, family], axis=1)
    member = np.repeat([0.0, 1.0], [reference.shape[1], family.shape[1]])
    design = np.stack([member, compute, np.ones_like(compute)], axis=1)
    solve = np.linalg.inv(design.T @ design) @ design.T
    gap, slope, offset = solve @ error
    residual = error - design @ (gap, slope, offset)
    variances, shapes, dfs = [], [], []
    for own in (member == 0, member == 1):
        left = np.eye(own.sum()) - (design @ solve)[np.ix_(own, own)]
        variances.append(np.square(residual[own]).sum() / np.trace(left @ left))
        shapes.append(solve[:2, own] @ solve[:2, own].T)
        dfs.append(np.trace(left))
    off = np.array([slope, -gap])  # 0 on average where the ratio is exp(gap / slope)
    return ComputeRatio(
        slope=float(slope),
        offsets=(float(offset), float(offset + gap)),
        covariance=variances[0] * shapes[0] + variances[1] * shapes[1],
        df=_welch_df(variances, [off @ shape @ off for shape in shapes], dfs),
        p_parallel=_p_parallel(reference, family),
    )


def _p_parallel(*families: np.ndarray) -> float:
    """Two-sided p of "their slopes are equal": Welch's test of the two lines fitted apart."""
    slopes, variances, shapes, dfs = [], [], [], []
    for compute, error in families:
        beta, covariance, df = least_squares(np.vander(compute, 2), error)
        shape = 1 / np.square(compute - compute.mean()).sum()
        slopes.append(beta[0])
        variances.append(covariance[0, 0] / shape)
        shapes.append(shape)
        dfs.append(df)
    se = max(float(np.dot(variances, shapes)) ** 0.5, 1e-12)
    t = (slopes[1] - slopes[0]) / se
    return 2 * float(stdtr(_welch_df(variances, shapes, dfs), -abs(t)))


def _welch_df(variances: Sequence[float], shapes: Sequence[float], dfs: Sequence[float]) -> float:
    """Degrees of freedom of sum(variances * shapes), of which each has its own.

    Satterthwaite's, but no more than for equal variances: a variance from few sizes may be small
    by chance, and would then count for little.
    """

    def satterthwaite(parts: np.ndarray) -> float:
        parts = np.maximum(parts, 1e-30)
        return float(parts.sum() ** 2 / np.sum(parts**2 / np.asarray(dfs)))

    return min(satterthwaite(np.multiply(variances, shapes)), satterthwaite(np.asarray(shapes)))


def ratio_within(
    fit: ComputeRatio, low: float, high: float, alpha: float = ALPHA
) -> tuple[Standing, tuple[float, float] | None]:
    """Whether the ratio lies between ``low`` and ``high``.

    SUPPORTED if its 1 - 2 alpha interval does; REFUTED if its 1 - alpha interval lies outside.

    Returns:
        The standing, and the interval that it was read from (the wider one where open).
    """
    inner, outer = fit.interval(1 - 2 * alpha), fit.interval(1 - alpha)
    if inner is not None and low <= inner[0] and inner[1] <= high:
        return "SUPPORTED", inner
    if outer is not None and (outer[1] < low or outer[0] > high):
        return "REFUTED", outer
    return "INCONCLUSIVE", outer


def _sizes(points: Points) -> int:
    return len({compute for compute, _ in points})


def least_squares(design: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Coefficients, their covariance and the residual degrees of freedom.

    Args:
        design: shape (points, coefficients), of full rank.
        target: shape (points,).
    """
    inverse = np.linalg.inv(design.T @ design)
    beta = inverse @ design.T @ target
    df = len(target) - design.shape[1]
    return beta, inverse * float(np.square(target - design @ beta).sum()) / df, df
