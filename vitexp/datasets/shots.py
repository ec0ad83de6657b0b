"""A few images a class, drawn alike for every run on the same images; numpy only."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

SHOTS = (1, 5, 10, 25)
"""Images a class that a few-shot probe learns from; the paper's Table 8 and Figure 4 have 5."""

DRAWS = 3
"""How many times the images are drawn anew; a probe reports the mean."""


def allowed(labels: np.ndarray, classes: int) -> tuple[int, ...]:
    """Those of :data:`SHOTS` that every class of a training split has images for.

    A class without any image is not asked for.
    """
    counts = np.bincount(labels, minlength=classes)
    return tuple(k for k in SHOTS if k <= counts[counts > 0].min())


def left_out(labels: np.ndarray, names: Sequence[str]) -> str:
    """Which of :data:`SHOTS` cannot be drawn and for want of what, as a sentence, or ``""``."""
    counts = np.bincount(labels, minlength=len(names))
    there = np.flatnonzero(counts)
    fewest = int(there[counts[there].argmin()])
    lost = [str(k) for k in SHOTS if k > counts[fewest]]
    if not lost:
        return ""
    return (
        f"No few-shot probe with {', '.join(lost)} images a class: class"
        f" {names[fewest]!r} has {counts[fewest]} in train."
    )


def absent(labels: np.ndarray, names: Sequence[str]) -> str:
    """Which classes have no training image, as a sentence, or ``""``."""
    without = np.setdiff1d(np.arange(len(names)), labels)
    if not len(without):
        return ""
    some = ", ".join(repr(names[label]) for label in without[:3])
    more = f" and {len(without) - 3} more" if len(without) > 3 else ""
    verb = "has" if len(without) == 1 else "have"
    return f"{some}{more} of {len(names)} classes {verb} no training image."


def draw(labels: np.ndarray, fingerprint: str, shots: int, index: int) -> np.ndarray:
    """``shots`` images of each class.

    They follow from the data and the draw, not from a run's seed, so that runs are compared on
    the same ones. Fewer shots of a draw lie inside more.

    Args:
        labels: int, (n,), of the training split; each class in it has at least ``shots``.
        fingerprint: of the data set.
        index: which draw, from 0.

    Returns:
        Indices into ``labels``, (classes * shots,), ordered by class.
    """
    key = hashlib.sha256(f"{fingerprint} {index}".encode()).digest()
    place = np.random.Generator(np.random.PCG64(int.from_bytes(key))).random(len(labels))
    by_class = np.lexsort((place, labels))
    _, first = np.unique(labels[by_class], return_index=True)
    chosen: np.ndarray = by_class[(first[:, None] + np.arange(shots)).ravel()]
    return chosen
