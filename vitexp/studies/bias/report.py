"""Table, figures and notes of the study of inductive bias."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import fmean

from vitexp.analysis.groups import Group
from vitexp.analysis.seeds import sample
from vitexp.experiment.fractions import Cells, Key, cell_label, fraction_label, series_of
from vitexp.models.count import macs
from vitexp.reporting.cells import lost_words, mean_words
from vitexp.reporting.panels import SEED, setting
from vitexp.reporting.report import (
    Cell,
    CurveFigure,
    Figure,
    GridTable,
    Series,
    TraceFigure,
    TracePanel,
    Value,
)
from vitexp.reporting.values import collapsed_words, ids
from vitexp.reporting.words import FAMILIES, percent

COLUMNS = (
    *("model", "family", "macs", "fraction", "images", "steps", "n"),
    *("measure", "mean", "sd", "low", "high", "run_ids"),
)


@dataclass(frozen=True)
class Column:
    """A measure in the table.

    Attributes:
        head: of the column.
        beside: a measure that stands below it, and what it is called.
    """

    head: str
    name: str
    beside: tuple[str, str] | None = None


STAYS = (
    Column("top-1", "top1"),
    Column("shifted", "shift", ("top-1", "shift_top1")),
    Column("shuffled", "shuffle", ("top-1", "shuffle_top1")),
    Column("hidden", "hidden", ("top-1", "hidden_top1")),
)
NEAR = (
    Column("map", "map_shift"),
    Column("hidden near", "hidden_near", ("far", "hidden_far")),
    Column("depends", "reach", ("in 1/4", "within_2")),
    Column("near head", "attention_1_near", ("far", "attention_1_far")),
)


def _is_share(name: str) -> bool:
    """Whether a measure cannot leave the range from 0 to 1."""
    far = (
        "map_",
        "hidden_near",
        "hidden_far",
        "reach",
        "attention_",
        "plane_rows",
        "plane_columns",
    )
    return not name.startswith(far)


def tables(cells: Cells) -> tuple[GridTable, GridTable]:
    """A row a model and fraction, a column a measure."""
    return (
        _table(cells, "Same class when the image is changed, in %", STAYS),
        _table(cells, "How maps go along and how near what matters is, in %", NEAR),
    )


def _table(cells: Cells, title: str, columns: tuple[Column, ...]) -> GridTable:
    rows = tuple(
        (
            Cell(key[0], (f"{fraction_label(key[1])}, n {len(group.done)}", *lost_words(group))),
            tuple(_cell(group, column) for column in columns),
        )
        for key, group in cells.groups.items()
    )
    return GridTable(title, "model", tuple(column.head for column in columns), rows)


def _cell(group: Group, column: Column) -> Cell:
    own = group.measured(column.name)
    if not own:
        return Cell("-", tone="muted")
    beside: tuple[str, ...] = ()
    if column.beside:
        label, name = column.beside
        beside = (f"{label} {percent(fmean(group.measured(name)))}",)
    return Cell(mean_words(sample(own, shares=_is_share(column.name)), 1), beside)


def csv_rows(cells: Cells) -> tuple[dict[str, Value], ...]:
    """One row a cell and measure; shares as shares."""
    return tuple(
        row
        for key, group in cells.groups.items()
        for name in _names(group)
        for row in [_row(cells, key, group, name)]
    )


def _names(group: Group) -> list[str]:
    found = group.measurements(record.spec.seed for record in group.done)
    return list(found[0].values) if found else []


def _row(cells: Cells, key: Key, group: Group, name: str) -> dict[str, Value]:
    found = sample(group.measured(name), shares=_is_share(name))
    values: tuple[Value, ...] = (
        *(key[0], cells.family(key[0]), macs(group.spec.model), key[1], cells.images(key[1])),
        *(group.spec.recipe.steps, len(group.done), name),
        *(_short(value) for value in (found.mean, found.sd, found.low, found.high)),
        ids(group),
    )
    return dict(zip(COLUMNS, values, strict=True))


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.5g}")


def figures(cells: Cells) -> tuple[Figure, ...]:
    """Invariance by data; by the pixels of the shift; what cells depend on by distance."""
    told = setting(cells.groups.values())
    by_data = CurveFigure(
        title=f"Same class after a circular shift, by training data, on {cells.data}",
        x_axis="Training images",
        y_axis="Same class (%)",
        series=tuple(
            series_of(cells, model, _named(cells, model), _family(cells, model), _shift)
            for model in cells.models
        ),
        ticks=tuple(
            (float(cells.images(f)), f"{cells.images(f):,}\n{fraction_label(f)}")
            for f in cells.fractions
        ),
        band="95 % over seeds",
        dot=SEED,
        setting=told,
        remarks=("A mean over shifts of 1 pixel to half of the side, in four directions.",),
    )
    by_shift = TraceFigure(
        f"What a circular shift leaves as it was, on {cells.data}",
        "shift (pixels)",
        (
            TracePanel("same class (%)", _lines(cells, "shift_", lambda k: k)),
            TracePanel("map goes along (100 r)", _lines(cells, "map_shift_", lambda k: k)),
        ),
        f"Bars: 95 % over seeds. {told}",
        _looks(cells),
        "-shifts",
    )
    by_distance = TraceFigure(
        f"How near the pixels are on which a cell of the map depends, on {cells.data}",
        "within this distance (% of the side)",
        (TracePanel("share of the dependence (%)", _lines(cells, "within_", lambda n: 12.5 * n)),),
        f"Bars: 95 % over seeds. {told}",
        _looks(cells),
        "-reach",
    )
    # Models of one's own may have no map.
    return (by_data, by_shift, *([by_distance] if by_distance.panels[0].series else []))


def _shift(group: Group) -> list[float]:
    return group.measured("shift")


def _family(cells: Cells, model: str) -> str:
    return FAMILIES.get(cells.family(model), cells.family(model))


def _named(cells: Cells, model: str) -> str:
    return f"{_family(cells, model)} {model}"


def _ends(cells: Cells) -> list[Key]:
    """Each model's cells with the least and the most data."""
    ends = dict.fromkeys((cells.fractions[0], cells.fractions[-1]))
    return [key for key in cells.groups if key[1] in ends and cells.groups[key].done]


