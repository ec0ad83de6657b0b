"""What fine-tuning reached, beside the runs that it started from."""

from __future__ import annotations

from collections.abc import Sequence

from vitexp.analysis.groups import Comparison, Group, compare
from vitexp.analysis.seeds import Sample
from vitexp.experiment.plan import Grid
from vitexp.experiment.search import Searches
from vitexp.reporting.cells import (
    accuracy_cell,
    gap_words,
    lost_words,
    mean_words,
    tone_of,
)
from vitexp.reporting.report import Cell, GridTable, Report, Value
from vitexp.reporting.values import compared_values, deciding_words, ids, in_percent, top1_values
from vitexp.reporting.words import (
    data_words,
    decimals,
    model_words,
    recipe_words,
)
from vitexp.runs.record import RunRecord
from vitexp.spec import FromFile, RunSpec

TUNED, PARENTS = ("fine-tuned",), ("pre-trained",)

FEW_SHOT = "few_shot_5_top1"
COLUMNS = (
    *("stage", "data", "image_size", "lr", "n", "top1_mean", "top1_sd", "top1_low", "top1_high"),
    *("val_top1_mean", "few_shot_5_mean", "delta_parent", "delta_low", "delta_high", "p"),
    *("verdict", "run_ids"),
)


def finetune_report(stem: str, grid: Grid) -> Report:
    """Table, rows and notes of one setting: the fine-tuned runs, their parents and the search."""
    tuned, before = grid[TUNED], grid.get(PARENTS)
    against = _against(tuned, before)
    spec = tuned.spec
    rows = [_row("fine-tuned", tuned, against)]
    if before is not None:
        rows.insert(0, _row("pre-trained", before, None))
    table = GridTable(
        title="Test top-1 in %",
        corner="stage",
        columns=("data", "test top-1", "5-shot probe"),
        rows=tuple(
            (Cell(name), _cells(group, comparison))
            for name, group, comparison in (
                *((("pre-trained", before, None),) if before is not None else ()),
                ("fine-tuned", tuned, against),
            )
        ),
    )
    return Report(
        stem=stem,
        title=f"Fine-tuned on {spec.data.name} at {spec.model.image_size} px: test top-1 in %",
        facts=_facts(tuned, before),
        tables=(table,),
        columns=COLUMNS,
        rows=tuple(rows),
        figures=(),
        claims=(),
        notes=(
            *_notes(tuned, before, grid.tries),
            *deciding_words((against,) if against else ()),
        ),
    )


def _same_test(tuned: Group, before: Group) -> bool:
    """Whether both were tested on the same images, if at other sizes."""
    one, other = tuned.spec.data, before.spec.data
    return all(
        getattr(one, name) == getattr(other, name)
        for name in ("source", "test", "split_seed", "classes")
    )


def _against(tuned: Group, before: Group | None) -> Comparison | None:
    """Fine-tuned against the parents, seed by seed; None where the test images differ."""
    if before is None or not _same_test(tuned, before):
        return None
    return compare({"fine-tuned": tuned}, before).get("fine-tuned")


def _few_shot(group: Group) -> Sample | None:
    measured = group.done and all(FEW_SHOT in record.metrics for record in group.done)
    return group.metric(FEW_SHOT) if measured else None


def _cells(group: Group, against: Comparison | None) -> tuple[Cell, ...]:
    spec, places = group.spec, decimals(group.images)
    gap = gap_words(against, places, " to pre-trained")
    return (
        Cell(f"{spec.data.name}, {spec.model.image_size} px"),
        accuracy_cell(group, (*lost_words(group), *gap), tone_of(against)),
        Cell(mean_words(_few_shot(group), places)),
    )


def _row(stage: str, group: Group, against: Comparison | None) -> dict[str, Value]:
    few, spec = _few_shot(group), group.spec
    values: tuple[Value, ...] = (
        *(stage, spec.data.name, spec.model.image_size, spec.recipe.lr, len(group.done)),
        *top1_values(group),
        in_percent(few.mean if few else None),
        *compared_values(against),
        ids(group),
    )
    return dict(zip(COLUMNS, values, strict=True))


def _facts(tuned: Group, before: Group | None) -> tuple[tuple[str, str], ...]:
    spec = tuned.spec
    params = tuned.records[0].metrics.get("params")
    return (
        ("data", data_words(spec)),
        ("model", model_words(spec, params)),
        ("recipe", recipe_words(spec)),
        ("starts from", _start(spec, before)),
    )


def _start(spec: RunSpec, before: Group | None) -> str:
    if isinstance(spec.init, FromFile):
        return f"{spec.init.path} (SHA-256 {spec.init.sha256[:16]})"
    if before is None:
        return f"run {spec.parent}"
    runs = ", ".join(record.id[:8] for record in before.records)
    return f"runs {runs}: {data_words(before.spec)}; {recipe_words(before.spec)}"


def _notes(tuned: Group, before: Group | None, search: Sequence[RunRecord]) -> tuple[str, ...]:
    notes = [
        "A cell: mean ± half-width of the 95 % t interval over its n seeds; fine-tuned seed s"
        " starts from pre-training seed s. 5-shot: a linear probe of the features, 3 draws of 5"
        " images a class."
    ]
    if isinstance(tuned.spec.init, FromFile):
        notes.append("All seeds start from one file: what is said here concerns that file.")
    elif before is not None and not _same_test(tuned, before):
        notes.append("The two rows are tested on different images and are not compared.")
    searches = Searches(search, "lr")
    if searches.chose(tuned.records):
        rates = sorted(record.spec.recipe.lr for record in search)
        best = tuned.spec.recipe.lr
        notes.append(
            f"Learning rate {best:g}: the best of {', '.join(f'{rate:g}' for rate in rates)} on"
            " validation, with a seed that is not reported."
        )
        if searches.edge(tuned.records):
            notes.append(f"{best:g} is at the edge of what was tried: try --rates beyond it.")
    return tuple(notes)
