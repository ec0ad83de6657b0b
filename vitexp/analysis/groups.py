"""Runs that differ in nothing but the seed, and such groups compared."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np

from vitexp.analysis.decide import Decision, decide, look
from vitexp.analysis.seeds import Sample, sample, share_interval
from vitexp.analysis.together import together
from vitexp.analysis.two_way import Estimate, estimate, possible
from vitexp.runs.measurement import Measurement
from vitexp.runs.record import RunRecord
from vitexp.spec import RunSpec

K = TypeVar("K", bound=Hashable)

COLLAPSE = 8.0
"""How many times smaller than those of its cell's median run the odds of a right answer are, at
which a run counts as collapsed. Set beforehand: where seeds vary by 0.5 in log odds, 2 % of tables
of ten cells at most hold such a run by chance; by 1.0, half of them do."""


class Group:
    """The runs of one cell, one a seed.

    A diverged run has no accuracy and is never averaged; since leaving it out flatters the
    cell, a look that contains one gives no verdict.

    Args:
        measured: what was found out since about these and perhaps other runs, by their ids.
    """

    def __init__(
        self, records: Iterable[RunRecord], measured: Mapping[str, Measurement] | None = None
    ) -> None:
        self._measured = measured or {}
        self.records = tuple(sorted(records, key=lambda record: record.spec.seed))
        self._by_seed = {record.spec.seed: record for record in self.records}
        assert len(self._by_seed) == len(self.records), "two runs of one cell share a seed"

    @property
    def done(self) -> tuple[RunRecord, ...]:
        return tuple(record for record in self.records if record.status == "done")

    @property
    def spec(self) -> RunSpec:
        """The spec of the first seed's run."""
        return self.records[0].spec

    @property
    def runs(self) -> tuple[str, ...]:
        """Ids of all runs, by seed."""
        return tuple(run for record in self.records for run in record.runs)

    @property
    def images(self) -> int:
        """Number of test images."""
        return self.records[0].images

    @property
    def diverged(self) -> int:
        return len(self.records) - len(self.done)

    @property
    def collapsed(self) -> tuple[RunRecord, ...]:
        """Runs far below the others: see :data:`COLLAPSE`; and by three standard errors of the
        counts, so that a few images more or less are none. Of less than three runs: none."""
        if len(self.done) < 3:
            return ()
        top1 = np.array([record.metrics["test_top1"] for record in self.done])
        wrong = self.images * (1 - top1)
        usual = np.median(wrong)
        right = self.images - wrong
        far = COLLAPSE * right * (usual + 0.5) < (self.images - usual) * (wrong + 0.5)
        clear = wrong - usual > 3 * np.sqrt(wrong + usual)
        return tuple(r for r, hit in zip(self.done, far & clear, strict=True) if hit)

    @property
    def seeds(self) -> frozenset[int]:
        """Seeds of all runs, the diverged ones too."""
        return frozenset(self._by_seed)

    def finite(self, seeds: Iterable[int]) -> bool:
        """Whether none of these seeds' runs diverged."""
        return all(self._by_seed[seed].status == "done" for seed in seeds)

    def metric(self, name: str) -> Sample:
        """Mean and interval over seeds of a metric; accuracies, of the test images, as shares."""
        return sample([record.metrics[name] for record in self.done], images=self.images)

    def measurements(self, seeds: Iterable[int]) -> list[Measurement]:
        """What was measured of these seeds' runs."""
        return [self._measured[self._by_seed[seed].id] for seed in seeds]

    @property
    def has_measurements(self) -> bool:
        """Whether anything was found out since about these and perhaps other runs."""
        return bool(self._measured)

    def measured(self, name: str) -> list[float]:
        """A measured value of each run that did not diverge; none where a model has no part for
        it."""
        found = self.measurements(record.spec.seed for record in self.done)
        return [each.values[name] for each in found if name in each.values]

    def correct(self, seeds: Iterable[int]) -> np.ndarray:
        """Correctness of these seeds' runs: int8, shape (seeds, test images)."""
        return np.stack([self._bitmaps[seed] for seed in seeds])

    @cached_property
    def _bitmaps(self) -> dict[int, np.ndarray]:
        return {r.spec.seed: r.correctness().astype(np.int8) for r in self.done}

    def over_images_too(self) -> tuple[float, float] | None:
        """The 95 % interval of the accuracy over seeds and test images; None below two seeds.

        Never within that over seeds alone, which has fewer degrees of freedom.
        """
        seeds = [record.spec.seed for record in self.done]
        if len(seeds) < 2:
            return None
        whole, alone = estimate(self.correct(seeds)), self.metric("test_top1")
        low, high = share_interval(whole.value, whole.interval()[1] - whole.value)
        assert alone.low is not None and alone.high is not None
        return min(low, alone.low), max(high, alone.high)


