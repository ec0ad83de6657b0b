"""The table of the positional ablation, in the paper's layout and in the long form."""

from __future__ import annotations

from collections.abc import Mapping

from vitexp.analysis.groups import Comparison, Group
from vitexp.analysis.seeds import Sample
from vitexp.catalog.paper import table8
from vitexp.positions import placements
from vitexp.reporting.cells import (
    accuracy_cell,
    gap_words,
    lost_words,
    mean_lines,
    tone_of,
)
from vitexp.reporting.report import Cell, GridTable, Value
from vitexp.reporting.values import compared_values, ids, in_percent, top1_values
from vitexp.reporting.words import decimals, kind_label, percent, points
from vitexp.spec import PLACEMENTS
from vitexp.studies.pos_emb.cells import NONE, Cells, Key, kinds_of

Comparisons = Mapping[Key, Comparison]

COLUMNS = (
    *("position", "placement", "n", "top1_mean", "top1_sd", "top1_low", "top1_high"),
    *("val_top1_mean", "delta_none", "delta_low", "delta_high", "p_adjusted", "verdict"),
    *("paper", "paper_delta", "run_ids"),
    *("few_shot_5_mean", "few_shot_5_sd", "few_shot_5_low", "few_shot_5_high"),
)
FEW_SHOT = "few_shot_5_top1"


def table(cells: Cells, against_none: Comparisons) -> GridTable:
    """Rows none, 1-D, 2-D, relative and what else there is; one column a placement."""
    rows = tuple(
        (_label(kind), tuple(_cell(cells, against_none, (kind, place)) for place in PLACEMENTS))
        for kind in kinds_of(cells)
    )
    return GridTable("Test top-1 in %", "position", tuple(PLACEMENTS), rows)


def csv_rows(cells: Cells, against_none: Comparisons) -> tuple[dict[str, Value], ...]:
    """One row a cell that has runs; accuracies in percent, differences in points."""
    return tuple(_csv_row(key, cells[key], against_none.get(key)) for key in cells)


def verdict(comparison: Comparison | None) -> str:
    """better, worse, undecided or diverged; ``""`` where no look was reached."""
    if comparison is None:
        return ""
    if comparison.decision is not None:
        return comparison.decision.verdict
    return "diverged" if comparison.diverged else ""


def _label(kind: str) -> Cell:
    whole_row = table8().get((kind, None))
    if whole_row is None:
        return Cell(kind_label(kind))
    return Cell(kind_label(kind), (f"paper {percent(whole_row)}", "for the row"))


def _with_gap(share: float) -> str:
    none = table8()[NONE]
    return percent(share) if share == none else f"{percent(share)} ({points(share - none)})"


def _cell(cells: Cells, against_none: Comparisons, key: Key) -> Cell:
    if key[1] not in placements(key[0]):
        return Cell("N/A", tone="muted")
    paper = table8().get(key)
    beside = () if paper is None else (f"paper {_with_gap(paper)}",)
    if key not in cells:
        return Cell("not run", beside, "muted")
    comparison = against_none.get(key)
    lines = (
        *lost_words(cells[key]),
        *gap_words(comparison, decimals(cells[key].images), " to none"),
        *_five_shot(cells[key]),
        *beside,
    )
    return accuracy_cell(cells[key], lines, tone_of(comparison))


def _few_shot(group: Group) -> Sample | None:
    """The 5-shot linear probe over seeds; None where the data do not allow it."""
    measured = all(FEW_SHOT in record.metrics for record in group.done)
    return group.metric(FEW_SHOT) if group.done and measured else None


def _five_shot(group: Group) -> tuple[str, ...]:
    found = _few_shot(group)
    if found is None:
        return ()
    mean, *interval = mean_lines(found, decimals(group.images))
    return f"5-shot {mean}", *interval


def _csv_row(key: Key, group: Group, comparison: Comparison | None) -> dict[str, Value]:
    paper, none, few = table8().get(key), table8()[NONE], _few_shot(group)
    values: tuple[Value, ...] = (
        *(*key, len(group.done)),
        *top1_values(group),
        *(*compared_values(comparison)[:-1], verdict(comparison)),
        in_percent(paper),
        None if paper is None or key == NONE else in_percent(paper - none),
        ids(group),
        *map(in_percent, (few.mean, few.sd, few.low, few.high) if few else (None,) * 4),
    )
    return dict(zip(COLUMNS, values, strict=True))
