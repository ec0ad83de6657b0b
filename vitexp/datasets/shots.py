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
    """Those of :data:`SHOTS` that every class of a training split has images for."""
    smallest = np.bincount(labels, minlength=classes).min()
    return tuple(k for k in SHOTS if k <= smallest)


def left_out(labels: np.ndarray, names: Sequence[str]) -> str:
    """Which of :data:`SHOTS` cannot be drawn and for want of what, as a sentence, or ``""``."""
    counts = np.bincount(labels, minlength=len(names))
    lost = [str(k) for k in SHOTS if k > counts.min()]
    if not lost:
        return ""
    return (
        f"No few-shot probe with {', '.join(lost)} images a class: class"
        f" {names[int(counts.argmin())]!r} has {counts.min()} in train."
    )


def draw(labels: np.ndarray, fingerprint: str, shots: int, index: int) -> np.ndarray:
    """``shots`` images of each class.

    They follow from the data and the draw, not from a run's seed, so that runs are compared on
    the same ones. Fewer shots of a draw lie inside more.

    Args:
        labels: int, (n,), of the training split; every class has at least ``shots``.
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
