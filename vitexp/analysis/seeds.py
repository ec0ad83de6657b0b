"""Numbers over seeds only: what another seed would give on this same test set."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit, stdtrit

LEVEL = 0.95
"""Confidence of every interval that is printed without another number beside it."""


@dataclass(frozen=True)
class Sample:
    """Mean, standard deviation and t interval of a number of n seeds, such as their accuracy.

    Attributes:
        n: number of seeds; with one there is no sd and no interval, with none no mean.
        sd: of the values as they are.
        low, high: of a share within 0 and 1; see :func:`share_interval`.
    """

    n: int
    mean: float | None
    sd: float | None
    low: float | None
    high: float | None

    @property
    def half_width(self) -> float | None:
        """Half its length: near 0 and 100 % its two sides are not equal."""
        return None if self.high is None or self.low is None else (self.high - self.low) / 2


def sample(
    values: Sequence[float],
    level: float = LEVEL,
    shares: bool = True,
    images: float = math.inf,
) -> Sample:
    """The :class:`Sample` of one value a seed, which is a share or any number.

    Args:
        images: of which the values are shares. They come in steps of 1 / ``images``: equal ones do
            not prove that seeds do not matter, so the interval takes their standard deviation for
            no smaller than that of rounding.
    """
    n = len(values)
    if n < 2:
        return Sample(n, float(values[0]) if n else None, None, None, None)
    mean, sd = float(np.mean(values)), float(np.std(values, ddof=1))
    half = float(stdtrit(n - 1, 0.5 + level / 2)) * max(sd, 1 / (images * 12**0.5)) / n**0.5
    return Sample(
        n, mean, sd, *(share_interval(mean, half) if shares else (mean - half, mean + half))
    )


def share_interval(mean: float, half: float) -> tuple[float, float]:
    """mean ± half as log odds have it (delta method): within 0 and 1, as a share is, and far
    from them nearly the same."""
    slope = mean * (1 - mean)
    if slope == 0:
        return max(mean - half, 0.0), min(mean + half, 1.0)
    odds, reach = logit(mean), half / slope
    return float(expit(odds - reach)), float(expit(odds + reach))


def correlations(accuracy: np.ndarray) -> np.ndarray:
    """Correlation over seeds of each pair of cells.

    Args:
        accuracy: shape (cells, seeds), the same seeds in every cell; at least 3 seeds.

    Returns:
        One value a pair, shape (pairs,); pairs with a cell that does not vary are left out.
    """
    varying = accuracy[accuracy.std(axis=1) > 0]
    if len(varying) < 2:
        return np.empty(0)
    return np.asarray(np.corrcoef(varying)[np.triu_indices(len(varying), k=1)])
