"""Models, or ways to train one, by the amount of training data: cells, pairs and their curves."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from vitexp.analysis.along_data import Crossing, Curve, crossing
from vitexp.analysis.decide import LOOKS, look
from vitexp.analysis.groups import Group, common_seeds
from vitexp.analysis.seeds import sample
from vitexp.analysis.two_way import possible
from vitexp.errors import VitexpError
from vitexp.experiment.plan import Grid
from vitexp.experiment.search import Searches
from vitexp.models.count import macs
from vitexp.reporting.report import Series, Span
from vitexp.reporting.words import span
from vitexp.spec import RunSpec

Key = tuple[str, float]
"""(what the model or the way is called, fraction of the training split)."""

FRACTIONS = (0.03, 0.1, 0.3, 1.0)

_SHORT = {"lr": "lr", "weight_decay": "wd"}
_SAME_COMPUTE = 1.5
"""Largest ratio of MACs at which two models count as matched."""


def shares(text: str) -> tuple[float, ...]:
    """``"3%,0.1"`` as shares.

    Raises:
        VitexpError: no number, or not above 0 and at most 100 %.
    """
    return tuple(_share(part.strip()) for part in text.split(","))


def _share(plain: str) -> float:
    try:
        share = float(plain.removesuffix("%")) / (100 if plain.endswith("%") else 1)
    except ValueError:
        share = -1.0
    if not 0 < share <= 1:
        raise VitexpError(
            f"--fractions: {plain!r} is no share of the training images.",
            "Write shares such as 3%,10%,100% or 0.03,0.1,1.",
        )
    return float(f"{share:.6g}")


def fraction_label(fraction: float) -> str:
    """0.03 -> ``"3 %"``."""
    return f"{100 * fraction:g} %"


def cell_label(key: Key) -> str:
    return f"{key[0]} at {fraction_label(key[1])}"


@dataclass(frozen=True)
class Pair:
    """Two models to compare along the amount of data.

    Attributes:
        a, b: a is expected to gain more from more data.
        matched: whether both have about equal MACs.
    """

    a: str
    b: str
    matched: bool

    @property
    def label(self) -> str:
        return f"{self.a} against {self.b}"


@dataclass(frozen=True)
class Cells:
    """The cells of a grid that have runs, or some of them.

    Attributes:
        grid: what is done of the plan.
        groups: in the order of the models' MACs, then of the fractions.
    """

    grid: Grid
    groups: Mapping[Key, Group]

    @classmethod
    def by_cost(cls, grid: Grid) -> Cells:
        """All cells of a grid of models."""
        order = sorted(grid, key=lambda key: (_cost(grid[key].spec), key))
        return cls(grid, {key: grid[key] for key in order})

    @cached_property
    def models(self) -> tuple[str, ...]:
        """By rising MACs."""
        return tuple(dict.fromkeys(model for model, _ in self.groups))

    @cached_property
    def fractions(self) -> tuple[float, ...]:
        """Rising."""
        return tuple(sorted({fraction for _, fraction in self.groups}))

    @property
    def data(self) -> str:
        """Name of the data set."""
        return self.grid.spec.data.name

    def images(self, fraction: float) -> int:
        """Number of training images."""
        spec = next(g.spec for key, g in self.groups.items() if key[1] == fraction)
        return spec.data.used

    def spec(self, model: str) -> RunSpec:
        return next(group.spec for key, group in self.groups.items() if key[0] == model)

    def family(self, model: str) -> str:
        return self.spec(model).model.family

    def cost(self, model: str) -> int:
        """MACs; 0 where they are not known."""
        return _cost(self.spec(model))

    @cached_property
    def pairs(self) -> tuple[Pair, ...]:
        """Each other family's model with the ViT nearest in MACs; each ViT with the next smaller
        one."""
        vits = [model for model in self.models if self.family(model) == "vit"]
        others = [model for model in self.models if model not in vits]
        across = [self._pair(min(vits, key=lambda v: self._apart(v, o)), o) for o in others if vits]
        return (*across, *(self._pair(b, a) for a, b in itertools.pairwise(vits)))

    def _pair(self, a: str, b: str) -> Pair:
        return Pair(a, b, self._apart(a, b) <= _SAME_COMPUTE)

    def _apart(self, a: str, b: str) -> float:
        low, high = sorted((self.cost(a), self.cost(b)))
        return high / low if low else float("inf")

    def keys(self, pair: Pair) -> list[Key]:
        """The cells of a pair at the fractions that both have."""
        return [
            (model, fraction)
            for fraction in self.fractions
            if (pair.a, fraction) in self.groups and (pair.b, fraction) in self.groups
            for model in (pair.a, pair.b)
        ]

    def difference(
        self, pair: Pair, least: int = LOOKS[0]
    ) -> tuple[np.ndarray, list[float]] | None:
        """a - b at the look: int8, shape (F, n, N), and the fractions; None below ``least`` seeds,
        with fewer than two fractions, or where a run of the look diverged."""
        keys = self.keys(pair)
        groups = [self.groups[key] for key in keys]
        seeds = common_seeds(groups) if groups else []
        seeds = seeds[: look(len(seeds)) or len(seeds)]
        fractions = list(dict.fromkeys(fraction for _, fraction in keys))
        if len(seeds) < least or len(fractions) < 2 or not all(g.finite(seeds) for g in groups):
            return None
        correct = np.stack([group.correct(seeds) for group in groups])
        return np.subtract(correct[::2], correct[1::2], dtype=np.int8), fractions


def _cost(spec: RunSpec) -> int:
    return macs(spec.model) or 0


def cells_span(curve: Curve, place: float) -> str:
    """The 95 % interval of the difference at one amount."""
    return span(*possible(curve.between(place).interval()))


def crossing_words(found: Crossing | None) -> str:
    """Where a pair crosses, in images."""
    if found is None:
        return "not reached in your range"
    low, high = (
        f"{end:,.0f}" if end is not None else "not reached" for end in (found.low, found.high)
    )
    if found.at is None:
        return f"not reached in your range [{low}, {high}]"
    return f"{found.at:,.0f} images [{low}, {high}]"


def curve_of(cells: Cells, pair: Pair) -> Curve | None:
    """A pair's difference over the number of images; None below two seeds or two fractions."""
    found = cells.difference(pair, least=2)
    if found is None:
        return None
    d, fractions = found
    return Curve.of(d, np.array([cells.images(f) for f in fractions]))


