"""What fine-tuning reached at each image size, with tables interpolated and with fresh ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from vitexp.analysis.decide import LOOKS
from vitexp.analysis.findings import Standing
from vitexp.analysis.groups import Comparison, Group, compare
from vitexp.catalog import paper
from vitexp.experiment.plan import Grid
from vitexp.positions import PAPER_POSITIONS
from vitexp.reporting.cells import accuracy_cell, gap_words, lost_words, tone_of
from vitexp.reporting.panels import SEED, accuracy_panel, setting
from vitexp.reporting.report import (
    Cell,
    Claim,
    GridTable,
    IntervalFigure,
    Panel,
    Report,
    Value,
)
from vitexp.reporting.values import (
    compared_values,
    deciding_words,
    difference_words,
    ids,
    top1_values,
)
from vitexp.reporting.words import (
    data_words,
    decimals,
    kind_label,
    model_words,
    recipe_words,
)

Key = tuple[str, int, str, str]
"""(kind of position, image size, how its tables were made, stage)."""

HOW = PARENT, *_ = ("pre-trained", "learned", "fresh")
BEFORE, AFTER = "not tuned", "fine-tuned"
COLUMNS = (
    *(
        "position",
        "image_size",
        "tables",
        "stage",
        "n",
        "top1_mean",
        "top1_sd",
        "top1_low",
        "top1_high",
    ),
    *("val_top1_mean", "delta_fresh", "delta_low", "delta_high", "p", "verdict", "run_ids"),
)
PE9 = "learned_1d", AFTER
"""What the claim is about: the paper's default signal, fine-tuned."""


def resolution_report(stem: str, grid: Grid) -> Report:
    """Table, rows and the claim of one setting."""
    groups: Mapping[Key, Group] = grid
    against = _against_fresh(groups)
    before = next(group.spec for key, group in groups.items() if key[2] == PARENT)
    tuned = next(group.spec for key, group in groups.items() if key[3] == AFTER)
    title = f"Fine-tuning at larger sizes on {before.data.name}"
    return Report(
        stem=stem,
        title=f"{title}: test top-1 in %",
        facts=(
            ("data", data_words(before)),
            ("model", model_words(before)),
            ("pre-training", recipe_words(before)),
            ("fine-tuning", recipe_words(tuned)),
        ),
        tables=tuple(_tables(groups, against)),
        columns=COLUMNS,
        rows=tuple(_row(key, groups[key], against.get(key)) for key in sorted(groups)),
        figures=(_figure(title, groups),),
        claims=(_claim(groups, against),),
        notes=(
            "A cell: mean ± half-width of the 95 % t interval over its n seeds. Learned: the"
            " tables of pre-training, interpolated where the grid is another; fresh: tables drawn"
            " anew; not tuned: as pre-trained, with the old head. Below learned, its difference to"
            " fresh at that size in points, over seeds and test images. Fine-tuned seed s starts"
            " from pre-training seed s. Each difference is decided by itself.",
            *deciding_words(against.values()),
            f"Every fine-tune has learning rate {tuned.recipe.lr:g}: it was not searched for.",
        ),
    )


def _kinds(groups: Iterable[Key]) -> list[str]:
    """The kinds of position, in the paper's order."""
    found = {key[0] for key in groups}
    return [kind for kind in PAPER_POSITIONS if kind in found]


def _tables(groups: Mapping[Key, Group], against: Mapping[Key, Comparison]) -> Iterable[GridTable]:
    """What fine-tuning reached, beside pre-training; then what was there before it."""
    titles = {AFTER: "Fine-tuned: test top-1 in %", BEFORE: "Not tuned: test top-1 in %"}
    for stage, title in titles.items():
        columns = sorted(
            {key[1:] for key in groups if key[3] == stage or key[2] == PARENT},
            key=lambda c: (HOW.index(c[1]) > 0, *c),
        )
        names = tuple(_name(*column) for column in columns)
        rows = tuple(
            (
                Cell(kind_label(kind)),
                tuple(_cell((kind, *column), groups, against) for column in columns),
            )
            for kind in _kinds(groups)
        )
        if len(columns) > 1:
            yield GridTable(title, "position", names, rows)


