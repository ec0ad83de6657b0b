"""What the missing runs of a plan will cost, and how long they will take."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from vitexp.cli.execute import Planner, planned
from vitexp.experiment.plan import Plan
from vitexp.launch import local
from vitexp.launch.local import Paces
from vitexp.launch.machine import Machine
from vitexp.models.count import TRAINING_FLOPS, macs, params
from vitexp.runs.store import Store
from vitexp.runs.times import Times, side_by_side
from vitexp.spec import ModelSpec, RunSpec

Kind = tuple[ModelSpec, int]
"""Runs of one kind, with the same model and batch, go equally fast."""


@dataclass(frozen=True)
class Forecast:
    """What the missing runs of a plan will cost.

    Attributes:
        plan: the whole.
        todo: its runs that are missing.
        jobs: runs at the same time.
        keep: whether final weights stay on disk.
        paces: of a run of each kind, as far as they were measured.
    """

    plan: Plan
    todo: list[RunSpec]
    jobs: int
    keep: bool
    paces: Paces = field(default_factory=Paces)

    @property
    def flops(self) -> int | None:
        """Training FLOPs; None where a model of the user's own has no count."""
        return _sum(map(flops, self.todo))

    @property
    def disk(self) -> int | None:
        """Bytes of kept weights."""
        return _sum(_weights(spec.model) for spec in self.todo) if self.keep else 0

    @property
    def seconds(self) -> float | None:
        """Wall-clock time; None without a pace."""
        return self.taken({spec: spec.recipe.steps for spec in self.todo})

    def taken(self, steps: Mapping[RunSpec, int]) -> float | None:
        """As :attr:`seconds`, for some of ``todo`` with another number of steps each."""
        if not steps:
            return 0.0
        if not self.paces.times:
            return None
        times = {spec: self._times(spec) for spec in steps}
        before = self.paces.start + max(found.once for found in times.values())
        each = (times[spec].of(spec, count) for spec, count in steps.items())
        return before + side_by_side(each, self.jobs)

    @cached_property
    def _paced(self) -> dict[Kind, Times]:
        found = self.paces.times
        return {_kind(spec): found[spec.id] for spec in self.plan.runs if spec.id in found}

    def _times(self, spec: RunSpec) -> Times:
        """Those of its kind, else of the kind that computes most nearly as much an image."""
        model, batch = wanted = _kind(spec)
        if wanted in self._paced:
            return self._paced[wanted]
        nearest = min(self._paced, key=lambda kind: abs(math.log(_ratio(model, kind[0]))))
        factor = _ratio(model, nearest[0])
        return self._paced[nearest].scaled(factor, batch / nearest[1])


def _kind(spec: RunSpec) -> Kind:
    return spec.model, spec.recipe.batch


def _ratio(one: ModelSpec, other: ModelSpec) -> float:
    """Of their compute an image; 1 where that is not known."""
    return (macs(one) or 1) / (macs(other) or 1) if macs(one) and macs(other) else 1.0


def _sum(values: Iterable[int | None]) -> int | None:
    known = list(values)
    return None if None in known else sum(filter(None, known))


def flops(spec: RunSpec) -> int | None:
    """Of a run's training; None where its model cannot be counted."""
    each = macs(spec.model)
    images = spec.recipe.steps * spec.recipe.batch
    return None if each is None else TRAINING_FLOPS * each * images


def _weights(model: ModelSpec) -> int | None:
    count = params(model)
    return None if count is None else 4 * count


def forecast(machine: Machine, plan: Planner) -> Forecast:
    """Asks the store what is missing; nothing is timed."""
    store = Store(machine.out)
    found = planned(plan, store.results(), machine)
    todo = store.missing(found.runs)
    # As many workers as for the whole plan, so that each has the same threads.
    return Forecast(found, todo, machine.jobs(len(found.runs)), machine.keep)


def timed(
    cast: Forecast, machine: Machine, news: Callable[[Forecast], None] = lambda cast: None
) -> Forecast:
    """A forecast with the pace of its runs, measured in less than 20 s.

    A run of each kind is timed, those first that compute most in all.

    Args:
        news: called with better and better ones meanwhile.

    Raises:
        KeyboardInterrupt: a signal came in.
    """
    kinds: dict[Kind, list[RunSpec]] = {}
    for spec in cast.todo:
        if spec.recipe.steps:
            kinds.setdefault(_kind(spec), []).append(spec)
    if not kinds:
        return cast
    heaviest = sorted(kinds.values(), key=_compute, reverse=True)
    paces = local.pace(
        [runs[0] for runs in heaviest],
        machine,
        cast.jobs,
        lambda paces: news(replace(cast, paces=paces)),
    )
    return replace(cast, paces=paces)


def _compute(runs: list[RunSpec]) -> float:
    found = _sum(map(flops, runs))
    return math.inf if found is None else found