def common_seeds(groups: Iterable[Group]) -> list[int]:
    """The seeds that every group has, in order."""
    return sorted(frozenset.intersection(*(group.seeds for group in groups)))


def finite_seeds(groups: Iterable[Group]) -> list[int]:
    """The seeds at which every group has a run that did not diverge, in order."""
    several = tuple(groups)
    return [s for s in common_seeds(several) if all(group.finite([s]) for group in several)]


def stacked(groups: Iterable[Group], seeds: Iterable[int]) -> np.ndarray:
    """Correctness of several groups: int8, shape (groups, seeds, test images)."""
    chosen = list(seeds)
    return np.stack([group.correct(chosen) for group in groups])


@dataclass(frozen=True)
class Comparison:
    """A group against the reference.

    Attributes:
        delta: difference of the mean accuracies over the common finite seeds, as a share.
        n: how many those are.
        estimate: that difference with its uncertainty, the seeds' variance its own or the sum of
            its two cells', whichever is greater; None below two seeds.
        decision: the verdict at the look; None below three common seeds or where a run of the
            look diverged.
        diverged: whether a diverged run is what stands against a verdict.
    """

    delta: float
    n: int
    estimate: Estimate | None
    decision: Decision | None
    diverged: bool

    @property
    def interval(self) -> tuple[float, float] | None:
        """At 95 %, over seeds and images, by itself; None below two seeds."""
        return None if self.estimate is None else possible(self.estimate.interval())

    @property
    def shown(self) -> tuple[float, tuple[float, float] | None]:
        """The difference and the interval that belong together: at the look the one that
        decides; where there is no look, :attr:`interval`."""
        if self.decision is None:
            return self.delta, self.interval
        ends = self.decision.low, self.decision.high
        return self.decision.estimate.value, possible(ends)


def compare(groups: Mapping[K, Group], reference: Group) -> dict[K, Comparison]:
    """Each group against ``reference`` on the seeds that the two share.

    Differences are estimated from all those seeds, verdicts from the first ones, up to the
    look. Groups without a common finite seed are left out.
    """
    pairs = {key: (group, reference) for key, group in groups.items()}
    return compare_pairs(pairs, one_reference=True)


def compare_pairs(
    pairs: Mapping[K, tuple[Group, Group]], one_reference: bool = False
) -> dict[K, Comparison]:
    """The first of each pair against the second, as :func:`compare`; false verdicts are held
    among all pairs together. How much seeds matter depends on the amount of training data, so
    only pairs with the same one lend to one another."""
    decisions = _decisions(pairs, one_reference)
    every = {
        key: _difference(pair, seeds)
        for key, pair in pairs.items()
        if (seeds := finite_seeds(pair))
    }
    wholes = together({key: estimate(d) for key, d in every.items() if len(d) > 1}, one_reference)
    return {
        key: Comparison(
            float(d.mean()),
            len(d),
            wholes[key].own if key in wholes else None,
            decisions.get(key),
            not _finite_look(*pairs[key]),
        )
        for key, d in every.items()
    }


def _difference(pair: tuple[Group, Group], seeds: list[int]) -> np.ndarray:
    one, other = (group.correct(seeds) for group in pair)
    return np.asarray(np.subtract(one, other, dtype=np.int8))


def _look(group: Group, reference: Group) -> list[int]:
    """The seeds that a verdict uses; none below the first look."""
    common = common_seeds((group, reference))
    return common[: look(len(common)) or 0]


def _finite_look(group: Group, reference: Group) -> bool:
    """Whether no run of the look diverged."""
    seeds = _look(group, reference)
    return group.finite(seeds) and reference.finite(seeds)


def _decisions(pairs: Mapping[K, tuple[Group, Group]], one_reference: bool) -> dict[K, Decision]:
    """A verdict for each pair at its look. There a pair lends that has more seeds, too, with its
    first ones: so a verdict stays what it was when seeds are added to other cells alone."""
    seeds = {key: _look(*pair) for key, pair in pairs.items() if _finite_look(*pair)}
    able = {key: own for key, own in seeds.items() if own}
    kin = {key: pairs[key][1].spec.data.fraction for key in able}
    found: dict[K, Decision] = {}
    for n in {len(own) for own in able.values()}:
        there = {
            key: estimate(_difference(pairs[key], own[:n]))
            for key, own in able.items()
            if len(own) >= n
        }
        decided = decide(there, one_reference, kin, among=len(able))
        found |= {key: one for key, one in decided.items() if len(able[key]) == n}
    return found
