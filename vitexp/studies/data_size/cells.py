"""The cells of a data-size study: models by fractions of the training split."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from vitexp.analysis.decide import LOOKS, look
from vitexp.analysis.groups import Group, common_seeds
from vitexp.experiment.grids import (
    by_position,
    from_scratch,
    last_ended,
    latest_variant,
    model_names,
    same,
    setting,
    split,
)
from vitexp.experiment.search import TUNED, Searches, trials_in
from vitexp.models.count import macs
from vitexp.reporting.words import more_seeds, percent
from vitexp.runs.record import Results, RunRecord
from vitexp.spec import RunSpec

Key = tuple[str, float]
"""(what the model is called, fraction of the training split)."""

DECIDES, OWN = ("model", "fraction"), ("--models", "--fractions", "--tune")
"""The settings in which the cells differ, and the flags that ask for them."""

_FREE = ("lr", "weight_decay", "dropout", "stochastic_depth", "steps")
"""What a family's recipe may have of its own, and what the budget decides."""

_SAME_COMPUTE = 1.5
"""Largest ratio of MACs at which two models count as matched."""


def fraction_of(spec: RunSpec) -> float:
    return 1.0 if spec.data.fraction is None else spec.data.fraction


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
    """All cells that have runs.

    Attributes:
        groups: in the order of the models' MACs, then of the fractions.
        trials: the search for their rates, where there was one.
    """

    groups: Mapping[Key, Group]
    trials: tuple[RunRecord, ...] = ()

    @classmethod
    def of(cls, grid: Results) -> Cells:
        reported = from_scratch(grid)
        names = model_names(reported)

        def key(record: RunRecord) -> Key:
            return names[same(record.spec.model)], fraction_of(record.spec)

        by_key = {key(records[0]): latest_variant(records) for records in split(reported, key)}
        order = sorted(by_key, key=lambda key: (_cost(by_key[key][0].spec), key))
        return cls({key: Group(by_key[key]) for key in order}, trials_in(grid))

    @cached_property
    def models(self) -> tuple[str, ...]:
        """By rising MACs."""
        return tuple(dict.fromkeys(model for model, _ in self.groups))

    @cached_property
    def fractions(self) -> tuple[float, ...]:
        """Rising."""
        return tuple(sorted({fraction for _, fraction in self.groups}))

    @property
    def first(self) -> RunSpec:
        """Any cell's spec, for what all share."""
        return next(iter(self.groups.values())).spec

    @property
    def data(self) -> str:
        """Name of the data set."""
        return self.first.data.name

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

    def command(self, first_seed: int, seeds: int) -> str:
        """What to type for so many seeds of all cells."""
        return more_seeds("scale", self.first, first_seed, seeds, DECIDES, OWN)


def _cost(spec: RunSpec) -> int:
    return macs(spec.model) or 0


def grids_of(done: Results) -> list[Results]:
    """Runs that differ in model, fraction and seed only, at one budget: the same steps for all
    fractions, or the same epochs; with the trials that tuned them. The most recently finished
    last."""
    grids = [
        grid
        for shared in split(from_scratch(done), _setting)
        for part in by_position(shared)
        for grid in _budgets(part)
    ]
    searches = Searches(done, *TUNED)
    return [Results([*grid, *searches.of(grid)]) for grid in sorted(grids, key=last_ended)]


def _budgets(records: list[RunRecord]) -> list[list[RunRecord]]:
    """By steps; and by epochs, where that is not just what grids by steps have in common."""
    by_steps, by_epochs = (
        [grid for grid in split(records, budget) if _several(grid)] for budget in (_steps, _epochs)
    )
    known = {record.id for grid in by_steps for record in grid}
    return by_steps + [grid for grid in by_epochs if any(r.id not in known for r in grid)]


def _several(grid: list[RunRecord]) -> bool:
    return len({fraction_of(record.spec) for record in grid}) > 1


def _setting(record: RunRecord) -> tuple[str, bool]:
    return setting(record.spec, *_FREE), record.spec.recipe.early_stopping is not None


def _steps(record: RunRecord) -> int:
    return record.spec.recipe.steps


def _epochs(record: RunRecord) -> int:
    recipe, data = record.spec.recipe, record.spec.data
    return round(recipe.steps / (data.used // recipe.batch))


def compute_limited(group: Group) -> bool:
    """Whether more compute, not more data, is what a cell lacks: it has not fitted its own
    training images (below 99 %), and does no better on them (2 points) than on the test images."""
    train, test = group.metric("train_top1").mean, group.metric("test_top1").mean
    return train is not None and test is not None and train < 0.99 and train - test < 0.02


def train_words(group: Group) -> str:
    """The accuracy on training images, and whether compute is the limit."""
    train = group.metric("train_top1").mean
    if train is None:
        return ""
    return f"train {percent(train)}{', compute-limited' if compute_limited(group) else ''}"
