"""How much pairs of cells varied: in the finished runs on a data set, or in the catalogue."""

from __future__ import annotations

import csv
import functools
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np

from vitexp.analysis.groups import Group, finite_seeds
from vitexp.analysis.power import Variances, variances
from vitexp.experiment.answers import grids
from vitexp.experiment.plan import Grid
from vitexp.runs.record import Results
from vitexp.studies import STUDIES
from vitexp.studies.named import study_of


@dataclass(frozen=True)
class Seen:
    """How much the difference of two cells varied.

    Attributes:
        where: what was seen, for people.
        pairs: how many differences.
    """

    where: str
    pairs: int
    variances: Variances


def seen(out: Path, done: Results, data: str, effect: float) -> Seen:
    """In the finished runs on ``data``; where there are none, as the catalogue has it.

    Of the pairs of cells a third is taken, those that differ by nearest to ``effect`` (a share):
    cells that differ by much vary by much, too.
    """
    pairs = sorted(
        (
            pair
            for grid in _grids(out, done, data)
            for pair in itertools.combinations(_able(grid), 2)
        ),
        key=lambda pair: abs(abs(_gap(*pair)) - effect),
    )
    if pairs:
        nearest = pairs[: max(len(pairs) // 3, 3)]
        where = f"those of {len(nearest)} pairs of cells in {out / 'runs'}"
        return Seen(where, len(nearest), variances(_difference(*pair) for pair in nearest))
    listed = catalogue()
    own = [each for each in listed if each.where == data] or listed
    names = ", ".join(each.where for each in own)
    parts = (
        float(np.mean([getattr(each.variances, part) for each in own]))
        for part in ("seed", "image", "both")
    )
    return Seen(
        f"as positional grids have them on {names}; there are no runs on {data} here",
        sum(each.pairs for each in own),
        Variances(*parts),
    )


@functools.cache
def catalogue() -> tuple[Seen, ...]:
    """What was measured on the committed studies, by data set."""
    text = (resources.files("vitexp.catalog") / "variances.csv").read_text(encoding="utf-8")
    return tuple(
        Seen(
            row["data"],
            int(row["pairs"]),
            Variances(float(row["seed"]), float(row["image"]), float(row["both"])),
        )
        for row in csv.DictReader(text.splitlines())
    )


def _grids(out: Path, done: Results, data: str) -> Iterator[Grid]:
    for name in STUDIES:
        for grid in grids(study_of(name), name, out, done):
            # What a seed of folds brings is the mean of several models.
            if grid.spec.data.name == data and grid.spec.data.fold is None:
                yield grid


def _able(grid: Grid) -> list[Group]:
    """The cells that have two seeds in common."""
    several = [group for group in grid.values() if len(group.done) > 1]
    return several if several and len(finite_seeds(several)) > 1 else []


def _gap(a: Group, b: Group) -> float:
    tops = [group.metric("test_top1").mean or 0.0 for group in (a, b)]
    return tops[0] - tops[1]


def _difference(a: Group, b: Group) -> np.ndarray:
    """Shape (n, N)."""
    seeds = finite_seeds((a, b))
    return np.asarray(np.subtract(a.correct(seeds), b.correct(seeds), dtype=np.int8))
