"""Tables, figure and notes of a data-size study."""

from __future__ import annotations

from vitexp.analysis.along_data import crossing, families_cross
from vitexp.analysis.decide import LOOKS
from vitexp.analysis.groups import Group
from vitexp.experiment.fractions import (
    Cells,
    Key,
    Pair,
    at_edge_words,
    cell_label,
    cells_span,
    crossing_words,
    curve_of,
    fraction_label,
    series_of,
    span_of,
)
from vitexp.experiment.looks import State, state
from vitexp.experiment.search import TUNED, Searches
from vitexp.models.count import macs
from vitexp.reporting.cells import accuracy_cell, lost_words
from vitexp.reporting.panels import SEED, chance, setting
from vitexp.reporting.report import Cell, CurveFigure, GridTable, Value
from vitexp.reporting.training import compute_limited, train_words
from vitexp.reporting.values import collapsed_words, ids, in_percent, top1_values
from vitexp.reporting.words import (
    FAMILIES,
    points,
)

COLUMNS = (
    *("model", "family", "macs", "fraction", "images", "steps", "n"),
    *("top1_mean", "top1_sd", "top1_low", "top1_high", "val_top1_mean", "train_top1_mean"),
    *("compute_limited", "run_ids"),
)


def tables(cells: Cells) -> tuple[GridTable, ...]:
    """Models by fractions; then the pairs with where they cross."""
    columns = tuple(f"{fraction_label(f)} ({cells.images(f)})" for f in cells.fractions)
    rows = tuple(
        (_model(cells, model), tuple(_cell(cells, (model, f)) for f in cells.fractions))
        for model in cells.models
    )
    grid = GridTable("Test top-1 in %", "model", columns, rows)
    pairs = tuple((Cell(pair.label), _pair_cells(cells, pair)) for pair in cells.pairs)
    compared = GridTable(
        "Differences in points", "pair", ("least data", "all data", "crosses at", "verdict"), pairs
    )
    return (grid, compared) if pairs else (grid,)


def _model(cells: Cells, model: str) -> Cell:
    spec = cells.spec(model)
    cost = macs(spec.model)
    recipe = f"lr {spec.recipe.lr:g}, wd {spec.recipe.weight_decay:g}"
    return Cell(model, ("" if cost is None else f"{cost / 1e6:.3g} M MACs", recipe))


def _cell(cells: Cells, key: Key) -> Cell:
    group = cells.groups.get(key)
    if group is None:
        return Cell("not run", tone="muted")
    if not group.done:
        return Cell("diverged", lost_words(group), "bad", group.runs)
    return accuracy_cell(group, (train_words(group), *lost_words(group)))


def _pair_cells(cells: Cells, pair: Pair) -> tuple[Cell, ...]:
    found = cells.difference(pair, least=2)
    matched = "" if pair.matched else "not matched in compute"
    if found is None:
        return (*(Cell("-") for _ in range(3)), Cell("no verdict", (f"needs {LOOKS[0]} seeds",)))
    d, fractions = found
    curve = curve_of(cells, pair)
    assert curve is not None
    ends = [f"{points(float(value))}" for value in (curve.values[0], curve.values[-1])]
    if d.shape[1] < LOOKS[0]:
        verdict = "no verdict"
    else:
        standing = families_cross(d, [fraction_label(f) for f in fractions]).standing
        verdict = {"SUPPORTED": "cross", "REFUTED": "cross the other way"}.get(
            standing, "not shown to cross"
        )
    first, last = (cells_span(curve, at) for at in (0, len(fractions) - 1))
    where = crossing_words(crossing(curve))
    return (
        Cell(ends[0], (first,)),
        Cell(ends[1], (last,)),
        Cell(where),
        Cell(verdict, (matched,) if matched else ()),
    )


def crosses(cells: Cells, pair: Pair) -> State:
    """How far the question is whether a pair crosses. Where its means do not, more seeds are not
    expected to show that it does."""
    found = cells.difference(pair)
    if found is None:
        lost = any(cells.groups[key].diverged for key in cells.keys(pair))
        return "diverged" if lost else "open"
    d, fractions = found
    finding = families_cross(d, [fraction_label(f) for f in fractions])
    if finding.standing != "INCONCLUSIVE":
        return "decided"
    return "impossible" if finding.outlook is None else state(finding.outlook)


