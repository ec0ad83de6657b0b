"""Two runs, cells or families side by side: the difference, its interval and a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vitexp.analysis.decide import LOOKS, Decision, decide, look
from vitexp.analysis.groups import Group, common_seeds, possible
from vitexp.analysis.two_way import Estimate, estimate
from vitexp.catalog.sizes import called
from vitexp.errors import VitexpError
from vitexp.experiment.grids import from_scratch, parts, split
from vitexp.runs.record import Results, RunRecord
from vitexp.spec import RunSpec

ALL = "all test images"


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
    able = [record for record in from_scratch(done) if record.status == "done"]
    by_id = [record for record in able if record.id.startswith(name)]
    if len(by_id) == 1:
        same = parts(by_id[0].spec)
        return Side(name, (Group(r for r in able if parts(r.spec) == same),))
    named = [record for record in able if name.lower() in _names(record)]
    groups = tuple(Group(records) for records in split(named, lambda r: parts(r.spec)))
    if not groups:
        raise VitexpError(
            f"No finished run is called {name!r}.",
            "Give the first digits of an id (`vitexp runs list`), a model, a family or a position.",
        )
    if len({called(group.spec.model) for group in groups}) < len(groups):
        ids = ", ".join(_described(group.records[0]) for group in groups[:6])
        raise VitexpError(
            f"{name!r} stands for {len(groups)} settings, which are not pooled.",
            f"Name one of them by a run of it, or a placement as {_example(groups)}: {ids}.",
        )
    return Side(name, groups)


def _example(groups: Sequence[Group]) -> str:
    return _position_words(groups[-1].spec) or "learned_1d/stem"


def _described(record: RunRecord) -> str:
    spec = record.spec
    what = f"{spec.data.used} images of {spec.data.name}, {spec.recipe.name}"
    parts = (what, f"{spec.recipe.steps} steps", _position_words(spec))
    return f"{record.id[:8]} ({', '.join(filter(None, parts))})"


def _position_words(spec: RunSpec) -> str:
    """Position and placement, ``learned_1d/shared``; nothing for a model without."""
    if spec.model.vit is None:
        return ""
    position = spec.position
    return position.kind if position.kind == "none" else f"{position.kind}/{position.placement}"


def _names(record: RunRecord) -> tuple[str, ...]:
    model = record.spec.model
    if model.vit is None:
        return called(model), model.family
    position = model.vit.position
    return called(model), model.family, position.kind, f"{position.kind}/{position.placement}"


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
    if len({group.spec.data.fingerprint for group in groups}) > 1:
        names = sorted({group.spec.data.name for group in groups})
        raise VitexpError(
            f"The runs were tested on different images ({', '.join(names)}).",
            "Only runs on the same data set and image size can be compared.",
        )


def verdict_words(difference: Difference) -> str:
    """The verdict on A against B."""
    if difference.decision is None:
        return f"no verdict below {LOOKS[0]} seeds"
    return difference.decision.verdict
