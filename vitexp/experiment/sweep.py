"""A study of named cells that differ in a few settings: what all such studies share.

A study derives from :class:`Sweep` and says which settings its cells have (``arms``), what a
run's cell is called (``key``) and what its cells have in common (``common``).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Any

from vitexp.analysis.decide import LOOKS
from vitexp.analysis.groups import Comparison, Group, compare
from vitexp.experiment.grids import from_scratch, last_ended, latest_variant, split
from vitexp.experiment.study import Study
from vitexp.reporting.judge import not_run
from vitexp.reporting.report import (
    Cell,
    Claim,
    GridTable,
    Interval,
    IntervalFigure,
    Panel,
    Report,
    Tone,
    Value,
)
from vitexp.reporting.values import (
    collapsed_words,
    compared_values,
    deciding_words,
    difference_words,
    ids,
    said_words,
    scaled,
    top1_values,
)
from vitexp.reporting.words import (
    data_words,
    decimals,
    more_seeds,
    percent,
    recipe_words,
)
from vitexp.runs.record import Results, RunRecord
from vitexp.settings.base import Base
from vitexp.spec import RunSpec

Key = tuple[str, str]
"""(group, member): what a cell is called; a group is a colour of the figure."""

Cells = Mapping[Key, Group]

COLUMNS = (
    *("group", "cell", "params", "macs", "n", "top1_mean", "top1_sd", "top1_low", "top1_high"),
    *("val_top1_mean", "delta", "delta_low", "delta_high", "p_adjusted", "verdict", "run_ids"),
)
_TONES: dict[str, Tone] = {"better": "good", "worse": "bad"}


class Sweep(Study):
    """Cells by seeds; every cell is compared with one of them."""

    @abstractmethod
    def arms(self, base: Base) -> Sequence[Mapping[str, Any]]:
        """The settings that each cell changes."""

    @abstractmethod
    def key(self, spec: RunSpec) -> Key | None:
        """The cell of a run; None for a run that is none of the study's."""

    @abstractmethod
    def answered(self, keys: Collection[Key]) -> bool:
        """Whether these cells are enough for a table of this study."""

    @abstractmethod
    def common(self, spec: RunSpec) -> Hashable:
        """What the runs of one table share."""

    @abstractmethod
    def reference(self, cells: Cells) -> Key:
        """The cell that the others are compared with."""

    @abstractmethod
    def claims(self, cells: Cells) -> tuple[Claim, ...]:
        """The paper's claims, tested on the cells."""

    def plan(self, base: Base, done: Results) -> list[RunSpec]:
        """All cells of the first seed, then of the next."""
        runs = [base.departure(**arm) for arm in self.arms(base)]
        return [run.seeded(seed) for seed in base.seeds for run in runs]

    def label(self, spec: RunSpec) -> tuple[str, str]:
        key = self.key(spec)
        return (name(key) if key else spec.model.name), ""

    def grids(self, done: Results) -> list[Results]:
        able = [record for record in from_scratch(done) if self.key(record.spec)]
        if not self._answered(able):
            return []
        grids = split(able, lambda record: self.common(record.spec))
        return [Results(grid) for grid in sorted(grids, key=last_ended) if self._answered(grid)]

    def _answered(self, records: Sequence[RunRecord]) -> bool:
        return self.answered({key for record in records if (key := self.key(record.spec))})

    def report(self, grid: Results) -> Report:
        cells = self.cells(grid)
        against = self.reference(cells)
        others = {key: group for key, group in cells.items() if key != against}
        compared = compare(others, cells[against])
        spec = cells[against].spec
        title = f"{type(self).__name__} on {spec.data.name}: test top-1 in %"
        return Report(
            stem=self.stem,
            title=title,
            facts=(("data", data_words(spec)), ("recipe", recipe_words(spec))),
            tables=(_table(title, cells, compared, against),),
            columns=COLUMNS,
            rows=tuple(_row(key, group, compared.get(key)) for key, group in cells.items()),
            figures=(_figure(title, cells, compared, against),),
            claims=self.claims(cells),
            notes=(
                f"Each cell: mean ± half-width of the 95 % t interval over its seeds; then the"
                f" difference to {name(against)} over seeds and images.",
                *deciding_words(compared.values()),
                *collapsed_words((name(key), group) for key, group in cells.items()),
            ),
        )

    def verdicts(self, grid: Results) -> tuple[Claim, ...]:
        return self.claims(self.cells(grid))

    def cells(self, grid: Results) -> dict[Key, Group]:
        """The cells of a grid, by group in the order of their MACs."""

        def key(record: RunRecord) -> Key:
            found = self.key(record.spec)
            assert found is not None
            return found

        groups = {key(records[0]): Group(latest_variant(records)) for records in split(grid, key)}
        order = sorted(groups, key=lambda k: (k[0], groups[k].records[0].metrics.get("macs", 0), k))
        return {key: groups[key] for key in order}

    def more(self, cells: Cells, first_seed: int, seeds: int) -> str:
        """What to type for so many seeds of all cells."""
        spec = next(iter(cells.values())).spec
        return more_seeds(self.command, spec, first_seed, seeds, self.decides)

    def unanswered(self, claim: str, cells: Cells, why: str) -> Claim:
        """A claim of the paper whose cells are not all there."""
        group = next(iter(cells.values()))
        settle = f"Run {self.more(cells, min(group.seeds), LOOKS[0])}."
        return not_run(claim, why, settle, group.spec.data.name)


