"""Labels beside points, where they meet the fewest marks and other labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import itemgetter

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
_Place = tuple[Bbox, np.ndarray]
"""Where a label lies, and points along the line that ties it to its point; none where it is
beside it. In pixels."""


def place_labels(axis: Axes, figure: CurveFigure, colours: Sequence[str]) -> None:
    """Writes each point's label; the axis has to be laid out."""
    several = figure.series
    if not any(series.labels for series in several):
        return
    pixels = axis.figure.dpi / 72  # a point
    room = _Room(axis.get_window_extent(), _marks(axis, several), _lines(axis, figure))
    for series, colour in zip(several, colours, strict=True):
        for point, text in zip(series.points, series.labels, strict=False):
            at = axis.transData.transform(point)
            size = np.array([0.58 * len(text), 1.15]) * _SIZE * pixels
            box, tie = room.take(_boxes(at, size, pixels))
            axis.annotate(
                text,
                point,
                xytext=tuple((box.p0 - at) / pixels),
                textcoords="offset points",
                fontsize=_SIZE,
                color=colour,
                zorder=5,
                path_effects=[withStroke(linewidth=2, foreground="white")],
                # A label that stands away from its point is tied to it.
                arrowprops={"arrowstyle": "-", "linewidth": 0.6, "color": colour, "shrinkB": 4}
                if len(tie)
                else None,
            ).set_in_layout(False)


@dataclass
class _Room:
    """What lies in an axis, in pixels: boxes, and points along lines."""

    inside: Bbox
    taken: list[Bbox]
    crossed: np.ndarray

    def take(self, places: Iterable[_Place]) -> _Place:
        """The best of these places, which is taken from now on."""
        _, box, tie = min(((self._cost(*place), *place) for place in places), key=itemgetter(0))
        self.taken.append(box)
        self.crossed = np.concatenate([self.crossed, tie])
        return box, tie

    def _cost(self, box: Bbox, tie: np.ndarray) -> float:
        out = not (self.inside.contains(*box.p0) and self.inside.contains(*box.p1))
        hit = sum(box.overlaps(other) or _meets(other, tie) for other in self.taken)
        return 3 * hit + 9 * out + 3 * _meets(box, self.crossed) + 0.03 * len(tie)


def _meets(box: Bbox, points: np.ndarray) -> bool:
    return bool(((points > box.p0) & (points < box.p1)).all(1).any())


def _boxes(at: np.ndarray, size: np.ndarray, pixels: float) -> Iterator[_Place]:
    """Places for a label of this size, the nearest first."""
    for tier in range(_TIERS):
        for (right, up), own in _CORNERS:
            place = at + np.array((right, up * (1 + 3 * tier))) * pixels - size * own
            box = Bbox([place, place + size])
            yield box, _tie(at, box, pixels) if tier else np.empty((0, 2))


def _tie(at: np.ndarray, box: Bbox, step: float) -> np.ndarray:
    """Points at such steps from beside a mark to the middle of its label."""
    way = np.mean([box.p0, box.p1], axis=0) - at
    length = float(np.hypot(*way))
    return np.asarray(at + np.arange(6 * step, length, step)[:, np.newaxis] / length * way)


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
    """Points along the fits and the front, in pixels, closer than any letter is wide."""
    lines = [*(series.fit for series in figure.series), figure.front]
    corners = [axis.transData.transform(line) for line in lines if line]
    between = [pair for line in corners for pair in pairwise(line)]
    return np.concatenate([np.empty((0, 2)), *(np.linspace(*pair, 100) for pair in between)])
