"""Curve figures: series over a logarithmic axis, with bands, fits, a front and places on it."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke
from matplotlib.ticker import LogLocator, NullFormatter, NullLocator
from matplotlib.transforms import Bbox

from vitexp.render.style import COLOURS, DASHES, MARKERS, Dash, lay_out
from vitexp.reporting.report import CurveFigure, Series, Span

_WIDTH = 7.4  # inches
_CHARACTERS = 110  # a remark's line
_LABEL = 6.5  # points
_SPAN = 0.055  # height of a place's row, as a share of the axis
_APART = 0.012  # between two joined series, as a share of the axis


# Where a label's corner lies from its point, in points, and what share of the label lies left
# of and below that corner: right below, right above, left above, left below, above, below.
_CORNERS = (
    ((4, -3), (0, 1)),
    ((4, 3), (0, 0)),
    ((-4, 3), (1, 0)),
    ((-4, -3), (1, 1)),
    ((0, 5), (0.5, 0)),
    ((0, -5), (0.5, 1)),
)
_TIERS = 3  # how far away a label may stand


@dataclass(frozen=True)
class _Look:
    colour: str
    marker: str
    dash: Dash


def draw(figure: CurveFigure) -> Figure:
    """The series, their places below them, a legend and the remarks below all."""
    remarks = [line for text in figure.remarks for line in textwrap.wrap(text, _CHARACTERS)]
    height = 4.3 + 0.17 * len(remarks) + 0.2 * len(figure.spans)
    picture = Figure(
        figsize=(_WIDTH, height), layout=ConstrainedLayoutEngine(h_pad=0.08, w_pad=0.09)
    )
    picture.suptitle(figure.title, fontsize=11, fontweight="bold")
    axis = picture.subplots()
    axis.set_xscale("log")
    _front(axis, figure)
    looks = [_look(index) for index in range(len(figure.series))]
    for series, look, shift in zip(figure.series, looks, _spread(figure), strict=True):
        _series(axis, series, look, figure.joined, shift)
    _axes(axis, figure)
    for row, span in enumerate(figure.spans):
        _span(axis, span, _SPAN * (row + 0.6))
    axis.legend(handles=_legend(figure, looks), fontsize=7.5, framealpha=0.8)
    if remarks:
        picture.supxlabel("\n".join(remarks), fontsize=8, x=0.02, ha="left")
    # Only a laid-out axis knows where its points are.
    lay_out(picture)
    _labels(axis, figure, looks)
    return picture


def _look(index: int) -> _Look:
    return _Look(
        COLOURS[(index + 1) % len(COLOURS)],
        MARKERS[index % len(MARKERS)],
        DASHES[index % len(DASHES)],
    )


def _axes(axis: Axes, figure: CurveFigure) -> None:
    axis.set_xlabel(figure.x_axis)
    axis.set_ylabel(figure.y_axis)
    axis.spines["left"].set_visible(True)
    axis.grid(color="0.92", linewidth=0.8, zorder=0)
    axis.set_axisbelow(True)
    if figure.ticks:
        places, texts = zip(*figure.ticks, strict=True)
        axis.set_xticks(places, texts)
        axis.xaxis.set_minor_locator(NullLocator())
    else:
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.xaxis.set_major_formatter("{x:g}")
        axis.xaxis.set_minor_formatter(NullFormatter())
    low, high = axis.get_ylim()
    # A little beyond all that a share can be, so that a point on it is seen whole.
    axis.set_ylim(low, min(high, 100 + 0.02 * (high - low)))
    if figure.spans:
        low, high = axis.get_ylim()
        share = _SPAN * (len(figure.spans) + 1)
        axis.set_ylim(low - (high - low) * share / (1 - share), high)
        axis.set_xlim(axis.get_xlim())


def _spread(figure: CurveFigure) -> list[float]:
    """By what factor the x of each series is moved, so that joined ones do not hide another."""
    xs = [x for series in figure.series for x, _ in series.points]
    if not (figure.joined and xs):
        return [1.0] * len(figure.series)
    step = (max(xs) / min(xs)) ** _APART
    middle = (len(figure.series) - 1) / 2
    return [float(step ** (index - middle)) for index in range(len(figure.series))]


def _series(axis: Axes, series: Series, look: _Look, joined: bool, shift: float) -> None:
    if not series.points:
        return
    xs, ys = zip(*((x * shift, y) for x, y in series.points), strict=True)
    ends = [(x, *band) for x, band in zip(xs, series.band, strict=False) if band is not None]
    if len(ends) > 1 and joined:
        places, lows, highs = zip(*ends, strict=True)
        axis.fill_between(places, lows, highs, color=look.colour, alpha=0.07, linewidth=0)
    for x, low, high in ends:
        axis.plot([x, x], [low, high], color=look.colour, linewidth=1.1, zorder=2)
    if series.fit:
        axis.plot(
            *zip(*series.fit, strict=True), color=look.colour, linewidth=1.1, linestyle=look.dash
        )
    if series.dots:
        axis.plot(
            *zip(*((x * shift, y) for x, y in series.dots), strict=True),
            linestyle="none",
            marker=look.marker,
            markersize=2.8,
            markerfacecolor="none",
            markeredgecolor=look.colour,
            markeredgewidth=0.7,
            zorder=3,
        )
    axis.plot(
        xs,
        ys,
        color=look.colour,
        linestyle=look.dash if joined else "none",
        linewidth=1.4,
        marker=look.marker,
        markersize=6,
        markeredgecolor="white",
        markeredgewidth=0.8,
        zorder=4,
    )


def _labels(axis: Axes, figure: CurveFigure, looks: list[_Look]) -> None:
    """What stands beside each point, where it meets the fewest points and other labels."""
    if not any(series.labels for series in figure.series):
        return
    inch = axis.figure.dpi
    marks = [point for series in figure.series for point in series.points]
    lines = [point for series in figure.series for point in series.fit]
    taken = [Bbox([at - inch / 20, at + inch / 20]) for at in axis.transData.transform(marks)]
    crossed = axis.transData.transform(lines) if lines else np.empty((0, 2))
    inside = axis.get_window_extent()

    def crowded(box: Bbox, tier: int) -> float:
        out = not (inside.contains(*box.p0) and inside.contains(*box.p1))
        line = any(box.contains(*at) for at in crossed)
        return 3 * sum(box.overlaps(other) for other in taken) + 9 * out + line + 1.5 * tier

    for series, look in zip(figure.series, looks, strict=True):
        for point, text in zip(series.points, series.labels, strict=False):
            at = axis.transData.transform(point)
            size = np.array([0.55 * len(text), 1.0]) * _LABEL * inch / 72
            boxes = []
            for tier in range(_TIERS):
                for (right, up), own in _CORNERS:
                    place = at + np.array((right, up * (1 + 3 * tier))) * inch / 72 - size * own
                    boxes.append((Bbox([place, place + size]), tier))
            best, tier = min(boxes, key=lambda box: crowded(*box))
            taken.append(best)
            axis.annotate(
                text,
                point,
                xytext=tuple((best.p0 - at) * 72 / inch),
                textcoords="offset points",
                fontsize=_LABEL,
                color=look.colour,
                zorder=5,
                path_effects=[withStroke(linewidth=2, foreground="white")],
                # A label that stands away from its point is tied to it.
                arrowprops={"arrowstyle": "-", "linewidth": 0.6, "color": look.colour, "shrinkB": 4}
                if tier
                else None,
            ).set_in_layout(False)


def _front(axis: Axes, figure: CurveFigure) -> None:
    if len(figure.front) > 1:
        axis.plot(*zip(*figure.front, strict=True), color="0.75", linewidth=4, zorder=1)


def _span(axis: Axes, span: Span, height: float) -> None:
    """A place at ``height`` (a share of the axis); an arrow where its interval is open, and its
    label alone where there is neither a place nor an end."""
    axis.annotate(
        span.label,
        (0, height),
        xycoords="axes fraction",
        xytext=(4, 3),
        textcoords="offset points",
        fontsize=7.5,
    )
    if (span.at, span.low, span.high) == (None, None, None):
        return
    left, right = axis.get_xlim()
    low, high = span.low or left, span.high or right
    across = axis.get_xaxis_transform()
    axis.plot([low, high], [height] * 2, color="black", linewidth=1.1, transform=across)
    for end, edge, arrow in ((span.low, left, "<"), (span.high, right, ">")):
        mark = "|" if end is not None else arrow
        axis.plot(
            [end or edge], [height], color="black", marker=mark, transform=across, clip_on=False
        )
    if span.at is not None:
        axis.plot([span.at], [height], color="black", marker="X", transform=across, zorder=5)
        axis.axvline(span.at, color="0.5", linewidth=0.8, linestyle=":", zorder=1)


def _legend(figure: CurveFigure, looks: list[_Look]) -> list[Line2D | Patch]:
    handles: list[Line2D | Patch] = [
        Line2D(
            [],
            [],
            color=look.colour,
            marker=look.marker,
            linestyle=look.dash if figure.joined or series.fit else "none",
            label=series.name,
        )
        for series, look in zip(figure.series, looks, strict=True)
    ]
    if figure.band:
        handles.append(Patch(color="0.25", alpha=0.2, linewidth=1.1, label=figure.band))
    if figure.dot:
        dot = Line2D([], [], color="0.25", linestyle="none", marker="o", label=figure.dot)
        dot.set(markersize=2.8, markerfacecolor="none")
        handles.append(dot)
    if figure.fit:
        handles.append(Line2D([], [], color="0.25", linewidth=1.1, label=figure.fit))
    if len(figure.front) > 1:
        handles.append(Line2D([], [], color="0.75", linewidth=4, label="not beaten by any other"))
    return handles
