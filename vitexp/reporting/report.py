"""A study's answer as data: what the drawers of ``vitexp/render`` turn into tables and figures.

Texts are plain, in Unicode (``±``, ``−``, ``×``); a span between backticks is a command to type.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    # Not at run time: it brings scipy, and who only plans runs need not wait for that.
    from vitexp.analysis.findings import Standing

Value = str | int | float | None
Tone = Literal["plain", "good", "bad", "muted"]


@dataclass(frozen=True)
class Cell:
    """One field of a table.

    Attributes:
        text: its first line, the one that is read first.
        details: the lines below it.
        tone: what its colour says, where there is colour.
        runs: ids of the runs that it is a result of.
    """

    text: str
    details: tuple[str, ...] = ()
    tone: Tone = "plain"
    runs: tuple[str, ...] = ()

    @property
    def lines(self) -> tuple[str, ...]:
        return (self.text, *self.details)


@dataclass(frozen=True)
class GridTable:
    """A table of rows by columns.

    Attributes:
        corner: heading of the row labels.
        columns: headings of the others.
        rows: a label and one cell a column.
    """

    title: str
    corner: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, tuple[Cell, ...]], ...]


@dataclass(frozen=True)
class Claim:
    """A sentence of the paper with a verdict on it.

    Attributes:
        source: where the paper says it.
        evidence: effect, interval, n and margin, in sentences.
        settle: a sentence on what would settle an inconclusive one, or ``""``.
        runs: ids of the runs behind the verdict.
        effect, low, high: the effect and the interval that decided: a difference in points, or
            of the compute claims a ratio; None where there is none.
        n: seeds behind it, or of a ratio model sizes.
        dataset: name of the data set.
        grid: what tells its grid from the study's others on that data set, and ``"grid DIGITS"``;
            ``""`` where there is no other.
    """

    id: str
    sentence: str
    source: str
    standing: Standing
    evidence: str
    settle: str = ""
    runs: tuple[str, ...] = ()
    effect: float | None = None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    dataset: str = ""
    grid: str = ""

    @property
    def where(self) -> str:
        """The data set, and which grid on it."""
        return ", ".join(filter(None, (self.dataset, self.grid)))


@dataclass(frozen=True)
class Interval:
    """A value with its uncertainty, in the panel's unit.

    Attributes:
        row: index among the figure's rows.
        inner, outer: (low, high) of the thick and of the thin line.
        points: what the mean is of.
    """

    row: int
    mean: float
    inner: tuple[float, float] | None = None
    outer: tuple[float, float] | None = None
    points: tuple[float, ...] = ()


@dataclass(frozen=True)
class Reference:
    """A value from elsewhere, drawn for comparison across the rows ``first`` to ``last``."""

    value: float
    first: int
    last: int


@dataclass(frozen=True)
class Panel:
    """One axis of an :class:`IntervalFigure`.

    Attributes:
        axis: label with the unit.
        inner, outer: what the thick and the thin line are called in the legend.
        baseline: value of a line through all rows, which the intervals are differences to; None
            where they are no differences.
        bounds: values that cannot be passed.
        chance: what guessing gives, or None.
        notes: (row, text) of rows that have no interval here.
    """

    axis: str
    intervals: tuple[Interval, ...]
    inner: str
    outer: str
    references: tuple[Reference, ...] = ()
    baseline: float | None = None
    bounds: tuple[float, float] = (float("-inf"), float("inf"))
    chance: float | None = None
    notes: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True)
class IntervalFigure:
    """Rows of intervals, the same rows in each panel side by side.

    Attributes:
        rows: (group, series) of each row, from the top.
        point, reference: what these marks are called in the legend.
        setting: seeds, test images, model, steps and chance level behind it, in one line.
        looks: (colour, marker) of each row, as the name of what has it; empty: its group and
            its series.
        suffix: added to the report's stem for the file name.
    """

    title: str
    rows: tuple[tuple[str, str], ...]
    panels: tuple[Panel, ...]
    point: str
    reference: str = ""
    setting: str = ""
    looks: tuple[tuple[str, str], ...] = ()
    suffix: str = ""


@dataclass(frozen=True)
class Series:
    """Points of one kind over a number.

    Attributes:
        points: (x, y), x rising.
        band: (low, high) of each point's y, None where there is none; or empty.
        labels: what stands beside each point; or empty.
        dots: (x, y) of what the points are means of.
        fit: a smooth line through them, as (x, y).
        family: name of what has its colour; empty: its own.
    """

    name: str
    points: tuple[tuple[float, float], ...]
    band: tuple[tuple[float, float] | None, ...] = ()
    labels: tuple[str, ...] = ()
    dots: tuple[tuple[float, float], ...] = ()
    fit: tuple[tuple[float, float], ...] = ()
    family: str = ""


@dataclass(frozen=True)
class Span:
    """A place on the x axis with its interval; an end that is None is open."""

    label: str
    at: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class CurveFigure:
    """Series over a logarithmic axis.

    Attributes:
        joined: whether a series' points are joined by a line.
        ticks: (x, text) where the axis is labelled; empty leaves that to the drawer.
        spans: places on the x axis, drawn below the series.
        front: points that no other one beats, from left to right.
        remarks: what the figure says, below it.
        band, dot, fit: what these marks are called in the legend.
        setting: as of an :class:`IntervalFigure`.
        chance: what guessing gives, or None.
        suffix: added to the report's stem for the file name.
    """

    title: str
    x_axis: str
    y_axis: str
    series: tuple[Series, ...]
    joined: bool = True
    ticks: tuple[tuple[float, str], ...] = ()
    spans: tuple[Span, ...] = ()
    front: tuple[tuple[float, float], ...] = ()
    remarks: tuple[str, ...] = ()
    band: str = ""
    dot: str = ""
    fit: str = ""
    setting: str = ""
    chance: float | None = None
    suffix: str = ""


@dataclass(frozen=True)
class TracePanel:
    """Lines over a shared axis. Series of one name look alike.

    Attributes:
        y_axis: its label.
        series: the lines.
    """

    y_axis: str
    series: tuple[Series, ...]


@dataclass(frozen=True)
class TraceFigure:
    """Panels, one below the other, over one linear axis.

    Attributes:
        setting: as of an :class:`IntervalFigure`.
        families: (name, what has its colour) of the lines; empty: each name has its own.
        suffix: of the file name, before the ending.
    """

    title: str
    x_axis: str
    panels: tuple[TracePanel, ...]
    setting: str = ""
    families: tuple[tuple[str, str], ...] = ()
    suffix: str = ""


@dataclass(frozen=True)
class MatrixFigure:
    """How often images of each class are taken for each class.

    Attributes:
        names: of the classes, from anybody.
        counts: a row a true class, a number of images a predicted one.
        remarks: what the figure says, below it.
    """

    title: str
    names: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    remarks: tuple[str, ...] = ()
    suffix: str = ""


@dataclass(frozen=True)
class Pair:
    """So many ``images`` ``of`` those of one class that are taken for another."""

    true: str
    predicted: str
    images: int
    of: int


@dataclass(frozen=True)
class PairsFigure:
    """The classes that are taken for others most often, of too many for a matrix."""

    title: str
    pairs: tuple[Pair, ...]
    remarks: tuple[str, ...] = ()
    suffix: str = ""


@dataclass(frozen=True)
class Tile:
    """An image and what is said of it.

    Attributes:
        pixels: uint8, (height, width, 1 or 3).
        lines: below it; of several the last is what counts.
    """

    pixels: np.ndarray
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class TilesFigure:
    """Images side by side, ``columns`` of them a row."""

    title: str
    tiles: tuple[Tile, ...]
    remarks: tuple[str, ...] = ()
    columns: int = 6
    suffix: str = ""


@dataclass(frozen=True)
class MosaicFigure:
    """How alike each two places of a square grid are.

    Attributes:
        panels: (name, cosines), float, (S, S, S, S): of the place in the first row and column with
            that in the second.
    """

    title: str
    panels: tuple[tuple[str, np.ndarray], ...]
    remarks: tuple[str, ...] = ()
    suffix: str = ""


@dataclass(frozen=True)
class HeadsPanel:
    """What was measured of the heads of a model, or of the same model from several seeds.

    Attributes:
        values: (layers, heads), rising within a layer.
        spread: the lowest and the highest seed of each of them; None of one seed.
        uniform: what a head has that attends to all alike.
    """

    name: str
    values: np.ndarray
    spread: tuple[np.ndarray, np.ndarray] | None
    uniform: float


@dataclass(frozen=True)
class HeadsFigure:
    """Panels side by side: a value a head over the layers."""

    title: str
    y_axis: str
    panels: tuple[HeadsPanel, ...]
    remarks: tuple[str, ...] = ()
    suffix: str = ""


Figure = (
    IntervalFigure
    | CurveFigure
    | TraceFigure
    | MatrixFigure
    | PairsFigure
    | TilesFigure
    | MosaicFigure
    | HeadsFigure
)


@dataclass(frozen=True)
class Report:
    """All that a study has to say about one grid of runs.

    Attributes:
        stem: file name, without ending, of its tables and figures.
        facts: (name, value) of the setting: data, model, recipe, ...
        columns, rows: the long form, for CSV; every row has these columns.
        notes: how to read the tables, and what they cannot show.
        headline: what was found, what is open, what to type next: three lines at most.
    """

    stem: str
    title: str
    facts: tuple[tuple[str, str], ...]
    tables: tuple[GridTable, ...]
    columns: tuple[str, ...]
    rows: tuple[dict[str, Value], ...]
    figures: tuple[Figure, ...]
    claims: tuple[Claim, ...]
    notes: tuple[str, ...]
    headline: tuple[str, ...] = ()