def _name(size: int, how: str, stage: str) -> str:
    untuned = stage == BEFORE and how != PARENT
    return f"{size} px, {how}{f', {BEFORE}' if untuned else ''}"


def _figure(title: str, groups: Mapping[Key, Group]) -> IntervalFigure:
    """Sizes and tables as rows of each position; before and after fine-tuning side by side."""
    cells = sorted(
        {(key[0], key[1], "learned" if key[2] == PARENT else key[2]) for key in groups},
        key=lambda cell: (PAPER_POSITIONS.index(cell[0]), cell[1], HOW.index(cell[2])),
    )

    def panel(axis: str, stage: str) -> Panel:
        found = {
            row: group
            for row, (kind, size, how) in enumerate(cells)
            for made in ((how, PARENT) if how == "learned" else (how,))
            if (group := groups.get((kind, size, made, stage)))
        }
        return accuracy_panel(found, axis)

    return IntervalFigure(
        title=title,
        rows=tuple((kind_label(kind), f"{size} px, {how}") for kind, size, how in cells),
        panels=(
            panel("Not tuned: test top-1 (%)", BEFORE),
            panel("Fine-tuned: test top-1 (%)", AFTER),
        ),
        point=SEED,
        setting=setting(groups.values()),
    )


def _against_fresh(groups: Mapping[Key, Group]) -> dict[Key, Comparison]:
    found: dict[Key, Comparison] = {}
    for key, group in groups.items():
        fresh = groups.get((*key[:2], "fresh", key[3]))
        if key[2] == "learned" and fresh is not None:
            found |= compare({key: group}, fresh)
    return found


def _cell(key: Key, groups: Mapping[Key, Group], against: Mapping[Key, Comparison]) -> Cell:
    if key not in groups:
        return Cell("N/A", tone="muted")
    group, comparison = groups[key], against.get(key)
    gap = gap_words(comparison, decimals(group.images))
    return accuracy_cell(group, (*lost_words(group), *gap), tone_of(comparison))


def _row(key: Key, group: Group, comparison: Comparison | None) -> dict[str, Value]:
    values = (*key, len(group.done), *top1_values(group), *compared_values(comparison), ids(group))
    return dict(zip(COLUMNS, values, strict=True))


def _claim(groups: Mapping[Key, Group], against: Mapping[Key, Comparison]) -> Claim:
    """PE9 for 1-D, the paper's default: interpolated beats fresh tables at every larger size."""
    said = paper.claims()["PE9"]
    tested = {key: c for key, c in sorted(against.items()) if (key[0], key[3]) == PE9}
    decisions = [c.decision.verdict for c in tested.values() if c.decision is not None]
    standing: Standing = "INCONCLUSIVE"
    if len(decisions) < max(1, len(tested)):
        standing = "NOT RUN"
    elif set(decisions) == {"better"}:
        standing = "SUPPORTED"
    elif set(decisions) == {"worse"}:
        standing = "REFUTED"
    evidence = "; ".join(
        f"at {key[1]} px interpolated 1-D tables against fresh ones {difference_words(c, 1)},"
        f" n {c.n}"
        for key, c in tested.items()
    )
    weakest = min(tested.values(), key=lambda c: c.delta, default=None)
    interval = weakest and weakest.shown[1]
    low, high = (100 * end for end in interval) if interval else (None, None)
    needs = f"needs {LOOKS[0]} seeds of interpolated and of fresh 1-D tables"
    return Claim(
        "PE9",
        said.sentence,
        said.source,
        standing,
        f"{evidence or needs}.".replace("at ", "At ", 1) if evidence else f"N{needs[1:]}.",
        runs=tuple(record.id for key in tested for record in groups[key].records),
        effect=100 * weakest.delta if weakest else None,
        low=low,
        high=high,
        n=weakest.n if weakest else None,
        dataset=next(iter(groups.values())).spec.data.name,
    )
