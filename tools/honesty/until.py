"""``--until-decided`` on made-up tables: seeds added only to the cells that are open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from vitexp.analysis.decide import LOOKS, level
from vitexp.analysis.together import joint
from vitexp.analysis.two_way import Estimate


@dataclass(frozen=True)
class Settled:
    """Where each difference of many tables ended, shape (tables, K).

    Attributes:
        signs: of the verdicts, 0 for none.
        seeds: that its cell got.
    """

    signs: np.ndarray
    seeds: np.ndarray

    @property
    def runs(self) -> np.ndarray:
        """Of each table, the reference's too, shape (tables,)."""
        return np.asarray(self.seeds.sum(axis=1) + self.seeds.max(axis=1))


def until_decided(looks: Sequence[Estimate], most: int = LOOKS[-1]) -> Settled:
    """As the program does it.

    Args:
        looks: the differences at each look, shape (tables, K).
        most: seeds of a cell.
    """
    signs = np.zeros_like(looks[0].value, int)
    seeds, (tables, count) = np.zeros_like(signs), signs.shape
    for table in range(tables):
        cells = np.arange(count)
        for d in looks:
            if d.n > most or not len(cells):
                break
            both = joint(_some(d, table, cells), count)
            said = (np.asarray(both.p) < level(d.n)) * np.sign(np.asarray(both.value))
            signs[table, cells], seeds[table, cells] = said, d.n
            cells = cells[(said == 0) & _possible(both)]
    return Settled(signs, seeds)


def _possible(both: Any) -> np.ndarray:
    """Whether some later look could decide it; as :func:`vitexp.analysis.decide.outlook` says."""
    later = [level(n) / 2 for n in LOOKS if n > both.n]
    floors = [np.asarray(both.floor(tail)) < np.abs(both.value) for tail in later]
    return np.any(floors, axis=0) if floors else np.zeros(np.shape(both.value), bool)


def _some(d: Estimate, table: int, cells: np.ndarray) -> Estimate:
    """These differences of one table."""
    every = {field.name: getattr(d, field.name) for field in fields(Estimate)}
    kept = {k: v[table, cells] for k, v in every.items() if isinstance(v, np.ndarray)}
    return Estimate(**(every | kept))
