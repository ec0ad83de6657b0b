"""Which of two sizes of a model tells its accuracy better: its compute or its parameters?

    accuracy = c + a z1 + b z2

with z1, z2 the standardised logarithms. z1 is the better predictor where a > b: with u = z1 + z2
and v = z1 - z2, which are orthogonal, the coefficient of v is (a - b) / 2, and the share of the
variance that z1 explains exceeds that of z2 where those of u and v have the same sign. For given
sizes its t test is exact (Hotelling 1940). The models are the replicates, not the seeds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from vitexp.analysis.compute_ratio import least_squares
from vitexp.analysis.decide import LOOK_ALPHA
from vitexp.analysis.findings import Standing

LEAST_MODELS = 6
"""Models that the comparison needs: three more than it fits coefficients."""


@dataclass(frozen=True)
class Predictors:
    """Two predictors of one accuracy, the first against the second.

    Attributes:
        advantage, advantage_se: a - b, in the accuracy's unit a standard deviation, and its
            standard error.
        common, common_se: a + b, likewise: how much accuracy rises with both.
        df: residual degrees of freedom.
        explained: share of the variance that each explains by itself.
    """

    advantage: float
    advantage_se: float
    common: float
    common_se: float
    df: int
    explained: tuple[float, float]

    def interval(self, tail: float) -> tuple[float, float]:
        """Ends of the advantage's interval that leaves ``tail`` beyond each."""
        half = -float(stdtrit(self.df, tail)) * self.advantage_se
        return self.advantage - half, self.advantage + half

    def rises(self, tail: float) -> bool:
        """Whether accuracy clearly rises with the two together."""
        return self.common + float(stdtrit(self.df, tail)) * self.common_se > 0


def predictors(first: np.ndarray, second: np.ndarray, accuracy: np.ndarray) -> Predictors | None:
    """Both predictors of ``accuracy``, each of shape (models,); None for fewer than six models
    or where the two say the same of all of them."""
    logs = [np.log(np.asarray(size, float)) for size in (first, second)]
    if len(accuracy) < LEAST_MODELS or min(log.std() for log in logs) == 0:
        return None
    z1, z2 = ((log - log.mean()) / log.std() for log in logs)
    u, v = z1 + z2, z1 - z2
    if v.std() < 1e-6:
        return None
    beta, covariance, df = least_squares(np.stack([v, u, np.ones_like(u)], axis=1), accuracy)
    se = np.sqrt(np.diag(covariance))
    spread = max(float(accuracy.std()), 1e-12)
    r1, r2 = (float((z * (accuracy - accuracy.mean())).mean()) / spread for z in (z1, z2))
    return Predictors(
        advantage=2 * float(beta[0]),
        advantage_se=2 * float(se[0]),
        common=2 * float(beta[1]),
        common_se=2 * float(se[1]),
        df=df,
        explained=(r1**2, r2**2),
    )


def first_is_better(found: Predictors, alpha: float = LOOK_ALPHA) -> Standing:
    """SUPPORTED if accuracy clearly rises with size and the first predicts it better; REFUTED if
    the second does. Two conditions that must both hold, so neither is adjusted."""
    low, high = found.interval(alpha)
    if not found.rises(alpha) or low <= 0 <= high:
        return "INCONCLUSIVE"
    return "SUPPORTED" if low > 0 else "REFUTED"
