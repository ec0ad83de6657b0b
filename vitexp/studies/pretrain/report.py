"""Where pre-training pays: tables, figure and the verdict at each size of the target."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from vitexp.analysis.decide import LOOKS
from vitexp.analysis.groups import Comparison, Group, compare_pairs
from vitexp.experiment.fractions import (
    Cells,
    Key,
    Pair,
    at_edge_words,
    cell_label,
    curve_of,
    fraction_label,
    series_of,
    span_of,
)
from vitexp.experiment.plan import Grid
from vitexp.reporting.cells import accuracy_cell, accuracy_words, gap_cell, lost_words
from vitexp.reporting.panels import SEED, chance, setting
from vitexp.reporting.report import Cell, CurveFigure, GridTable, Report, Span, Value
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
from vitexp.studies.pretrain.cells import (
    ARMS,
    FINE_TUNED,
    PARENTS,
    PROBED,
    SCRATCH,
    cells_of,
)

PAIRS = ((FINE_TUNED, SCRATCH), (PROBED, SCRATCH), (FINE_TUNED, PROBED))

COLUMNS = (
    *("way", "fraction", "images", "lr", "n", "top1_mean", "top1_sd", "top1_low", "top1_high"),
    *("val_top1_mean", "delta_scratch", "delta_low", "delta_high", "p_adjusted", "verdict"),
    *("best", "run_ids"),
)

Compared = Mapping[tuple[float, str, str], Comparison]
"""(fraction, a, b) -> a against b."""


def pretrain_report(stem: str, grid: Grid) -> Report:
    """Tables, figure, rows and notes of one setting."""
    cells, before = cells_of(grid), grid[PARENTS]
    compared = compare_pairs(
        {
            (f, a, b): (cells.groups[a, f], cells.groups[b, f])
            for f in cells.fractions
            for a, b in PAIRS
            if (a, f) in cells.groups and (b, f) in cells.groups
        }
    )
    target = max((group.spec for group in cells.groups.values()), key=lambda s: s.data.used)
    title = f"Pre-trained on {before.spec.data.name}, then {target.data.name}: test top-1 in %"
    verdicts = [f"{fraction_label(f)}: {best(f, cells, compared)}" for f in cells.fractions]
    return Report(
        stem=stem,
        title=title,
        facts=(
            ("source", f"{data_words(before.spec)}; test top-1 {accuracy_words(before)}"),
            ("target", data_words(target)),
            ("model", model_words(before.spec, before.records[0].metrics.get("params"))),
            ("pre-training", recipe_words(before.spec)),
            *(("fine-tuning", recipe_words(g.spec)) for g in _largest(cells, FINE_TUNED)),
            ("best", "; ".join(verdicts)),
        ),
        tables=(_accuracies(cells, compared), _differences(cells, compared)),
        columns=COLUMNS,
        rows=tuple(_row(key, cells, compared) for key in cells.groups),
        figures=(_figure(title, cells, verdicts),),
        claims=(),
        notes=_notes(cells, compared),
    )


def best(fraction: float, cells: Cells, compared: Compared) -> str:
    """The way that beats the others at one size, or those of which none is shown to be beaten."""
    here = [arm for arm in ARMS if (arm, fraction) in cells.groups]
    beaten = {
        arm: {b for a, b in _beats(fraction, compared) if a == arm and b in here} for arm in here
    }
    winner = [arm for arm in here if len(beaten[arm]) == len(here) - 1]
    if winner:
        return winner[0]
    left = [arm for arm in here if arm not in set().union(*beaten.values())]
    return f"undecided ({', '.join(left)})" if len(left) < len(here) else "undecided"


def _beats(fraction: float, compared: Compared) -> list[tuple[str, str]]:
    """(winner, loser) of every pair with a verdict."""
    found = []
    for (f, a, b), comparison in compared.items():
        verdict = comparison.decision.verdict if comparison.decision else "undecided"
        if f == fraction and verdict != "undecided":
            found.append((a, b) if verdict == "better" else (b, a))
    return found


def _largest(cells: Cells, arm: str) -> list[Group]:
    """The group of an arm with the most images, if there is one."""
    return [cells.groups[key] for key in cells.groups if key[0] == arm][-1:]


def _size(cells: Cells, fraction: float) -> Cell:
    return Cell(f"{fraction_label(fraction)} ({cells.images(fraction)})")


def _accuracies(cells: Cells, compared: Compared) -> GridTable:
    rows = tuple(
        (
            _size(cells, f),
            (*(_cell(cells, (arm, f)) for arm in ARMS), Cell(best(f, cells, compared))),
        )
        for f in cells.fractions
    )
    return GridTable("Test top-1 in %", "target images", (*ARMS, "best"), rows)


def _cell(cells: Cells, key: Key) -> Cell:
    group = cells.groups.get(key)
    if group is None:
        return Cell("not run", tone="muted")
    rate = () if key[0] == PROBED else (f"lr {group.spec.recipe.lr:g}",)
    return accuracy_cell(group, (*rate, *lost_words(group)))


def _differences(cells: Cells, compared: Compared) -> GridTable:
    rows = tuple(
        (_size(cells, f), tuple(_difference(cells, compared.get((f, a, b))) for a, b in PAIRS))
        for f in cells.fractions
    )
    names = tuple(f"{a} − {b}" for a, b in PAIRS)
    return GridTable("Differences in points", "target images", names, rows)


def _difference(cells: Cells, comparison: Comparison | None) -> Cell:
    if comparison is None:
        return Cell("no seed in common", tone="muted")
    return gap_cell(comparison, decimals(next(iter(cells.groups.values())).images))


def _row(key: Key, cells: Cells, compared: Compared) -> dict[str, Value]:
    (arm, fraction), group = key, cells.groups[key]
    values: tuple[Value, ...] = (
        *(arm, fraction, cells.images(fraction), group.spec.recipe.lr, len(group.done)),
        *top1_values(group),
        *compared_values(compared.get((fraction, arm, SCRATCH))),
        best(fraction, cells, compared),
        ids(group),
    )
    return dict(zip(COLUMNS, values, strict=True))


def _figure(title: str, cells: Cells, verdicts: list[str]) -> CurveFigure:
    return CurveFigure(
        title=title.removesuffix(": test top-1 in %"),
        x_axis="Training images of the target",
        y_axis="Test top-1 (%)",
        series=tuple(series_of(cells, arm, arm) for arm in cells.models),
        ticks=tuple(
            (float(cells.images(f)), f"{cells.images(f):,}\n{fraction_label(f)}")
            for f in cells.fractions
        ),
        spans=tuple(_spans(cells)),
        remarks=(f"Best: {'; '.join(verdicts)}.",),
        band="95 % over seeds",
        dot=SEED,
        setting=setting(cells.groups.values()),
        chance=chance(cells.groups.values()),
    )


def _spans(cells: Cells) -> Iterator[Span]:
    """Where training from scratch overtakes each other way, or is overtaken."""
    for arm in (FINE_TUNED, PROBED):
        pair = Pair(SCRATCH, arm, True)
        curve = curve_of(cells, pair) if arm in cells.models else None
        if curve is not None and curve.values[0] > 0:
            pair = Pair(arm, SCRATCH, True)
            curve = curve_of(cells, pair)
        if curve is not None:
            yield span_of(pair, curve)


def _notes(cells: Cells, compared: Compared) -> tuple[str, ...]:
    spec = next(iter(cells.groups.values())).spec
    seeds = min(comparison.n for comparison in compared.values()) if compared else 0
    more = next((look for look in LOOKS if look > seeds), None)
    still = [fraction_label(f) for f in cells.fractions if best(f, cells, compared) not in ARMS]
    settle = ""
    if still and more is not None:
        command = cells.grid.more(min(next(iter(cells.groups.values())).seeds), more)
        settle = f" Open at {', '.join(still)}: {command} may settle it."
    return (
        "A cell: mean ± half-width of the 95 % t interval over its n seeds. The three ways learn"
        " from the same target images, nested and stratified, drawn by the run's seed; seed s"
        " starts from pre-training seed s. Linear probe: ridge regression on the features.",
        "Differences: over seeds and test images. Best: the way with a verdict over both others."
        + settle,
        *deciding_words(compared.values()),
        "Learning rates are each size's best on validation, tried with a seed that is not reported;"
        " the step whose weights are kept and the probe's penalty are the best on validation, too."
        f" Validation has all its {spec.data.val} images at every size, more than the smallest"
        " sizes would have in practice.",
        *at_edge_words(cells, "lr"),
        *collapsed_words((cell_label(key), group) for key, group in cells.groups.items()),
    )