def rounded(rate: float) -> float:
    """A learning rate to four digits, so that its runs keep their ids."""
    return float(f"{rate:.4g}")


def name(key: Key) -> str:
    """A cell, for people."""
    return " ".join(filter(None, key))


def best_on_validation(cells: Cells, group: str) -> Key | None:
    """The cell of a group with the highest mean validation accuracy."""
    own = {
        key: mean
        for key, cell in cells.items()
        if key[0] == group and (mean := cell.metric("val_top1").mean) is not None
    }
    return max(own, key=lambda key: own[key], default=None)


def _table(title: str, cells: Cells, compared: Mapping[Key, Comparison], against: Key) -> GridTable:
    rows = tuple(
        (Cell(name(key)), _cells(group, compared.get(key), key == against))
        for key, group in cells.items()
    )
    return GridTable(title, "cell", ("M MACs", "test top-1", f"to {name(against)}"), rows)


def _cells(group: Group, comparison: Comparison | None, reference: bool) -> tuple[Cell, ...]:
    places, top1 = decimals(group.images), group.metric("test_top1")
    macs = group.records[0].metrics.get("macs")
    half = "" if top1.half_width is None else f" ± {percent(top1.half_width, places)}"
    text = "diverged" if top1.mean is None else f"{percent(top1.mean, places)}{half}, n {top1.n}"
    cost = Cell("-" if macs is None else f"{macs / 1e6:.3g}")
    if comparison is None:
        return cost, Cell(text), Cell("-" if reference else "no seed in common", tone="muted")
    decision = comparison.decision
    tone = _TONES.get(decision.verdict, "plain") if decision else "plain"
    gap = difference_words(comparison, places)
    return cost, Cell(text), Cell(gap, (said_words(comparison),), tone)


def _figure(
    title: str, cells: Cells, compared: Mapping[Key, Comparison], against: Key
) -> IntervalFigure:
    rows = {key: row for row, key in enumerate(cells)}
    tops = {key: group.metric("test_top1") for key, group in cells.items()}
    accuracies = tuple(
        Interval(
            rows[key],
            100 * top.mean,
            None if top.low is None or top.high is None else (100 * top.low, 100 * top.high),
            points=tuple(100 * record.metrics["test_top1"] for record in cells[key].done),
        )
        for key, top in tops.items()
        if top.mean is not None
    )
    gaps = tuple(
        Interval(rows[key], 100 * c.delta, None, _interval(c)) for key, c in compared.items()
    )
    return IntervalFigure(
        title=title,
        rows=tuple(cells),
        panels=(
            Panel("Test top-1 (%)", accuracies, bounds=(0, 100)),
            Panel(f"Difference to {name(against)} (points)", gaps, baseline=0),
        ),
        point="one seed",
        inner="95 % over seeds",
        outer="95 % over seeds and test images",
        reference="",
    )


def _interval(comparison: Comparison) -> tuple[float, float] | None:
    return comparison.interval and scaled(comparison.interval)


def _row(key: Key, group: Group, comparison: Comparison | None) -> dict[str, Value]:
    metrics = group.records[0].metrics
    values: tuple[Value, ...] = (
        *(*key, metrics.get("params"), metrics.get("macs"), len(group.done)),
        *top1_values(group),
        *compared_values(comparison),
        ids(group),
    )
    return dict(zip(COLUMNS, values, strict=True))