def _line(cells: Cells, key: Key) -> str:
    return f"{_named(cells, key[0])} at {fraction_label(key[1])}"


def _looks(cells: Cells) -> tuple[tuple[str, str], ...]:
    return tuple((_line(cells, key), _family(cells, key[0])) for key in _ends(cells))


def _lines(cells: Cells, stem: str, x: Callable[[int], float]) -> tuple[Series, ...]:
    """The measures ``stem`` with a number behind it, over that number."""
    found = []
    for key in _ends(cells):
        group = cells.groups[key]
        numbers = _counted(stem, _names(group))
        each = [sample(group.measured(f"{stem}{n}"), shares=_is_share(stem)) for n in numbers]
        points = [
            (x(n), 100 * s.mean) for n, s in zip(numbers, each, strict=True) if s.mean is not None
        ]
        bands = [
            None if s.low is None or s.high is None else (100 * s.low, 100 * s.high) for s in each
        ]
        found.append(Series(_line(cells, key), tuple(points), tuple(bands)))
    return tuple(line for line in found if line.points)


def _counted(stem: str, names: Iterable[str]) -> list[int]:
    ends = (name.removeprefix(stem) for name in names if name.startswith(stem))
    return sorted(int(end) for end in ends if end.isdigit())


def notes(cells: Cells) -> tuple[str, ...]:
    """How to read the tables."""
    return (
        "A cell: mean ± half-width of the 95 % t interval over its n seeds, on this test set; below"
        " it the mean of what is named. top-1 is of the images that are looked at.",
        "shifted, shuffled, hidden: how often the class is the same after a circular shift of 1"
        " pixel to half of the side in four directions, with the tiles of the image in four other"
        " orders, with each tile in grey in turn. A model that is often wrong in the same way may"
        " be invariant, too: read top-1 beside it.",
        "map: the correlation of the map of a shifted image with the shifted map, each"
        " channel around its mean, linear between cells; 100 where it is equivariant. The map is"
        " what the last block reads of the patches, of a ResNet what is averaged for its head.",
        "hidden near, far: how much cells within a quarter of the side of a hidden tile change, and"
        " those beyond half of it, over what two cells differ by. depends: the mean distance of the"
        " pixels on which a cell depends, by squared gradient, over that of all pixels. near"
        " head, far: the distance of the nearest and the farthest of the first layer, over that of"
        " equal attention to all.",
        *collapsed_words((cell_label(key), group) for key, group in cells.groups.items()),
    )
