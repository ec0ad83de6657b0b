"""Interval figures: rows of a value with its uncertainty, panels side by side."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, zip_longest
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from vitexp.render import style
from vitexp.render.view import View, views
from vitexp.reporting.report import Interval, IntervalFigure

_ROW, _GROUP_GAP = 0.27, 0.45  # inches; rows
_ROOM = 0.65  # rows above the first and below the last
# Characters: of all axes' labels in one line, of a row's label, of a line of a group's.
_AXIS, _LABEL, _GROUP = 66, 38, 18
_THIN, _CAP, _THICK = 1.0, 8.0, 3.2  # points
_SEED: dict[str, Any] = {
    "linestyle": "none",
    "marker": "o",
    "markersize": 2.8,
    "markerfacecolor": "none",
}


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
    columns = _legend(figure, shown)
    handles = [mark for column in columns for mark in column]
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
        axis.axvline(panel.chance, color="0.5", linewidth=1.0, linestyle=":", zorder=1)
    for mark in panel.references:
        ends = (looks[mark.first].height - 0.42, looks[mark.last].height + 0.42)
        axis.plot([mark.value] * 2, ends, color="black", linewidth=1.6, zorder=2)
    for interval in panel.intervals:
        _interval(axis, interval, looks[interval.row])
        if not view.shows(interval.mean):
            _beyond(axis, looks[interval.row], interval.mean < low)
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


def _interval(axis: Axes, interval: Interval, look: _Look) -> None:
    y, colour = look.height, look.colour
    if interval.inner is not None:
        axis.plot(
            interval.inner, [y, y], color=colour, linewidth=_THICK, solid_capstyle="butt", zorder=3
        )
    if interval.outer is not None:
        # Its ends stand out of the thick line, and of the mean, wherever they lie.
        axis.plot(
            interval.outer,
            [y, y],
            color=colour,
            linewidth=_THIN,
            marker="|",
            markersize=_CAP,
            markeredgewidth=_THIN,
            zorder=4,
        )
    # Seeds lie below their interval, where nothing hides them.
    below = [y + 0.31] * len(interval.points)
    axis.plot(
        interval.points, below, **_SEED, markeredgecolor=colour, markeredgewidth=0.7, zorder=4
    )
    axis.plot(
        [interval.mean],
        [y],
        marker=look.marker,
        markersize=5,
        color=colour,
        markeredgecolor="white",
        markeredgewidth=0.6,
        zorder=5,
    )


def _beyond(axis: Axes, look: _Look, left: bool) -> None:
    """An arrow at the edge of a close-up for a row whose mean lies outside."""
    axis.plot(
        [0.03 if left else 0.97],
        [look.height],
        transform=axis.get_yaxis_transform(),
        color=look.colour,
        marker="<" if left else ">",
        markersize=4,
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


def _legend(figure: IntervalFigure, shown: Sequence[View]) -> list[tuple[Line2D, ...]]:
    """A column for each meaning that the lines have; the marks of all below the first."""
    kinds = {(panel.inner, panel.outer): panel for panel in reversed(figure.panels)}
    columns = []
    for panel in reversed(kinds.values()):
        column = [style.entry(panel.axis)] if len(kinds) > 1 else []
        if any(interval.inner for interval in panel.intervals):
            column.append(style.entry(panel.inner, linewidth=_THICK))
        if any(interval.outer for interval in panel.intervals):
            thin = {"marker": "|", "markersize": _CAP, "markeredgewidth": _THIN}
            column.append(style.entry(panel.outer, linewidth=_THIN, **thin))
        plain = [view for view in shown if view.panel.chance == panel.chance]
        if panel.chance is not None and any(view.shows(panel.chance) for view in plain):
            chance = f"chance, {panel.chance:.3g} %"
            column.append(style.entry(chance, color="0.5", linestyle=":"))
        if panel.references:
            reference = {"linestyle": "none", "marker": "|", "markersize": 8, "color": "black"}
            column.append(style.entry(figure.reference, **reference, markeredgewidth=1.6))
        columns.append(column)
    columns[0].append(style.entry(figure.point, **_SEED))
    if any(view.close for view in shown):
        columns[0].append(style.entry("beyond the close-up", linestyle="none", marker="<"))
    even = zip_longest(*columns, fillvalue=style.entry(""))
    return list(zip(*even, strict=True))
