"""Several differences decided together: each by its own seeds, their number by the seeds of all.

Nine differences at three seeds, each with a variance from two degrees of freedom: by Bonferroni
alone a difference must be 27 of its standard errors. So the seeds of the others lend it
:data:`LENT` degrees of freedom, as in Smyth (2004, Stat. Appl. Genet. Mol. Biol. 3, 3), of strength
fixed beforehand: ten cells tell too little of how unlike their variances are. What is lent pays
for the number of differences and for nothing else: each has to stand by its own seeds, too, at
the look's whole level, so that a cell whose seeds vary five times as much as the others' is
seldom taken for one of them.

K differences from the reference, n seeds each.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import numpy as np

from vitexp.analysis.two_way import LENT, Estimate

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True)
class Joint:
    """One of several differences; or several, where its numbers are arrays.

    A bound is the wider of two: with its own seeds' variance, and with the lent one, Bonferroni.
    So all bounds of a table hold together, as far as variances are alike, and each by itself
    whatever they are.

    Attributes:
        own: with the variance of its own seeds.
        lent: with that of all.
        among: how many differences there are.
    """

    own: Estimate
    lent: Estimate
    among: int

    @property
    def value(self) -> float:
        return self.own.value

    @property
    def n(self) -> int:
        return self.own.n

    @property
    def images(self) -> int:
        return self.own.images

    @property
    def seed_df(self) -> float:
        return self.own.seed_df

    @property
    def p(self) -> float:
        """Two-sided p of "the true value is 0", adjusted for the number of differences."""
        adjusted = np.minimum(self.among * self.lent.p, 1.0)
        return np.maximum(self.own.p, adjusted)  # type: ignore[no-any-return]

    def lower(self, tail: float) -> float:
        """One-sided lower bound; any of all is wrong with probability ``tail``."""
        return self.value - self._half(tail)

    def upper(self, tail: float) -> float:
        """One-sided upper bound; any of all is wrong with probability ``tail``."""
        return self.value + self._half(tail)

    def interval(self, level: float) -> tuple[float, float]:
        """Two-sided confidence interval."""
        tail = (1 - level) / 2
        return self.lower(tail), self.upper(tail)

    def _half(self, tail: float) -> float:
        lent = self.lent.quantile(tail / self.among) * self.lent.se
        return np.maximum(self.own.quantile(tail) * self.own.se, lent)  # type: ignore[no-any-return]

    def floor(self, tail: float) -> float:
        """Half-width that is left of the interval with any number of seeds."""
        return self.own.floor(tail / self.among)

    def later(self, n: int, times: float) -> Joint:
        """What it would be at n seeds, if the variances are so many times what they seem."""
        own, lent = self.own.later(n, times), self.lent.later(n, times)
        df = self.lent.seed_df - self.own.seed_df + own.seed_df
        return Joint(own, replace(lent, seed_df=df), self.among)


def together(
    differences: Mapping[K, Estimate],
    one_reference: bool = True,
    kin: Mapping[K, Hashable] | None = None,
    among: int | None = None,
) -> dict[K, Joint]:
    """Each of ``differences`` as one of them all.

    Args:
        one_reference: whether all are differences from one cell, on the same seeds and images.
        kin: which of them lend to one another, by an equal value; all, if not given. Those with
            other numbers of seeds never do.
        among: how many are decided in all, where these are not all.
    """
    among = among or len(differences)
    groups: defaultdict[Hashable, list[K]] = defaultdict(list)
    for key, one in differences.items():
        lends: Hashable = () if one.by_seed is None else (one.n, kin[key] if kin else None)
        groups[lends].append(key)
    found: dict[K, Joint] = {}
    for lends, keys in groups.items():
        several = [differences[key] for key in keys]
        if lends:
            joints = _split(joint(_stacked(several), among, one_reference), several)
        else:
            joints = [Joint(one, one, among) for one in several]
        found |= dict(zip(keys, joints, strict=True))
    return {key: found[key] for key in differences}


def joint(
    several: Estimate, among: int, one_reference: bool = True, lending: float = LENT
) -> Joint:
    """The K differences of ``several`` as some of ``among``.

    Args:
        several: its numbers have the shape (..., K), ``by_seed`` (..., K, n).
        lending: degrees of freedom that are lent.
    """
    assert several.by_seed is not None
    df = several.n - 1
    raw = several.by_seed.var(axis=-1, ddof=1)
    pool = np.maximum(raw, 0.0).mean(axis=-1, keepdims=True)
    own = several.seed_variance
    if one_reference:
        pair, alike = of_cells(several.by_seed)
        own, pool = np.maximum(own, pair), np.maximum(pool, alike)
    pool = np.maximum(pool, np.mean(several.least, axis=-1, keepdims=True))
    lent_df = min(lending, (raw.shape[-1] - 1) * df)
    lent = np.maximum((lent_df * pool + df * raw) / (lent_df + df), several.least)
    return Joint(
        replace(several, seed_variance=own),
        replace(several, seed_variance=lent, seed_df=df + lent_df),
        among,
    )


def of_cells(by_seed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The seed variance of each difference as the sum of its two cells', shape (..., K), and as
    twice that of a cell if all were alike, shape (..., 1).

    What a seed brings to all cells is taken out by their mean, which also takes a little of
    each cell's own: Grubbs (1948, J. Am. Stat. Assoc. 43, 243) puts it back.
    """
    reference = np.zeros_like(by_seed[..., :1, :])
    cells = np.concatenate([reference, by_seed], axis=-2)
    count = cells.shape[-2]
    apart = (cells - cells.mean(axis=-2, keepdims=True)).var(axis=-1, ddof=1)
    alike = apart.sum(axis=-1, keepdims=True) / (count - 1)
    if count < 3:
        return np.zeros_like(apart[..., 1:]), 2 * alike
    own = np.maximum((apart - alike / count) / (1 - 2 / count), 0.0)
    return own[..., 1:] + own[..., :1], 2 * alike


def _stacked(several: Sequence[Estimate]) -> Estimate:
    """Scalars to arrays; all have the same number of seeds."""
    columns: dict[str, Any] = {
        field.name: np.array([getattr(one, field.name) for one in several])
        for field in fields(Estimate)
    }
    return Estimate(**(columns | {"n": several[0].n}))


def _split(joint: Joint, several: Sequence[Estimate]) -> list[Joint]:
    """Arrays to scalars again."""
    return [
        Joint(
            replace(one, seed_variance=float(joint.own.seed_variance[i])),  # type: ignore[index]
            replace(
                one,
                seed_variance=float(joint.lent.seed_variance[i]),  # type: ignore[index]
                seed_df=joint.lent.seed_df,
            ),
            joint.among,
        )
        for i, one in enumerate(several)
    ]
