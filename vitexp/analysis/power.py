"""What a verdict will find: before anything is run, from variances that were seen elsewhere.

A difference of two cells varies by the luck of seeds, of test images and of both together; the
three parts come from a two-way analysis of variance (method of moments), and say what another
number of seeds and of images would give.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import chdtri, ndtr

from vitexp.analysis.decide import LOOKS, level
from vitexp.analysis.together import Joint
from vitexp.analysis.two_way import LENT, Estimate, mean_squares

CHANCE = 0.8
"""With which a difference is found that counts as one that can be."""

_MOST_IMAGES = 10**9
_QUANTILES = (np.arange(400) + 0.5) / 400


@dataclass(frozen=True)
class Variances:
    """Of a difference d[s, i] of two cells, in shares squared.

    Attributes:
        seed: between seeds.
        image: between test images.
        both: of one seed on one image.
    """

    seed: float
    image: float
    both: float

    def estimate(self, n: int, images: int) -> Estimate:
        """What n seeds and so many images give where there is no difference."""
        least = max(self.both / images, images**-2.0 / 12)
        return Estimate(
            value=0.0,
            n=n,
            images=images,
            seed_variance=max(self.seed, 0.0) + least,
            image_variance=max(self.image, 0.0) / images,
            seed_df=n - 1,
            least=least,
        )


def variances(differences: Iterable[np.ndarray]) -> Variances:
    """The mean over several differences, each of shape (n, N), n >= 2."""
    parts = []
    for d in differences:
        squares, (n, images) = mean_squares(d), d.shape
        seed = (squares.seeds - squares.residual) / images
        parts.append((seed, (squares.images - squares.residual) / n, squares.residual))
    return Variances(*(float(part) for part in np.mean(parts, axis=0)))


def variances_of(found: Estimate) -> Variances:
    """Those that an estimate, of scalars, has itself."""
    return Variances(
        seed=max(found.seed_variance - found.least, 0.0),
        image=found.image_variance * found.images,
        both=found.least * found.images,
    )


@dataclass(frozen=True)
class Power:
    """What differences are found, if ``among`` are decided together.

    Attributes:
        variances: of each.
        among: their number.
    """

    variances: Variances
    among: int

    def chance(self, effect: float, n: int, images: int) -> float:
        """That the look at n seeds finds ``effect`` (a share, positive) on so many test images:
        the mean over what the own seeds' variance may seem to be. What is lent is taken for
        what it is on average."""
        true, df = self.variances.estimate(n, images), n - 1
        seem = np.maximum(true.seed_variance * chdtri(df, _QUANTILES) / df, true.least)
        lent = min(LENT, (self.among - 1) * df)
        mixed = (lent * true.seed_variance + df * seem) / (lent + df)
        both = Joint(
            dataclasses.replace(true, seed_variance=seem),
            dataclasses.replace(true, seed_variance=mixed, seed_df=lent + df),
            self.among,
        )
        beyond = (effect - both.upper(level(n) / 2)) / true.se
        return float(np.mean(ndtr(beyond)))

    def smallest(self, n: int, images: int) -> float:
        """The difference that the look at n seeds finds with :data:`CHANCE`, as a share; 1 for
        none that two accuracies can have."""
        if self.chance(1.0, n, images) < CHANCE:
            return 1.0
        return float(brentq(lambda d: self.chance(d, n, images) - CHANCE, 1e-9, 1.0, xtol=1e-6))

    def images(self, effect: float, n: int) -> int | None:
        """Test images with which n seeds find ``effect`` with :data:`CHANCE`; None for none."""
        if self.chance(effect, n, _MOST_IMAGES) < CHANCE:
            return None
        low, high = 1, _MOST_IMAGES
        while low < high:
            middle = (low + high) // 2
            if self.chance(effect, n, middle) < CHANCE:
                low = middle + 1
            else:
                high = middle
        return low

    def seeds(self, effect: float, images: int) -> int | None:
        """The first look that finds ``effect`` with :data:`CHANCE`; None for none."""
        able = (n for n in LOOKS if self.chance(effect, n, images) >= CHANCE)
        return next(able, None)
