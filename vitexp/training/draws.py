"""Random numbers as a function of what they are for, so that nothing has to be remembered.

The order of an epoch follows from (seed, epoch), an augmentation from (seed, epoch, sample):
two cells of a grid see the same images in the same order, changed in the same way.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


class Site(IntEnum):
    """What a draw decides."""

    ROW, COLUMN, FLIP, AREA, ASPECT, BOX_ROW, BOX_COLUMN = range(7)


def order(seed: int, epoch: int, size: int) -> np.ndarray:
    """A permutation of ``size`` sample indices: int64, (size,)."""
    return np.random.Generator(np.random.PCG64([seed, epoch, 0])).permutation(size)


def batch_generator(seed: int, step: int) -> np.random.Generator:
    """A generator for what a whole batch shares, such as mixup's weight."""
    return np.random.Generator(np.random.PCG64([seed, step, 1]))


def uniform(seed: int, epoch: int, samples: np.ndarray, site: Site) -> np.ndarray:
    """One number in [0, 1) for each sample: float64, shape of ``samples``.

    SplitMix64 (Steele et al. 2014) over a key of seed, epoch and site.
    """
    key = np.random.SeedSequence([seed, epoch, site]).generate_state(1, np.uint64)[0]
    with np.errstate(over="ignore"):
        z = key + (samples.astype(np.uint64) + np.uint64(1)) * _GOLDEN
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = (z ^ (z >> np.uint64(31))) >> np.uint64(11)
    numbers: np.ndarray = z * 2.0**-53
    return numbers
