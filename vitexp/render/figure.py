"""Figures as PNG, SVG and PDF, the same bytes for the same figure; and how intervals are drawn."""

from __future__ import annotations

import io
import textwrap
import warnings
from collections.abc import Sequence
from itertools import pairwise

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D

from vitexp.render import confusion, curves, tiles, traces
from vitexp.render.style import COLOURS, MARKERS, STYLE, lay_out
from vitexp.reporting import report
from vitexp.reporting.report import (
    CurveFigure,
    Interval,
    IntervalFigure,
    MatrixFigure,
    PairsFigure,
    Panel,
    TilesFigure,
    TraceFigure,
)

_ROW, _GROUP_GAP = 0.27, 0.45  # inches; rows
_AXIS_CHARACTERS = 38  # a line of an axis's label


def drawn(figure: report.Figure) -> dict[str, bytes]:
    """File ending -> content: a PNG with 200 dots an inch, an SVG and a PDF."""
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        # A name in letters that the font lacks is drawn as boxes; the CSV has it.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        picture = draw(figure)
        if picture.get_layout_engine() is not None:
            lay_out(picture)
        return {
            "png": _saved(picture, "png", {"Software": None}),
            "svg": _saved(picture, "svg", {"Date": None, "Creator": None}),
            "pdf": _saved(picture, "pdf", {"CreationDate": None, "Creator": None}),
        }


def draw(figure: report.Figure) -> Figure:
    """Any figure of a report."""
    match figure:
        case TraceFigure():
            return traces.draw(figure)
        case CurveFigure():
            return curves.draw(figure)
        case MatrixFigure():
            return confusion.draw_matrix(figure)
        case PairsFigure():
            return confusion.draw_pairs(figure)
        case TilesFigure():
            return tiles.draw(figure)
        case IntervalFigure():
            return _intervals(figure)


def _intervals(figure: IntervalFigure) -> Figure:
    """A panel beside the other, rows from the top, a legend below."""
    heights = _heights(figure.rows)
    inches = (heights[-1] + 1) * _ROW + 1.65
    padding = ConstrainedLayoutEngine(h_pad=0.07, w_pad=0.09)
    picture = Figure(figsize=(7.4, inches), layout=padding)
    picture.suptitle(figure.title, fontsize=11, fontweight="bold")
    axes = picture.subplots(1, len(figure.panels), sharey=True, squeeze=False)[0]
    for axis, panel in zip(axes, figure.panels, strict=True):
        _panel(axis, panel, figure, heights)
    _row_labels(axes[0], figure.rows, heights)
    picture.legend(
        handles=_legend(figure), loc="outside lower center", ncols=2, fontsize=8, handlelength=2.2
    )
    return picture


def _saved(picture: Figure, kind: str, metadata: dict[str, None]) -> bytes:
    content = io.BytesIO()
    picture.savefig(content, format=kind, dpi=200, metadata=metadata)
    return content.getvalue()


def _heights(rows: Sequence[tuple[str, str]]) -> list[float]:
    """Where each row lies, counted in rows from the top, with a gap between groups."""
    heights = [0.0]
    for above, below in pairwise(rows):
        heights.append(heights[-1] + 1 + (_GROUP_GAP if above[0] != below[0] else 0))
    return heights


def _colours(rows: Sequence[tuple[str, str]]) -> dict[str, str]:
    groups = dict.fromkeys(group for group, _ in rows)
    return {group: COLOURS[index % len(COLOURS)] for index, group in enumerate(groups)}


def _markers(rows: Sequence[tuple[str, str]]) -> dict[str, str]:
    names = dict.fromkeys(series for _, series in rows)
    return {name: MARKERS[index % len(MARKERS)] for index, name in enumerate(names)}


def _panel(axis: Axes, panel: Panel, figure: IntervalFigure, heights: list[float]) -> None:
    colours, markers = _colours(figure.rows), _markers(figure.rows)
    for above, below in pairwise(range(len(heights))):
        if figure.rows[above][0] != figure.rows[below][0]:
            middle = (heights[above] + heights[below]) / 2
            axis.axhline(middle, color="0.88", linewidth=0.8, zorder=0)
    if panel.baseline is not None:
        axis.axvline(panel.baseline, color="0.5", linewidth=0.8, zorder=1)
    for mark in panel.references:
        ends = (heights[mark.first] - 0.42, heights[mark.last] + 0.42)
        axis.plot([mark.value] * 2, ends, color="black", linewidth=1.6, zorder=2)
    for interval in panel.intervals:
        group, series = figure.rows[interval.row]
        _interval(axis, interval, heights[interval.row], colours[group], markers[series])
    axis.set_xlabel(textwrap.fill(panel.axis, _AXIS_CHARACTERS))
    axis.set_ylim(heights[-1] + 0.65, -0.65)
    axis.grid(axis="x", color="0.92", linewidth=0.8, zorder=0)
    axis.set_axisbelow(True)
    axis.tick_params(axis="y", length=0)
    low, high = axis.get_xlim()
    # A little beyond a bound, so that a point on it is seen whole.
    beyond = 0.02 * (high - low)
    axis.set_xlim(max(low, panel.bounds[0] - beyond), min(high, panel.bounds[1] + beyond))
    axis.locator_params(axis="x", nbins=6)


def _interval(axis: Axes, interval: Interval, y: float, colour: str, marker: str) -> None:
    for ends, width in ((interval.outer, 1.1), (interval.inner, 3.2)):
        if ends is not None:
            axis.plot(ends, [y, y], color=colour, linewidth=width, solid_capstyle="butt", zorder=3)
    # Seeds lie below their interval, where nothing hides them.
    axis.plot(
        interval.points,
        [y + 0.31] * len(interval.points),
        linestyle="none",
        marker="o",
        markersize=2.8,
        markerfacecolor="none",
        markeredgecolor=colour,
        markeredgewidth=0.7,
        zorder=4,
    )
    axis.plot(
        [interval.mean],
        [y],
        marker=marker,
        markersize=6,
        color=colour,
        markeredgecolor="white",
        markeredgewidth=0.8,
        clip_on=False,
        zorder=5,
    )


def _row_labels(axis: Axes, rows: Sequence[tuple[str, str]], heights: list[float]) -> None:
    """Series at the ticks; each group's name, in its colour, left of them."""
    axis.set_yticks(heights, [series for _, series in rows])
    # Points: the longest tick label at this font size, and room.
    left = 5.0 * max(len(series) for _, series in rows) + 16
    for group, colour in _colours(rows).items():
        own = [height for height, row in zip(heights, rows, strict=True) if row[0] == group]
        axis.annotate(
            group,
            (0, (own[0] + own[-1]) / 2),
            xycoords=("axes fraction", "data"),
            xytext=(-left, 0),
            textcoords="offset points",
            color=colour,
            fontweight="bold",
            ha="right",
            va="center",
        )


def _legend(figure: IntervalFigure) -> list[Line2D]:
    grey = "0.25"
    handles = [
        Line2D([], [], color=grey, linewidth=3.2, label=figure.inner),
        Line2D([], [], color=grey, linewidth=1.1, label=figure.outer),
        Line2D(
            [],
            [],
            color=grey,
            linestyle="none",
            marker="o",
            markersize=2.8,
            markerfacecolor="none",
            label=figure.point,
        ),
        Line2D(
            [],
            [],
            color="black",
            linestyle="none",
            marker="|",
            markersize=8,
            markeredgewidth=1.6,
            label=figure.reference,
        ),
    ]
    return handles if figure.reference else handles[:-1]
