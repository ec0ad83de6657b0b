"""The figure of the positional ablation: accuracy, and the difference to none."""

from __future__ import annotations

from vitexp.analysis.groups import Group, finite_seeds
from vitexp.catalog.paper import table8
from vitexp.reporting.panels import SEED, accuracy_panel, difference_panel, setting
from vitexp.reporting.report import IntervalFigure, Reference
from vitexp.reporting.words import kind_label
from vitexp.studies.pos_emb.cells import NONE, Cells, Key
from vitexp.studies.pos_emb.report import Comparisons


def figure(cells: Cells, against_none: Comparisons) -> IntervalFigure:
    """Cells as rows; the paper's differences as reference marks."""
    row_of = {key: row for row, key in enumerate(cells)}
    differences = difference_panel(
        {row_of[key]: comparison for key, comparison in against_none.items()},
        row_of.get(NONE),
        "none",
        {row_of[key]: _seeds(cells[key], cells[NONE]) for key in against_none},
        _paper_gaps(row_of),
    )
    spec = next(iter(cells.values())).spec
    return IntervalFigure(
        title=f"Positional embeddings on {spec.data.name}",
        rows=tuple((kind_label(kind), place) for kind, place in cells),
        panels=(accuracy_panel({row_of[key]: g for key, g in cells.items()}), differences),
        point=SEED,
        reference="the paper's difference (5-shot ImageNet, ViT-B/16)",
        setting=setting(cells.values()),
    )


def _seeds(group: Group, none: Group) -> list[float]:
    """The difference of each seed, in points."""
    shared = finite_seeds((group, none))
    each = group.correct(shared).mean(axis=1) - none.correct(shared).mean(axis=1)
    return [100 * float(gap) for gap in each]


def _paper_gaps(row_of: dict[Key, int]) -> tuple[Reference, ...]:
    """One mark a cell; across all rows of a kind where the paper names no placement."""
    marks = []
    for (kind, place), share in table8().items():
        rows = [row for key, row in row_of.items() if key[0] == kind and place in (key[1], None)]
        if rows and kind != "none":
            gap = 100 * (share - table8()[NONE])
            marks.append(Reference(gap, min(rows), max(rows)))
    return tuple(marks)
