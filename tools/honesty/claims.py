"""The same for claims: one cell, or kind, lies just at the margin, where neither word is true."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from tools.honesty.tables import Condition, draw, generator
from vitexp.analysis.decide import LOOKS
from vitexp.analysis.findings import Finding, all_equivalent, all_exceed
from vitexp.analysis.two_way import estimate, lent_contrast

EXCEED, SAME = 0.01, 0.005
"""Margins, as shares: of "none is worse" and of "kinds are the same"."""

KINDS = np.repeat(np.eye(3), 3, axis=1) / 3
"""Weights that average nine cells to three kinds."""

Test = Callable[[np.ndarray], Finding]
"""From the correctness of all cells, int8, shape (cells, seeds, images)."""


@dataclass(frozen=True)
class Asked:
    """A claim on one kind of table.

    Attributes:
        at_margin: whether neither SUPPORTED nor REFUTED is true; else SUPPORTED is.
    """

    name: str
    condition: Condition
    test: Test
    at_margin: bool = True


@dataclass(frozen=True)
class Answered:
    """Share of tables that say each at any look, and SUPPORTED at the first."""

    asked: Asked
    tables: int
    supported: float
    refuted: float
    first: float


def none_is_worse(cells: np.ndarray) -> Finding:
    """The first is worse than each other by more than a margin."""
    return all_exceed({str(k): estimate(one - cells[0]) for k, one in enumerate(cells[1:])}, EXCEED)


def kinds_are_the_same(cells: np.ndarray) -> Finding:
    """Three kinds of three cells each, after the first cell."""
    pairs = itertools.combinations(KINDS, 2)
    contrasts = [lent_contrast(cells[1:], one - other) for one, other in pairs]
    return all_equivalent({str(k): contrast for k, contrast in enumerate(contrasts)}, SAME)


def _above(points: float, base: float = 1.5) -> float:
    """The gap in logits that is so many points of accuracy."""

    def miss(gap: float) -> float:
        accuracy = Condition("", (0.0, gap), (0.0, 0.0), base=base).accuracy
        return float(accuracy[1] - accuracy[0]) - points

    return float(brentq(miss, -3, 3))


def _exceed(sds: tuple[float, ...], last: float) -> Condition:
    return Condition("", (0.0,) + (1.6,) * 8 + (_above(last),), sds, images=2000)


def _same(sds: tuple[float, ...], worse: float) -> Condition:
    gaps = (0.0,) * 7 + (_above(-worse, 5.0),) * 3
    return Condition("", gaps, sds, images=2000, base=5.0)


ASKED = (
    Asked("none is worse; one at the margin", _exceed((0.1,) * 10, EXCEED), none_is_worse),
    Asked("that one 5 times the sd", _exceed((0.1,) * 9 + (0.5,), EXCEED), none_is_worse),
    Asked("none 5 times the sd", _exceed((0.5,) + (0.1,) * 9, EXCEED), none_is_worse),
    Asked("all by far", _exceed((0.1,) * 10, 0.1), none_is_worse, at_margin=False),
    Asked("kinds are the same; one at the margin", _same((0.1,) * 10, SAME), kinds_are_the_same),
    Asked("one cell of it 5 times the sd", _same((0.1,) * 9 + (0.5,), SAME), kinds_are_the_same),
    Asked(
        "all cells of it 5 times the sd", _same((0.1,) * 7 + (0.5,) * 3, SAME), kinds_are_the_same
    ),
    Asked("kinds equal", _same((0.1,) * 10, 0.0), kinds_are_the_same, at_margin=False),
)


def answer(asked: Asked, tables: int, seed: int) -> Answered:
    """The claim looked at with 3, 5, 10 and 20 seeds."""
    rng = generator(asked.name, seed)
    said = []
    for _ in range(tables):
        cells = draw(asked.condition, rng, 1, LOOKS[-1])[0].astype(np.int8)
        said.append([asked.test(cells[:, :n]).standing for n in LOOKS])
    standing = np.array(said)
    supported, refuted = standing == "SUPPORTED", standing == "REFUTED"
    return Answered(
        asked,
        tables,
        float(supported.any(axis=1).mean()),
        float(refuted.any(axis=1).mean()),
        float(supported[:, 0].mean()),
    )
