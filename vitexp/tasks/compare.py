"""Two runs, cells or families side by side: the difference, its interval and a verdict."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from vitexp.analysis.decide import LOOKS, Decision, decide, look
from vitexp.analysis.groups import Group, common_seeds
from vitexp.analysis.two_way import Estimate, estimate, possible
from vitexp.catalog.sizes import called, signal
from vitexp.errors import VitexpError
from vitexp.experiment.grids import from_scratch, last_ended, parts, split
from vitexp.experiment.looks import Question, state
from vitexp.experiment.plan import Plan
from vitexp.reporting.described import differing, facts
from vitexp.reporting.words import kind_label
from vitexp.runs.folds import whole
from vitexp.runs.record import Results, RunRecord
from vitexp.spec import RunSpec

ALL = "all test images"

Tested = tuple[str, int]
"""Which images runs were tested on: the fingerprint, and how many folds they were dealt into."""


@dataclass(frozen=True)
class Difference:
    """A - B on some of the test images.

    Attributes:
        images: how many.
        delta: of the mean accuracies, as a share.
        estimate: with its uncertainty, from all common seeds; None below two.
        decision: from the seeds up to the look; None below three.
    """

    images: int
    delta: float
    estimate: Estimate | None
    decision: Decision | None

    @property
    def interval(self) -> tuple[float, float] | None:
        """At 95 %, by itself; None below two seeds."""
        return None if self.estimate is None else possible(self.estimate.interval())

    @property
    def deciding(self) -> tuple[float, float] | None:
        """The one at the look that decides; None without a look."""
        if self.decision is None:
            return None
        return possible((self.decision.low, self.decision.high))


@dataclass(frozen=True)
class Side:
    """What one name stands for: cells whose correctness is averaged, seed by seed."""

    name: str
    groups: tuple[Group, ...]

    @property
    def data(self) -> str:
        """The images that its runs were tested on, in words."""
        return _where(self.groups[0].spec)

    @property
    def label(self) -> str:
        if len(self.groups) > 1:
            return f"{self.name}, mean of {len(self.groups)} models"
        spec = self.groups[0].spec
        return ", ".join(filter(None, (called(spec.model), _position_words(spec))))

    def correct(self, seeds: Sequence[int]) -> np.ndarray:
        """Share of the cells that are right: shape (seeds, test images)."""
        return np.asarray(np.mean([group.correct(seeds) for group in self.groups], axis=0))


def side(name: str, done: Results) -> Side:
    """What ``name`` stands for: the first digits of a run's id mean its cell (all its seeds);
    else the name of a model, a family or a position (``learned_1d`` or ``learned_1d/shared``).

    Raises:
        VitexpError: nothing, or several settings of one model, have this name.
    """
    return _side(name, _called(name, done))


def pairs(a: str, b: str, done: Results) -> list[tuple[Side, Side]]:
    """What the two names stand for on each data set, image size included, that has runs of both.

    Raises:
        VitexpError: as :func:`side`, or there is no such data set.
    """
    first, second = (_by_data(_called(name, done)) for name in (a, b))
    common = [data for data in first if data in second]
    if not common:
        raise _apart((a, b), (first, second), done)
    return [(_side(a, first[data]), _side(b, second[data])) for data in common]


def more(a: Side, b: Side, seeds: int) -> Plan:
    """So many seeds of all cells of both, from the first that they share."""
    first = min(shared_seeds(a, b), default=0)
    return Plan(
        {
            (side.name, called(group.spec.model)): [
                run for seed in range(first, first + seeds) for run in group.spec.seeded(seed).folds
            ]
            for side in (a, b)
            for group in side.groups
        }
    )


def questions(a: Side, b: Side, plan: Plan, done: Results) -> list[Question]:
    """Whether A is better or worse on all test images, by the runs of ``plan`` that are done."""
    able = [_sound(done[run.id] for run in runs if run.id in done) for runs in plan.cells.values()]
    if not all(able):
        return []
    groups = [Group(records) for records in able]
    sides = (
        Side(a.name, tuple(groups[: len(a.groups)])),
        Side(b.name, tuple(groups[len(a.groups) :])),
    )
    decision = differences(*sides, {})[ALL].decision
    name = f"{a.name} against {b.name}"
    return [Question(name, tuple(plan.cells), state(decision.outlook) if decision else "open")]


def _sound(records: Iterable[RunRecord]) -> list[RunRecord]:
    """A result a seed, of those that did not diverge."""
    return [record for record in whole(records) if record.status == "done"]


def _tested(spec: RunSpec) -> Tested:
    fold = spec.data.fold
    return spec.data.fingerprint, fold.of if fold else 1


def _by_data(records: Sequence[RunRecord]) -> dict[Tested, list[RunRecord]]:
    return {_tested(each[0].spec): each for each in split(records, lambda r: _tested(r.spec))}


def _apart(
    names: tuple[str, str], found: tuple[dict[Tested, list[RunRecord]], ...], done: Results
) -> VitexpError:
    """Why two names cannot be compared that stand for runs on different data, and what can."""
    (one, *_), (other, *_) = (list(chain(*by_data.values())) for by_data in found)
    wheres = " and ".join(
        f"{n} on {_where(r.spec)}" for n, r in zip(names, (one, other), strict=True)
    )
    like = [
        f"`vitexp compare {kept} {same.id[:8]}`"
        for kept, at, sought in ((names[0], one, other), (names[1], other, one))
        if (same := _like(sought.spec, _tested(at.spec), done))
    ]
    return VitexpError(
        f"The runs were tested on different images: {wheres}.",
        f"On the same ones there is {' and '.join(like)}."
        if like
        else "Only runs on the same data set and image size can be compared.",
    )


def _like(spec: RunSpec, data: Tested, done: Results) -> RunRecord | None:
    """The latest run of the same model and position on another data set."""
    same = [
        record
        for record in from_scratch(done)
        if record.status == "done"
        and _tested(record.spec) == data
        and called(record.spec.model) == called(spec.model)
        and _position_words(record.spec) == _position_words(spec)
    ]
    return max(same, key=lambda record: last_ended([record]), default=None)


def _called(name: str, done: Results) -> list[RunRecord]:
    able = _sound(from_scratch(done))
    by_id = [record for record in able if any(run.startswith(name) for run in record.runs)]
    if len(by_id) == 1:
        same = parts(by_id[0].spec)
        return [record for record in able if parts(record.spec) == same]
    named = [record for record in able if name.lower() in _names(record)]
    if not named:
        raise VitexpError(
            f"No finished run is called {name!r}.",
            "Give the first digits of an id (`vitexp runs list`), a model, a family or a position.",
        )
    return named


def _side(name: str, records: Sequence[RunRecord]) -> Side:
    groups = tuple(Group(each) for each in split(records, lambda r: parts(r.spec)))
    if len({called(group.spec.model) for group in groups}) < len(groups):
        where, placed = _where(groups[0].spec), _position_words(groups[-1].spec)
        raise VitexpError(
            f"{name!r} stands for {len(groups)} settings on {where}, which are not pooled.",
            f"Name one of them by a run of it{f', or a placement as {placed}' if placed else ''}: "
            f"{', '.join(_told_apart(groups)[:6])}.",
        )
    return Side(name, groups)


def _told_apart(groups: Sequence[Group]) -> list[str]:
    """The first digits of a run of each, with what it has another of than some other."""
    known = [facts(g.spec) | {"position": _position_words(g.spec)} for g in groups]
    told = differing(known)
    return [
        f"{group.records[0].id[:8]} ({', '.join(own[name] for name in told if own[name])})"
        for group, own in zip(groups, known, strict=True)
    ]


def _where(spec: RunSpec) -> str:
    return f"{facts(spec)['data']} at {spec.data.image_size} px"


def _position_words(spec: RunSpec) -> str:
    """Position and placement, ``learned_1d/shared``; nothing for a model without."""
    position = signal(spec.model)
    if position is None:
        return ""
    return position.kind if position.kind == "none" else f"{position.kind}/{position.placement}"


def _names(record: RunRecord) -> set[str]:
    model = record.spec.model
    names = [called(model), model.family]
    if position := signal(model):
        ends = ("", f"/{position.placement}", f" {position.placement}")
        kinds = (position.kind, kind_label(position.kind))
        names += [f"{kind}{end}" for kind in kinds for end in ends]
    return {name.lower() for name in names}


def shared_seeds(a: Side, b: Side) -> list[int]:
    """The seeds that all cells of both have."""
    return common_seeds((*a.groups, *b.groups))


def differences(a: Side, b: Side, classes: dict[str, np.ndarray]) -> dict[str, Difference]:
    """A - B on all test images and on those of each class, on the seeds that all cells share.

    Args:
        classes: name -> which test images, bool, shape (N,).

    Raises:
        VitexpError: other test images, or no seed in common.
    """
    _check_images((*a.groups, *b.groups))
    seeds = shared_seeds(a, b)
    if not seeds:
        raise VitexpError(
            f"{a.name} and {b.name} have no seed in common.",
            "Run one of them with the other's seeds: --seed FIRST --seeds N.",
        )
    d = a.correct(seeds) - b.correct(seeds)
    wholes = {ALL: np.ones(d.shape[1], bool)}
    return _judged(d, wholes) | _judged(d, classes)


def _judged(d: np.ndarray, where: dict[str, np.ndarray]) -> dict[str, Difference]:
    n, used = len(d), look(len(d)) or 0
    able = {name: keep for name, keep in where.items() if keep.sum() > 1}
    looked = {name: estimate(d[:used, keep]) for name, keep in able.items()} if used else {}
    decisions = decide(looked, one_reference=False)
    return {
        name: Difference(
            int(keep.sum()),
            float(d[:, keep].mean()),
            estimate(d[:, keep]) if n > 1 else None,
            decisions.get(name),
        )
        for name, keep in able.items()
    }


def _check_images(groups: Sequence[Group]) -> None:
    if len({_tested(group.spec) for group in groups}) > 1:
        names = sorted({facts(group.spec)["data"] for group in groups})
        raise VitexpError(
            f"The runs were tested on different images ({', '.join(names)}).",
            "Only runs on the same data set and image size can be compared.",
        )


def verdict_words(difference: Difference) -> str:
    """The verdict on A against B."""
    if difference.decision is None:
        return f"no verdict below {LOOKS[0]} seeds"
    return difference.decision.verdict
