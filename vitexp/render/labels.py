"""Labels beside points, where they meet the fewest marks and other labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from matplotlib.transforms import Bbox

from vitexp.render.style import BESIDE
from vitexp.reporting.report import CurveFigure, Series

_SIZE = 6.5  # points
_CORNERS = (
    ((4, -3), (0, 1)),
    ((4, 3), (0, 0)),
    ((-4, 3), (1, 0)),
    ((-4, -3), (1, 1)),
    ((0, 5), (0.5, 0)),
    ((0, -5), (0.5, 1)),
)
"""Where a label's corner lies from its point, in points, and what share of the label lies left of
and below that corner: right below, right above, left above, left below, above, below."""
_TIERS = 6
"""How far away a label may stand."""


def place_labels(axis: Axes, figure: CurveFigure, colours: Sequence[str]) -> None:
    """Writes each point's label; the axis has to be laid out."""
    several = figure.series
    if not any(series.labels for series in several):
        return
    inch = axis.figure.dpi
    taken, crossed = _marks(axis, several), _lines(axis, figure)
    inside = axis.get_window_extent()

    def crowded(box: Bbox, tier: int) -> float:
        out = not (inside.contains(*box.p0) and inside.contains(*box.p1))
        line = any(box.contains(*at) for at in crossed)
        return 3 * sum(box.overlaps(other) for other in taken) + 9 * out + line + 0.8 * tier

    for series, colour in zip(several, colours, strict=True):
        for point, text in zip(series.points, series.labels, strict=False):
            at = axis.transData.transform(point)
            size = np.array([0.58 * len(text), 1.15]) * _SIZE * inch / 72
            best, tier = min(_boxes(at, size, inch / 72), key=lambda box: crowded(*box))
            taken.append(best)
            axis.annotate(
                text,
                point,
                xytext=tuple((best.p0 - at) * 72 / inch),
                textcoords="offset points",
                fontsize=_SIZE,
                color=colour,
                zorder=5,
                path_effects=[withStroke(linewidth=2, foreground="white")],
                # A label that stands away from its point is tied to it.
                arrowprops={"arrowstyle": "-", "linewidth": 0.6, "color": colour, "shrinkB": 4}
                if tier
                else None,
            ).set_in_layout(False)


def _boxes(at: np.ndarray, size: np.ndarray, point: float) -> Iterator[tuple[Bbox, int]]:
    """Places for a label of this size, the nearest first, with how far away they are."""
    for tier in range(_TIERS):
        for (right, up), own in _CORNERS:
            place = at + np.array((right, up * (1 + 3 * tier))) * point - size * own
            yield Bbox([place, place + size]), tier


def _marks(axis: Axes, several: Sequence[Series]) -> list[Bbox]:
    """Where points, their intervals and their seeds lie."""
    wide, dot = axis.figure.dpi / 20, axis.figure.dpi / 28
    points = [point for series in several for point in series.points]
    found = [Bbox([at - wide, at + wide]) for at in axis.transData.transform(points)]
    dots = [point for series in several for point in series.dots]
    if dots:
        beside = axis.transData.transform(dots) + np.array([BESIDE * axis.figure.dpi / 72, 0])
        found += [Bbox([at - dot, at + dot]) for at in beside]
    for series in several:
        for (x, _), band in zip(series.points, series.band, strict=False):
            if band is not None:
                low, high = axis.transData.transform([(x, end) for end in band])
                found.append(Bbox([low - dot, high + dot]))
    return found


def _lines(axis: Axes, figure: CurveFigure) -> np.ndarray:
    """Points along the fits and the front, in pixels."""
    fits = [point for series in figure.series for point in series.fit]
    corners = [axis.transData.transform(at) for at in figure.front]
    front = [np.linspace(one, other, 40) for one, other in pairwise(corners)]
    return np.concatenate([axis.transData.transform(fits or np.empty((0, 2))), *front])
