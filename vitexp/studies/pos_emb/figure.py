"""The figure of the positional ablation: accuracy, and the difference to none."""

from __future__ import annotations

from vitexp.analysis.groups import Comparison, Group, finite_seeds
from vitexp.catalog.paper import table8
from vitexp.reporting.report import Interval, IntervalFigure, Panel, Reference
from vitexp.reporting.values import scaled, top1_interval
from vitexp.reporting.words import kind_label
from vitexp.studies.pos_emb.cells import NONE, Cells, Key
from vitexp.studies.pos_emb.report import Comparisons


def figure(cells: Cells, against_none: Comparisons) -> IntervalFigure:
    """Cells as rows; the paper's differences as reference marks."""
    row_of = {key: row for row, key in enumerate(cells)}
    accuracies = (top1_interval(row_of[key], group) for key, group in cells.items())
    differences = (
        _difference(row_of[key], cells[key], cells[NONE], comparison)
        for key, comparison in against_none.items()
    )
    spec = next(iter(cells.values())).spec
    return IntervalFigure(
        title=f"Positional embeddings on {spec.data.name}",
        rows=tuple((kind_label(kind), place) for kind, place in cells),
        panels=(
            Panel(
                "Test top-1 (%)",
                tuple(accuracy for accuracy in accuracies if accuracy is not None),
                bounds=(0, 100),
            ),
            Panel(
                "Difference to none (points)",
                tuple(differences),
                _paper_gaps(row_of),
                baseline=0,
            ),
        ),
        point="one seed",
        inner="95 % over seeds",
        outer="95 % over seeds and test images",
        reference="the paper's difference (5-shot ImageNet, ViT-B/16)",
    )


def _difference(row: int, group: Group, none: Group, comparison: Comparison) -> Interval:
    shared = finite_seeds((group, none))
    each = group.correct(shared).mean(axis=1) - none.correct(shared).mean(axis=1)
    outer = comparison.interval and scaled(comparison.interval)
    return Interval(row, 100 * comparison.delta, None, outer, tuple(100 * each))


def _paper_gaps(row_of: dict[Key, int]) -> tuple[Reference, ...]:
    """One mark a cell; across all rows of a kind where the paper names no placement."""
    marks = []
    for (kind, place), share in table8().items():
        rows = [row for key, row in row_of.items() if key[0] == kind and place in (key[1], None)]
        if rows and kind != "none":
            gap = 100 * (share - table8()[NONE])
            marks.append(Reference(gap, min(rows), max(rows)))
    return tuple(marks)
