"""Curve figures: series over a logarithmic axis, with intervals, fits, a front and places on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import ScaledTranslation

from vitexp.render import places, style
from vitexp.render.labels import place_labels
from vitexp.render.log_axis import limits, ticks
from vitexp.render.marks import CHANCE, ENDS, SEED, chance_entry, entry
from vitexp.reporting.report import CurveFigure, Series

_HEIGHT = 3.3  # inches
_APART, _ALL = 0.02, 0.12  # between joined series, and all of them, as shares of the axis
_NAME = 46  # characters of a legend's line


@dataclass(frozen=True)
class _Look:
    colour: str
    marker: str
    dash: style.Dash


def draw(figure: CurveFigure) -> Figure:
    """The series, their places below them, a legend and the remarks below all."""
    heights = [_HEIGHT, *([sum(places.heights(figure.spans))] if figure.spans else [])]
    picture = style.sheet(figure.title, sum(heights) + 2)
    axis, *below = picture.subplots(
        len(heights), sharex=True, squeeze=False, height_ratios=heights
    )[:, 0]
    looks = _looks(figure.series)
    spread = _spread(figure.series, figure.joined)
    _axes(axis, below[-1] if below else axis, figure, spread)
    if len(figure.front) > 1:
        axis.plot(*zip(*figure.front, strict=True), color="0.8", linewidth=4, zorder=1)
    for series, look, shift in zip(figure.series, looks, spread, strict=True):
        _series(axis, series, look, figure.joined, shift)
    if below:
        places.draw_places(axis, below[0], figure.spans)
    style.caption(picture, [figure.setting, *figure.remarks], _legend(figure, looks), 2)
    style.lay_out(picture, [axis, *below], sum(heights))
    # Only a laid-out axis knows where its points are.
    place_labels(axis, figure, [look.colour for look in looks])
    return picture


def _looks(series: Sequence[Series]) -> list[_Look]:
    colours = style.colours(each.family or each.name for each in series)
    return [
        _Look(
            colours[each.family or each.name],
            style.MARKERS[index % len(style.MARKERS)],
            style.DASHES[index % len(style.DASHES)],
        )
        for index, each in enumerate(series)
    ]


def _axes(axis: Axes, lowest: Axes, figure: CurveFigure, spread: Sequence[float]) -> None:
    axis.set_xscale("log")
    lowest.set_xlabel(figure.x_axis)
    axis.set_ylabel(figure.y_axis)
    axis.spines["left"].set_visible(True)
    axis.grid(color="0.92", linewidth=0.8, zorder=0)
    axis.set_axisbelow(True)
    moved = zip(figure.series, spread, strict=True)
    axis.set_xlim(limits([x * by for series, by in moved for x, _ in series.points]))
    at, texts = zip(*ticks(axis.get_xlim(), figure.ticks), strict=True)
    lowest.set_xticks(at, texts)
    lowest.minorticks_off()
    axis.set_ylim(_heights(figure))
    if figure.chance is not None and _shows(figure, figure.chance):
        axis.axhline(figure.chance, **CHANCE, zorder=1)


def _heights(figure: CurveFigure) -> tuple[float, float]:
    """From the lowest to the highest mark, and a little beyond, so that each is seen whole."""
    points = [y for s in figure.series for _, y in (*s.points, *s.dots, *s.fit)]
    bands = [end for s in figure.series for band in s.band if band for end in band]
    low, high = min((*points, *bands), default=0.0), max((*points, *bands), default=1.0)
    room = max(0.06 * (high - low), 0.25)
    return low - room, high + room


def _shows(figure: CurveFigure, value: float) -> bool:
    low, high = _heights(figure)
    return low <= value <= high


def _spread(several: Sequence[Series], joined: bool) -> list[float]:
    """By what factor the x of each series is moved, so that joined ones do not hide another."""
    if not (joined and several):
        return [1.0] * len(several)
    low, high = limits([x for series in several for x, _ in series.points])
    step = (high / low) ** min(_APART, _ALL / len(several))
    middle = (len(several) - 1) / 2
    return [float(step ** (index - middle)) for index in range(len(several))]


def _series(axis: Axes, series: Series, look: _Look, joined: bool, shift: float) -> None:
    for (x, _), band in zip(series.points, series.band, strict=False):
        if band is not None:
            axis.plot([x * shift] * 2, band, color=look.colour, zorder=2, **ENDS)
    if series.fit:
        axis.plot(
            *zip(*series.fit, strict=True), color=look.colour, linewidth=1.1, linestyle=look.dash
        )
    # Seeds lie beside their interval, where nothing hides them.
    beside = ScaledTranslation(style.BESIDE / 72, 0, axis.figure.dpi_scale_trans)
    axis.plot(
        [x * shift for x, _ in series.dots],
        [y for _, y in series.dots],
        transform=axis.transData + beside,
        **SEED,
        marker=look.marker,
        markeredgecolor=look.colour,
        markeredgewidth=0.7,
        zorder=3,
    )
    axis.plot(
        [x * shift for x, _ in series.points],
        [y for _, y in series.points],
        color=look.colour,
        linestyle=look.dash if joined else "none",
        linewidth=1.4,
        marker=look.marker,
        markersize=6,
        markeredgecolor="white",
        markeredgewidth=0.8,
        clip_on=False,
        zorder=4,
    )


def _legend(figure: CurveFigure, looks: Sequence[_Look]) -> list[Line2D]:
    handles = [
        entry(
            style.short(series.name, _NAME),
            color=look.colour,
            marker=look.marker,
            linestyle=look.dash if figure.joined or series.fit else "none",
        )
        for series, look in zip(figure.series, looks, strict=True)
    ]
    if figure.band:
        handles.append(entry(figure.band, **ENDS | {"marker": "|"}))
    if figure.dot:
        handles.append(entry(figure.dot, marker="o", **SEED))
    if figure.fit:
        handles.append(entry(figure.fit, linewidth=1.1))
    if len(figure.front) > 1:
        handles.append(entry("not beaten by any other", color="0.8", linewidth=4))
    if figure.chance is not None and _shows(figure, figure.chance):
        handles.append(chance_entry(figure.chance))
    return handles
