"""What fine-tuning reached at each image size, with tables interpolated and with fresh ones."""

from __future__ import annotations

from collections.abc import Mapping

from vitexp.analysis.decide import LOOKS
from vitexp.analysis.findings import Standing
from vitexp.analysis.groups import Comparison, Group, compare
from vitexp.catalog import paper
from vitexp.positions import PAPER_POSITIONS
from vitexp.runs.record import Results, RunRecord
from vitexp.spec import FromRun
from vitexp.studies.grids import split
from vitexp.studies.pos_emb_cells import kind_label
from vitexp.studies.report import Cell, Claim, GridTable, Report, Tone, Value
from vitexp.studies.values import compared_values, ids, top1_values
from vitexp.studies.words import (
    data_words,
    decimals,
    model_words,
    p_value,
    percent,
    points,
    recipe_words,
    span,
)

Key = tuple[str, int, str]
"""(kind of position, image size, how its tables were made)."""

HOW = ("pre-trained", "learned", "fresh")
COLUMNS = (
    *("position", "image_size", "tables", "n", "top1_mean", "top1_sd", "top1_low", "top1_high"),
    *("val_top1_mean", "delta_fresh", "delta_low", "delta_high", "p", "verdict", "run_ids"),
)
_TONES: dict[str, Tone] = {"better": "good", "worse": "bad"}


def resolution_report(stem: str, grid: Results) -> Report:
    """Table, rows and the claim of one setting."""
    groups = {_key(part[0]): Group(part) for part in split(grid, _key)}
    against = _against_fresh(groups)
    columns = sorted({key[1:] for key in groups}, key=lambda c: (HOW.index(c[1]) > 0, *c))
    before = next(group.spec for key, group in groups.items() if key[2] == "pre-trained")
    tuned = next(group.spec for key, group in groups.items() if key[2] != "pre-trained")
    kinds = [kind for kind in PAPER_POSITIONS if any(key[0] == kind for key in groups)]
    return Report(
        stem=stem,
        title=f"Fine-tuning at larger sizes on {before.data.name}: test top-1 in %",
        facts=(
            ("data", data_words(before)),
            ("model", model_words(before)),
            ("pre-training", recipe_words(before)),
            ("fine-tuning", recipe_words(tuned)),
        ),
        tables=(
            GridTable(
                "Test top-1 in %",
                "position",
                tuple(f"{size} px, {how}" for size, how in columns),
                tuple(
                    (
                        Cell(kind_label(kind)),
                        tuple(_cell((kind, *column), groups, against) for column in columns),
                    )
                    for kind in kinds
                ),
            ),
        ),
        columns=COLUMNS,
        rows=tuple(_row(key, groups[key], against.get(key)) for key in sorted(groups)),
        figures=(),
        claims=(_claim(groups, against),),
        notes=(
            "A cell: mean ± half-width of the 95 % t interval over its n seeds. Learned: the"
            " tables of pre-training, interpolated where the grid is another; fresh: tables drawn"
            " anew. Below learned, its difference to fresh at that size in points, with its 95 %"
            " interval over seeds and test images. Fine-tuned seed s starts from pre-training"
            " seed s. Each p is of one cell, not adjusted for their number.",
            f"Every fine-tune has learning rate {tuned.recipe.lr:g}: it was not searched for.",
        ),
    )


def _key(record: RunRecord) -> Key:
    spec = record.spec
    how = spec.init.tables or "learned" if isinstance(spec.init, FromRun) else "pre-trained"
    return spec.position.kind, spec.model.image_size, how


def _against_fresh(groups: Mapping[Key, Group]) -> dict[Key, Comparison]:
    found: dict[Key, Comparison] = {}
    for key, group in groups.items():
        fresh = groups.get((*key[:2], "fresh"))
        if key[2] == "learned" and fresh is not None:
            found |= compare({key: group}, fresh)
    return found


def _cell(key: Key, groups: Mapping[Key, Group], against: Mapping[Key, Comparison]) -> Cell:
    if key not in groups:
        return Cell("N/A", tone="muted")
    group, comparison = groups[key], against.get(key)
    top1, places = group.metric("test_top1"), decimals(group.images)
    lost = (f"{group.diverged} of {len(group.records)} diverged",) if group.diverged else ()
    if top1.mean is None:
        return Cell("diverged", lost)
    half = "" if top1.half_width is None else f" ± {percent(top1.half_width, places)}"
    lines: tuple[str, ...] = ()
    verdict = ""
    if comparison is not None:
        lines = (points(comparison.delta, places),)
        if comparison.estimate is not None:
            lines = (f"{lines[0]} {span(*comparison.estimate.interval(), places)}",)
        if comparison.decision is not None:
            verdict = comparison.decision.verdict
            lines += (f"{verdict}, {p_value(comparison.decision.p_holm)}",)
    text = f"{percent(top1.mean, places)}{half}, n {top1.n}"
    return Cell(text, (*lost, *lines), _TONES.get(verdict, "plain"))


def _row(key: Key, group: Group, comparison: Comparison | None) -> dict[str, Value]:
    values = (*key, len(group.done), *top1_values(group), *compared_values(comparison), ids(group))
    return dict(zip(COLUMNS, values, strict=True))


def _claim(groups: Mapping[Key, Group], against: Mapping[Key, Comparison]) -> Claim:
    """PE9 for 1-D, the paper's default: interpolated beats fresh tables at every larger size."""
    said = paper.claims()["PE9"]
    tested = {key: c for key, c in sorted(against.items()) if key[0] == "learned_1d"}
    decisions = [c.decision.verdict for c in tested.values() if c.decision is not None]
    standing: Standing = "INCONCLUSIVE"
    if len(decisions) < max(1, len(tested)):
        standing = "NOT RUN"
    elif set(decisions) == {"better"}:
        standing = "SUPPORTED"
    elif set(decisions) == {"worse"}:
        standing = "REFUTED"
    evidence = "; ".join(
        f"at {key[1]} px interpolated 1-D tables against fresh ones {points(c.delta)}"
        + (f" {span(*c.estimate.interval())}" if c.estimate else "")
        + f", n {c.n}"
        for key, c in tested.items()
    )
    weakest = min(tested.values(), key=lambda c: c.delta, default=None)
    interval = weakest and weakest.estimate and weakest.estimate.interval()
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
