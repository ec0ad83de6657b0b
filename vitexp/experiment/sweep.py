"""A study of named cells that differ in a few settings: what all such studies share.

A study derives from :class:`Sweep` and says what its cells are called and which settings each
changes (``arms``).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from vitexp.analysis.decide import LOOKS
from vitexp.analysis.groups import Comparison, Group
from vitexp.experiment.plan import Grid, Plan
from vitexp.experiment.study import Study
from vitexp.reporting.cells import accuracy_cell, gap_cell
from vitexp.reporting.judge import not_run
from vitexp.reporting.more_images import too_few_words
from vitexp.reporting.panels import SEED, accuracy_panel, difference_panel, kinds, setting
from vitexp.reporting.report import (
    Cell,
    Claim,
    GridTable,
    IntervalFigure,
    Report,
    Value,
)
from vitexp.reporting.values import (
    collapsed_words,
    compared_values,
    deciding_words,
    ids,
    top1_values,
)
from vitexp.reporting.words import (
    data_words,
    decimals,
    model_words,
    recipe_words,
)
from vitexp.runs.record import Results
from vitexp.settings.base import Base

Key = tuple[str, str]
"""(group, member): what a cell is called; a group is a marker of the figure."""

Cells = Mapping[Key, Group]

COLUMNS = (
    *("group", "cell", "params", "macs", "n", "top1_mean", "top1_sd", "top1_low", "top1_high"),
    *("val_top1_mean", "delta", "delta_low", "delta_high", "p_adjusted", "verdict", "run_ids"),
)


class Sweep(Study):
    """Cells by seeds; every cell is compared with one, the first where nothing else is said."""

    @abstractmethod
    def arms(self, base: Base) -> Mapping[Key, Mapping[str, Any]]:
        """What each cell is called -> the settings that it changes."""

    def reference(self, grid: Grid) -> Key:
        """The cell that the others are compared with: the plan's, or where it has no runs the
        first that has."""
        return super().reference(grid) or next(iter(grid))

    def claims(self, grid: Grid) -> tuple[Claim, ...]:
        """The paper's claims, tested on the cells."""
        return ()

    def plan(self, base: Base, done: Results) -> Plan:
        arms = self.arms(base)
        runs = {key: base.departure(**settings) for key, settings in arms.items()}
        cells = {key: [run.seeded(seed) for seed in base.seeds] for key, run in runs.items()}
        return Plan(cells, reference=next(iter(arms)))

    def label(self, key: Key) -> tuple[str, str]:
        return name(key), ""

    def report(self, grid: Grid) -> Report:
        against = self.reference(grid)
        ordered = {key: grid[key] for key in sorted(grid, key=lambda k: (k[0], _cost(grid[k]), k))}
        compared = self.compared(grid)
        spec, of = grid[against].spec, f" ({name(against)})"
        title = f"{type(self).__name__} on {spec.data.name}: test top-1 in %"
        return Report(
            stem=self.stem,
            title=title,
            facts=(
                ("data", data_words(spec)),
                ("model", model_words(spec, grid[against].records[0].metrics.get("params"), of)),
                ("recipe", recipe_words(spec)),
            ),
            tables=(_table(title, ordered, compared, against),),
            columns=COLUMNS,
            rows=tuple(_row(key, group, compared.get(key)) for key, group in ordered.items()),
            figures=(_figure(title, ordered, compared, against),),
            claims=self.claims(grid),
            notes=(
                f"Each cell: mean ± half-width of the 95 % t interval over its seeds; then the"
                f" difference to {name(against)} over seeds and images.",
                *deciding_words(compared.values()),
                *too_few_words(
                    {name(key): each for key, each in compared.items()}, grid.values(), grid.again
                ),
                *collapsed_words((name(key), group) for key, group in ordered.items()),
            ),
        )

    def verdicts(self, grid: Grid) -> tuple[Claim, ...]:
        return self.claims(grid)

    def unanswered(self, claim: str, grid: Grid, why: str) -> Claim:
        """A claim of the paper whose cells are not all there."""
        group = next(iter(grid.values()))
        settle = f"Run {grid.more(min(group.seeds), LOOKS[0])}."
        return not_run(claim, why, settle, group.spec.data.name)


def _cost(group: Group) -> float:
    return group.records[0].metrics.get("macs", 0)


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
    macs = group.records[0].metrics.get("macs")
    cost = Cell("-" if macs is None else f"{macs / 1e6:.3g}")
    gap = Cell("-" if reference else "no seed in common", tone="muted")
    if comparison is not None:
        gap = gap_cell(comparison, decimals(group.images))
    return cost, accuracy_cell(group), gap


def _figure(
    title: str, cells: Cells, compared: Mapping[Key, Comparison], against: Key
) -> IntervalFigure:
    """The cells from the best difference to the worst; the one compared with is at 0."""
    gaps = {key: comparison.shown[0] for key, comparison in compared.items()} | {against: 0.0}
    order = sorted(cells, key=lambda key: -gaps.get(key, float("-inf")))
    rows = {key: row for row, key in enumerate(order)}
    colours = kinds([cells[key].spec for key in order])
    return IntervalFigure(
        title=title,
        rows=tuple(("", _changed(name(key), name(against))) for key in order),
        panels=(
            accuracy_panel({rows[key]: group for key, group in cells.items()}),
            difference_panel(
                {rows[key]: comparison for key, comparison in compared.items()},
                rows[against],
                "the base",
            ),
        ),
        point=SEED,
        setting=setting((cells[against], *cells.values())),
        looks=tuple((colour, key[0]) for colour, key in zip(colours, order, strict=True)),
    )


def _changed(cell: str, base: str) -> str:
    """What a cell's name, in parts between commas, has another of than the base's."""
    parts = base.split(", ")
    return ", ".join(part for part in cell.split(", ") if part not in parts) or cell


def _row(key: Key, group: Group, comparison: Comparison | None) -> dict[str, Value]:
    metrics = group.records[0].metrics
    values: tuple[Value, ...] = (
        *(*key, metrics.get("params"), metrics.get("macs"), len(group.done)),
        *top1_values(group),
        *compared_values(comparison),
        ids(group),
    )
    return dict(zip(COLUMNS, values, strict=True))
