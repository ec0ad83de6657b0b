"""The program's verdicts on many tables at once, and those of rules that it does not use.

A rule takes the K differences of each table at a look, as arrays of shape (tables, K), and says
which of them it decides.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import polygamma, psi

from vitexp.analysis.decide import LOOK_ALPHA, level
from vitexp.analysis.together import joint, of_cells
from vitexp.analysis.two_way import Estimate, estimate_of, squares_of

Rule = Callable[[Estimate], np.ndarray]


def differences(correct: np.ndarray, n: int) -> Estimate:
    """Each cell against the first, on the first n seeds.

    Args:
        correct: bool, shape (tables, cells, seeds, images).

    Returns:
        Arrays of shape (tables, K): what :func:`vitexp.analysis.two_way.estimate` says of each.
    """
    images = correct.shape[-1]
    right = correct[:, :, :n].sum(axis=3, dtype=np.int64)
    by_seed = (right[:, 1:] - right[:, :1]) / images
    mean = by_seed.mean(axis=-1)
    # |d| is its own square.
    unequal = np.array([np.count_nonzero(t[1:, :n] != t[:1, :n], axis=(1, 2)) for t in correct])
    by_image = correct[:, :, :n].sum(axis=2, dtype=np.int8)
    between = np.array([_between(table) for table in by_image]) / n
    whole = n * images * mean**2
    squares = squares_of(by_seed, between - whole, unequal - whole, images)
    return estimate_of(by_seed, squares, images)


def _between(right: np.ndarray) -> np.ndarray:
    """Sum over images of each cell's squared difference to the first, shape (K,)."""
    d = (right[1:] - right[:1]).astype(np.float32)
    return np.asarray(np.einsum("ki,ki->k", d, d), float)


def ours(d: Estimate) -> np.ndarray:
    """What the program does."""
    return np.asarray(joint(d, _count(d)).p) < level(d.n)


def holm(d: Estimate) -> np.ndarray:
    """What it did before: own variances, Holm's steps, each look a quarter."""
    return _holm(d.p) < LOOK_ALPHA


def spent(d: Estimate) -> np.ndarray:
    """That, with the looks' levels as they are now."""
    return _holm(d.p) < level(d.n)


def quarters(d: Estimate) -> np.ndarray:
    """Ours, each look a quarter."""
    return np.asarray(joint(d, _count(d)).p) < LOOK_ALPHA


def steps(d: Estimate) -> np.ndarray:
    """Ours with Holm's steps in place of Bonferroni."""
    both = joint(d, _count(d))
    return np.asarray(np.maximum(both.own.p, _holm(both.lent.p))) < level(d.n)


def lent_only(d: Estimate) -> np.ndarray:
    """What is lent, without asking for a difference's own seeds; with Holm's steps."""
    return _holm(joint(d, _count(d)).lent.p) < level(d.n)


def pooled(d: Estimate) -> np.ndarray:
    """One variance for all cells; Holm's steps, quarters."""
    assert d.by_seed is not None
    alike = np.maximum(of_cells(d.by_seed)[1], np.mean(d.least, axis=-1, keepdims=True))
    df = _count(d) * (d.n - 1)
    return _holm(replace(d, seed_variance=alike, seed_df=df).p) < LOOK_ALPHA


def smyth(d: Estimate) -> np.ndarray:
    """Each cell's variance shrunk by a prior that the cells themselves give (limma's, by
    moments); Holm's steps, quarters."""
    assert d.by_seed is not None
    if _count(d) < 2:
        return holm(d)
    df, (cells, least) = d.n - 1, (_cell_variances(d.by_seed), np.asarray(d.least))
    logs = np.log(cells) - psi(df / 2) + np.log(df / 2)
    excess = logs.var(axis=-1, ddof=1) - polygamma(1, df / 2)
    prior_df = np.where(excess > 0, 2 * _inverse_trigamma(np.maximum(excess, 1e-6)), 1e6)[:, None]
    prior = np.exp(logs.mean(axis=-1, keepdims=True) + psi(prior_df / 2) - np.log(prior_df / 2))
    shrunk = (prior_df * prior + df * cells) / (prior_df + df)
    variance = np.maximum(shrunk[:, 1:] + shrunk[:, :1], least)
    return _holm(replace(d, seed_variance=variance, seed_df=prior_df + df).p) < LOOK_ALPHA  # type: ignore[arg-type]


OURS, BEFORE = "the program's", "own variances, Holm, quarters (before)"

RULES: dict[str, Rule] = {
    OURS: ours,
    BEFORE: holm,
    "own variances, Holm, looks as now": spent,
    "the program's, quarters": quarters,
    "the program's, Holm's steps": steps,
    "what is lent only, Holm's steps": lent_only,
    "one variance for all, Holm, quarters": pooled,
    "empirical Bayes (limma), Holm, quarters": smyth,
}


def _cell_variances(by_seed: np.ndarray) -> np.ndarray:
    """Of the reference and each other cell, shape (tables, cells)."""
    cells = np.concatenate([np.zeros_like(by_seed[:, :1]), by_seed], axis=1)
    count = cells.shape[1]
    apart = (cells - cells.mean(axis=1, keepdims=True)).var(axis=2, ddof=1)
    alike = apart.sum(axis=1, keepdims=True) / (count - 1)
    return np.asarray(np.maximum((apart - alike / count) / (1 - 2 / count), alike / 100))


def _inverse_trigamma(value: np.ndarray) -> np.ndarray:
    """By Newton's method, as in limma."""
    found = 0.5 + 1 / value
    for _ in range(8):
        slope = polygamma(1, found)
        found = found + slope * (1 - slope / value) / polygamma(2, found)
    return np.asarray(found)


def _count(d: Estimate) -> int:
    return len(np.asarray(d.value).T)


def _holm(each: ArrayLike) -> np.ndarray:
    p = np.asarray(each)
    order = np.argsort(p, axis=-1)
    left = p.shape[-1] - np.arange(p.shape[-1])
    stepped = np.maximum.accumulate(np.take_along_axis(p, order, -1) * left, axis=-1)
    adjusted = np.empty_like(p)
    np.put_along_axis(adjusted, order, stepped, axis=-1)
    return adjusted
