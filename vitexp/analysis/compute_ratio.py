"""How many times less compute one family needs than another for the same error.

    log error = family + slope * log compute

with one slope for both families. The sizes are the replicates, not the seeds: what a ratio says
is about models of these families, and other sizes of them would lie elsewhere around the lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import stdtr, stdtrit

from vitexp.analysis.decide import ALPHA
from vitexp.analysis.findings import Standing
from vitexp.analysis.seeds import LEVEL

LEAST_SIZES = 3
"""Sizes that a family needs for a fit."""

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
        df: residual degrees of freedom.
        p_parallel: of "the two slopes are equal".
    """

    slope: float
    offsets: tuple[float, float]
    covariance: np.ndarray
    df: int
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
        return float(np.exp((middle - half) / square)), float(np.exp((middle + half) / square))

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
    compute, error = np.log(np.concatenate([np.asarray(reference), np.asarray(family)])).T
    member = np.repeat([0.0, 1.0], [len(reference), len(family)])
    design = np.stack([member, compute, np.ones_like(compute)], axis=1)
    beta, covariance, df = least_squares(design, error)
    apart, its, rest = least_squares(np.column_stack([member * compute, design]), error)
    t = apart[0] / max(float(its[0, 0]) ** 0.5, 1e-12)
    fit = ComputeRatio(
        slope=float(beta[1]),
        offsets=(float(beta[2]), float(beta[2] + beta[0])),
        covariance=covariance[:2, :2],
        df=df,
        p_parallel=2 * float(stdtr(rest, -abs(t))),
    )
    if fit.p_parallel < ALPHA:
        return "not parallel"
    return "flat" if fit.interval() is None else fit


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