def figure(cells: Cells, dataset: str) -> CurveFigure:
    """Accuracy over training images, a curve a model; where the pairs cross."""
    curves = [(pair, curve_of(cells, pair)) for pair in cells.pairs]
    single = all(len(group.done) < 2 for group in cells.groups.values())
    return CurveFigure(
        title=f"Accuracy against the amount of training data on {dataset}",
        x_axis="Training images",
        y_axis="Test top-1 (%)",
        series=tuple(
            series_of(cells, model, _name(cells, model), _family(cells, model))
            for model in cells.models
        ),
        ticks=tuple(
            (float(cells.images(f)), f"{cells.images(f):,}\n{fraction_label(f)}")
            for f in cells.fractions
        ),
        spans=tuple(span_of(pair, curve) for pair, curve in curves if curve is not None),
        remarks=_remarks(cells, single),
        band="" if single else "95 % over seeds",
        dot=SEED,
        setting=setting(cells.groups.values()),
        chance=chance(cells.groups.values()),
    )


def _remarks(cells: Cells, single: bool) -> tuple[str, ...]:
    limited = [f"{m} at {fraction_label(f)}" for (m, f) in _limited(cells)]
    remarks = []
    if single:
        remarks.append("A single seed: no intervals and no verdicts.")
    if limited:
        remarks.append(
            f"Compute-limited (train accuracy no better than test): {', '.join(limited)}."
        )
    return tuple(remarks)


def _limited(cells: Cells) -> list[Key]:
    return [key for key, group in cells.groups.items() if compute_limited(group) != "no"]


def _family(cells: Cells, model: str) -> str:
    return FAMILIES.get(cells.family(model), cells.family(model))


def _name(cells: Cells, model: str) -> str:
    return f"{_family(cells, model)} {model}, {cells.cost(model) / 1e6:.3g} M MACs"


def csv_rows(cells: Cells) -> tuple[dict[str, Value], ...]:
    """One row a cell; accuracies in percent."""
    return tuple(_row(cells, key, group) for key, group in cells.groups.items())


def _row(cells: Cells, key: Key, group: Group) -> dict[str, Value]:
    values: tuple[Value, ...] = (
        *(key[0], cells.family(key[0]), macs(group.spec.model), key[1], cells.images(key[1])),
        *(group.spec.recipe.steps, len(group.done)),
        *(*top1_values(group), in_percent(group.metric("train_top1").mean)),
        compute_limited(group),
        ids(group),
    )
    return dict(zip(COLUMNS, values, strict=True))


def notes(cells: Cells) -> tuple[str, ...]:
    """How to read the tables."""
    limited = _limited(cells)
    return (
        "A cell: mean ± half-width of the 95 % t interval over its n seeds (this test set), and"
        " the accuracy on training images. Subsets are stratified and nested, drawn by the run's"
        " seed, so that their luck is part of the seeds'; models share them.",
        "Pairs: difference at the two ends with its 95 % interval over seeds and test images, from"
        " that fraction's own variances; crosses at: every amount at which that interval holds 0,"
        " difference and seed variance linear in log images between fractions.",
        *(
            (
                f"Compute-limited: {', '.join(f'{m} at {fraction_label(f)}' for m, f in limited)}."
                " There more steps, not more data, may decide; do not read their order as one of"
                " data.",
            )
            if limited
            else ()
        ),
        *(
            (
                "Learning rates and weight decays are each model's best on validation, tried with"
                " the most data and a seed that is not reported.",
            )
            if _tuned(cells)
            else ()
        ),
        *at_edge_words(cells, *TUNED),
        *collapsed_words((cell_label(key), group) for key, group in cells.groups.items()),
    )


def _tuned(cells: Cells) -> bool:
    searches = Searches(cells.grid.tries, *TUNED)
    chosen = {model for (model, _), group in cells.groups.items() if searches.chose(group.records)}
    return chosen == set(cells.models)
