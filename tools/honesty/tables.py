"""Made-up tables: cells by seeds by test images, of which the truth is known.

    correct = (base + gap + difficulty of the image + luck of cell and image + luck of cell and
               seed + logistic noise of scale 0.7) > 0

Every cell is shifted until its accuracy over seeds and images is what base and gap alone would
give, whatever its spread: else a cell whose seeds vary more would be worse in truth.
"""

from __future__ import annotations

import functools
import zlib
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, stdtrit

SCALE = 0.7
DIFFICULTY = 2.0
IMAGE_LUCK = 0.5
CHANCE = 0.1
"""Accuracy of a run that collapsed."""

_QUANTILES = (np.arange(2000) + 0.5) / 2000
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(60)
"""For means over a normal variable; the weights sum to the root of 2 pi."""


@dataclass(frozen=True)
class Condition:
    """What one kind of table is like.

    Attributes:
        gaps: of each cell over the first, the reference, in logits.
        sds: of the luck of cell and seed, each cell's, in logits.
        images: test images.
        base: of the reference, in logits.
        shared: share of the variance of that luck which a seed brings to all cells.
        against: correlation of the reference's luck with each other cell's, in place of that.
        tail: degrees of freedom of the luck, where it is not normal.
        collapse: share of the runs that collapse.
        classes: groups of images, each cell better at some of them and worse at others.
    """

    name: str
    gaps: tuple[float, ...]
    sds: tuple[float, ...]
    images: int = 360
    base: float = 1.5
    shared: float = 0.5
    against: float = 0.0
    tail: float | None = None
    collapse: float = 0.0
    classes: int = 0

    @property
    def cells(self) -> int:
        return len(self.gaps)

    @functools.cached_property
    def accuracy(self) -> np.ndarray:
        """True accuracy of each cell, shape (cells,)."""
        sound = np.array([_accuracy(self.base + gap, 0.0, None) for gap in self.gaps])
        return (1 - self.collapse) * sound + self.collapse * CHANCE

    @functools.cached_property
    def offsets(self) -> np.ndarray:
        """What each cell is shifted to, in logits, shape (cells,)."""
        cells = zip(self.gaps, self.sds, strict=True)
        return np.array([offset(self.base + gap, sd, self.tail) for gap, sd in cells])


@functools.cache
def offset(wanted: float, sd: float, tail: float | None) -> float:
    goal = _accuracy(wanted, 0.0, None)
    return float(brentq(lambda at: _accuracy(at, sd, tail) - goal, wanted - 1, wanted + 9))


def _accuracy(at: float, sd: float, tail: float | None) -> float:
    """Mean over seeds and images."""
    images = np.hypot(DIFFICULTY, IMAGE_LUCK)
    if tail is None:
        return _over_normal(at, np.hypot(images, sd))
    luck = sd * stdtrit(tail, _QUANTILES) * _standard(tail)
    return float(np.mean([_over_normal(at + one, images) for one in luck]))


def _over_normal(at: float, sd: float) -> float:
    right = expit((at + sd * _NODES) / SCALE)
    return float(_WEIGHTS @ right / np.sqrt(2 * np.pi))


def _standard(tail: float) -> float:
    """What brings Student's t to variance 1."""
    return float(np.sqrt((tail - 2) / tail))


def generator(name: str, seed: int) -> np.random.Generator:
    """Of the numbers of one condition."""
    return np.random.Generator(np.random.SFC64([zlib.crc32(name.encode()), seed]))


def draw(c: Condition, rng: np.random.Generator, tables: int, seeds: int) -> np.ndarray:
    """Correctness: bool, shape (tables, cells, seeds, images)."""
    shape = (tables, c.cells, seeds, c.images)
    odds = np.exp(-image_latents(c, rng, tables) / SCALE, dtype=np.float32)
    luck = np.exp(-_seeds(c, rng, shape[:3]) / SCALE).astype(np.float32)
    correct = np.empty(shape, bool)
    for table in range(tables):
        # u < 1 / (1 + odds), with what is written over: this is most of the bench's time.
        wrong = odds[table][:, None] * luck[table][:, :, None]
        wrong += 1
        wrong *= rng.random(shape[1:], dtype=np.float32)
        np.less(wrong, 1, out=correct[table])
    if c.collapse:
        lost = rng.random(shape[:3]) < c.collapse
        correct[lost] = rng.random((lost.sum(), c.images)) < CHANCE
    return correct


def image_latents(c: Condition, rng: np.random.Generator, tables: int) -> np.ndarray:
    """What each cell brings to each image: float32, shape (tables, cells, images)."""
    latent = rng.standard_normal((tables, c.cells, c.images), np.float32) * np.float32(IMAGE_LUCK)
    latent += rng.standard_normal((tables, 1, c.images), np.float32) * np.float32(DIFFICULTY)
    latent += c.offsets[:, None].astype(np.float32)
    if c.classes:
        # The same strengths in another order: no cell is better over all classes.
        strengths = np.broadcast_to(np.linspace(-1, 1, c.classes), (tables, c.cells, c.classes))
        each = rng.permuted(strengths, axis=2)
        latent += np.repeat(each, c.images // c.classes, axis=2).astype(np.float32)
    return latent


def _seeds(c: Condition, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """The luck of cell and seed in logits, shape (tables, cells, seeds)."""
    luck = _variates(c, rng, shape)
    if c.against:
        luck[:, 1:] *= np.sqrt(1 - c.against**2)
        luck[:, 1:] += c.against * luck[:, :1]
    else:
        luck *= np.sqrt(1 - c.shared)
        luck += np.sqrt(c.shared) * _variates(c, rng, (shape[0], 1, shape[2]))
    return np.asarray(luck * np.array(c.sds)[:, None])


def _variates(c: Condition, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    if c.tail is None:
        return rng.standard_normal(shape)
    return rng.standard_t(c.tail, shape) * _standard(c.tail)