def top1(group: Group) -> list[float]:
    """The test accuracy of each run that did not diverge."""
    return [record.metrics["test_top1"] for record in group.done]


def series_of(
    cells: Cells,
    model: str,
    name: str,
    family: str = "",
    shares: Callable[[Group], list[float]] = top1,
) -> Series:
    """A model's accuracy, or other shares, over the number of training images, in its family's
    colour."""
    own = [(f, cells.groups[model, f]) for f in cells.fractions if (model, f) in cells.groups]
    able = [(float(cells.images(f)), group) for f, group in own if group.done]
    tops = [(x, sample(shares(group), images=group.images)) for x, group in able]
    return Series(
        name=name,
        points=tuple((x, 100 * top.mean) for x, top in tops if top.mean is not None),
        band=tuple(
            None if top.low is None or top.high is None else (100 * top.low, 100 * top.high)
            for _, top in tops
        ),
        dots=tuple((x, 100 * share) for x, group in able for share in shares(group)),
        family=family,
    )


def span_of(pair: Pair, curve: Curve) -> Span:
    """Where a pair crosses, for the figure."""
    found = crossing(curve)
    if found is None or found.at is None:
        return Span(f"{pair.label}: no crossing in this range", None, None, None)
    return Span(f"{pair.label}: {crossing_words(found)}", found.at, found.low, found.high)


def at_edge_words(cells: Cells, *fields: str) -> tuple[str, ...]:
    """Which cells took the least or largest value that was tried of a tuned field, if any did."""
    searches = Searches(cells.grid.tries, *fields)
    found = [
        f"{cell_label(key)} ({', '.join(f'{_SHORT[name]} {ends[name]:g}' for name in ends)})"
        for key, group in cells.groups.items()
        if (ends := searches.edge(group.records))
    ]
    if not found:
        return ()
    return (f"At the edge of what was tried, with perhaps better beyond: {', '.join(found)}.",)
