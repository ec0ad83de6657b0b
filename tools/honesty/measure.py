"""How often rules are wrong, what they find, and what intervals cover, with Monte-Carlo errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tools.honesty.rules import Rule, differences
from tools.honesty.tables import Condition, draw, generator
from tools.honesty.until import Settled, until_decided
from vitexp.analysis.decide import ALPHA, LOOKS, level
from vitexp.analysis.together import joint
from vitexp.analysis.two_way import Estimate

Draw = Callable[[Condition, np.random.Generator, int, int], np.ndarray]
"""As :func:`tools.honesty.tables.draw`."""

AT_ONCE = 20_000_000
"""Bits in memory."""


@dataclass(frozen=True)
class Rates:
    """What one rule does on one kind of table.

    Attributes:
        false: share of tables with a false verdict at each look, shape (looks,).
        ever: at any of them.
        found: share of the true differences that are found at each look; empty without any.
        seeds: mean look at which they are found, the last one where they are not; 0 without any.
    """

    tables: int
    false: tuple[float, ...]
    ever: float
    found: tuple[float, ...]
    seeds: float

    @property
    def error(self) -> float:
        """Monte-Carlo error of ``ever``."""
        return error(self.ever, self.tables)

    @property
    def honest(self) -> bool:
        """Whether ``ever`` is at most alpha and two Monte-Carlo errors."""
        return self.ever <= ALPHA + 2 * error(ALPHA, self.tables)


@dataclass(frozen=True)
class Until:
    """Seeds added only to the cells that are open.

    Attributes:
        false: share of tables that end with a false verdict.
        found: share of the true differences that are found; None without any.
        runs: mean number of a table.
    """

    false: float
    found: float | None
    runs: float


@dataclass(frozen=True)
class Measured:
    """One condition.

    Attributes:
        rates: of each rule.
        until: what ``--until-decided`` comes to.
        covered: share of the 95 % intervals of single differences that hold the true one, at
            each look.
        all_covered: share of tables in which all intervals that decide hold theirs.
    """

    condition: Condition
    rates: Mapping[str, Rates]
    until: Until
    covered: tuple[float, ...]
    all_covered: tuple[float, ...]


def error(rate: float, count: int) -> float:
    """Standard error of a rate measured ``count`` times."""
    return float(np.sqrt(rate * (1 - rate) / count))


def measure(
    c: Condition, rules: Mapping[str, Rule], tables: int, seed: int, drawn: Draw = draw
) -> Measured:
    """All rules on the same ``tables`` tables, looked at with 3, 5, 10 and 20 seeds."""
    rng = generator(c.name, seed)
    true = c.accuracy[1:] - c.accuracy[0]
    true[np.isclose(true, 0, atol=1e-9)] = 0
    signs: dict[str, list[np.ndarray]] = {name: [] for name in rules}
    settled: list[Settled] = []
    covered: list[list[tuple[float, float]]] = []
    for correct in _parts(c, rng, tables, drawn):
        looks = [differences(correct, n) for n in LOOKS]
        for name, rule in rules.items():
            signs[name].append(np.stack([rule(d) * np.sign(d.value) for d in looks], axis=1))
        covered.append([_covers(d, true) for d in looks])
        settled.append(until_decided(looks))
    rates = {name: _rates(np.concatenate(parts), np.sign(true)) for name, parts in signs.items()}
    until = _until(settled, np.sign(true))
    return Measured(
        c, rates, until, *(tuple(map(float, each)) for each in np.mean(covered, axis=0).T)
    )


def _parts(
    c: Condition, rng: np.random.Generator, tables: int, drawn: Draw
) -> Iterator[np.ndarray]:
    at_once = max(AT_ONCE // (c.cells * LOOKS[-1] * c.images), 1)
    for first in range(0, tables, at_once):
        yield drawn(c, rng, min(at_once, tables - first), LOOKS[-1])


def _covers(d: Estimate, true: np.ndarray) -> tuple[float, float]:
    both, tail = joint(d, len(true)), level(d.n) / 2
    low, high = both.own.interval()
    least, most = both.lower(tail), both.upper(tail)
    all_within = np.all((least <= true) & (true <= most), axis=1)
    return float(np.mean((low <= true) & (true <= high))), float(np.mean(all_within))


def _rates(said: np.ndarray, true: np.ndarray) -> Rates:
    """From the signs of verdicts, 0 for none, shape (tables, looks, K), and the true ones (K,)."""
    false = ((said != 0) & (said != true)).any(axis=2)
    right = (said == true)[:, :, true != 0]
    seeds = 0.0
    if right.shape[2]:
        first = np.where(right.any(axis=1), right.argmax(axis=1), len(LOOKS) - 1)
        seeds = float(np.array(LOOKS)[first].mean())
    return Rates(
        tables=len(said),
        false=tuple(false.mean(axis=0)),
        ever=float(false.any(axis=1).mean()),
        found=tuple(right.mean(axis=(0, 2))) if right.shape[2] else (),
        seeds=seeds,
    )


def _until(parts: Sequence[Settled], true: np.ndarray) -> Until:
    said = np.concatenate([part.signs for part in parts])
    false = ((said != 0) & (said != true)).any(axis=1)
    right = (said == true)[:, true != 0]
    runs = np.concatenate([part.runs for part in parts])
    found = float(right.mean()) if right.size else None
    return Until(float(false.mean()), found, float(runs.mean()))
