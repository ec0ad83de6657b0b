"""Interval figures: rows of a value with its uncertainty, panels side by side."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vitexp.render import marks, style
from vitexp.render.view import View, views
from vitexp.reporting.report import IntervalFigure

_ROW, _GROUP_GAP = 0.27, 0.45  # inches; rows
_ROOM = 0.65  # rows above the first and below the last
# Characters: of all axes' labels in one line, of a row's label, of a line of a group's.
_AXIS, _LABEL, _GROUP = 66, 38, 18


@dataclass(frozen=True)
class _Look:
    height: float
    colour: str
    marker: str


def draw(figure: IntervalFigure) -> Figure:
    """Rows from the top, and below them what was measured and what the marks are called."""
    looks = _looks(figure)
    rows = looks[-1].height + 2 * _ROOM
    picture = style.sheet(figure.title, rows * _ROW + 2)
    shown = views(figure.panels)
    axes = picture.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    for axis, view in zip(axes, shown, strict=True):
        axis.set_xlabel(textwrap.fill(view.panel.axis, _AXIS // len(shown)))
        _axis(axis, view, rows)
        axis.locator_params(axis="x", nbins=5 if len(shown) < 3 else 4)
        _groups(axis, figure.rows, looks)
        _panel(axis, view, looks)
    _row_labels(axes[0], figure.rows, looks)
    columns = marks.legend(figure, shown)
    handles = [entry for column in columns for entry in column]
    style.caption(picture, [figure.setting], handles, len(columns))
    style.lay_out(picture, axes[:1], rows * _ROW)
    return picture


def _looks(figure: IntervalFigure) -> list[_Look]:
    """Of each row; heights are counted in rows from the top, with a gap between groups."""
    heights = [0.0]
    for above, below in pairwise(figure.rows):
        heights.append(heights[-1] + 1 + (_GROUP_GAP if above[0] != below[0] else 0))
    named = figure.looks or figure.rows
    colours = style.colours(colour for colour, _ in named)
    markers = style.markers(marker for _, marker in named)
    return [
        _Look(height, colours[colour], markers[marker])
        for height, (colour, marker) in zip(heights, named, strict=True)
    ]


def _axis(axis: Axes, view: View, rows: float) -> None:
    axis.set_xlim(view.limits)
    axis.set_ylim(rows - _ROOM, -_ROOM)
    axis.grid(axis="x", color="0.92", linewidth=0.8, zorder=0)
    axis.set_axisbelow(True)
    axis.tick_params(axis="y", length=0)
    if view.close:
        axis.set_facecolor("0.97")


def _groups(axis: Axes, rows: Sequence[tuple[str, str]], looks: Sequence[_Look]) -> None:
    for (above, one), (below, other) in pairwise(zip(rows, looks, strict=True)):
        if above[0] != below[0]:
            axis.axhline((one.height + other.height) / 2, color="0.88", linewidth=0.8, zorder=0)


def _panel(axis: Axes, view: View, looks: Sequence[_Look]) -> None:
    panel, low = view.panel, view.limits[0]
    if panel.baseline is not None:
        axis.axvline(panel.baseline, color="0.5", linewidth=0.8, zorder=1)
    if panel.chance is not None and view.shows(panel.chance):
        axis.axvline(panel.chance, **marks.CHANCE, zorder=1)
    for mark in panel.references:
        ends = (looks[mark.first].height - 0.42, looks[mark.last].height + 0.42)
        axis.plot([mark.value] * 2, ends, color="black", linewidth=1.6, zorder=2)
    for interval in panel.intervals:
        look = looks[interval.row]
        marks.interval(axis, interval, look.height, look.colour, look.marker)
        if not view.shows(interval.mean):
            marks.beyond(axis, look.height, look.colour, interval.mean < low)
    for row, text in panel.notes:
        place = low if panel.baseline is None else panel.baseline
        left = 2 * place > low + view.limits[1]
        axis.annotate(
            text,
            (place, looks[row].height),
            xytext=(-4 if left else 4, 0),
            textcoords="offset points",
            ha="right" if left else "left",
            va="center",
            fontsize=7.5,
            color="0.35",
        )


def _row_labels(axis: Axes, rows: Sequence[tuple[str, str]], looks: Sequence[_Look]) -> None:
    """Series at the ticks; each group's name, in its colour, left of them."""
    names = [style.short(series, _LABEL) for _, series in rows]
    axis.set_yticks([look.height for look in looks], names)
    # Points: the longest tick label at this font size, and room.
    left = 5.0 * max(map(len, names)) + 16
    own: dict[str, list[_Look]] = {}
    for (group, _), look in zip(rows, looks, strict=True):
        own.setdefault(group, []).append(look)
    for group, several in own.items():
        axis.annotate(
            textwrap.fill(style.short(group, 2 * _GROUP), _GROUP),
            (0, (several[0].height + several[-1].height) / 2),
            xycoords=("axes fraction", "data"),
            xytext=(-left, 0),
            textcoords="offset points",
            color=several[0].colour,
            fontweight="bold",
            ha="right",
            va="center",
        )
