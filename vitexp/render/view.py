"""What part of its quantity each panel of a figure shows: one scale for all, close-ups apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from vitexp.reporting.report import Interval, Panel

Limits = tuple[float, float]

_MARGIN = 0.04
"""Room beside the outermost end, as a share of the axis, so that a mark there is seen whole."""
_LEAST = 1.0
"""Length of an axis, at least: less than a point is no difference to look at."""
_APART, _SMALL = 2.5, 0.25
"""A close-up is possible if the next row lies so many times as far away as those inside, and these
take at most that share of the axis."""
_TINY = 0.05
"""It is worth it if half of those inside are shorter than that share, so that marks hide them."""


@dataclass(frozen=True)
class View:
    """A panel with the limits of its axis; ``close`` if rows lie outside of them."""

    panel: Panel
    limits: Limits
    close: bool = False

    def shows(self, value: float) -> bool:
        """Whether a value lies on its axis."""
        return self.limits[0] <= value <= self.limits[1]


def views(panels: Sequence[Panel]) -> list[View]:
    """Each panel, and behind it the close-up that it needs.

    One point is equally long in all but the close-ups; panels that show no differences show the
    same part of the axis.
    """
    plain = [end for panel in panels if panel.baseline is None for end in _ends(panel)]
    spans = [_span(plain if panel.baseline is None else _ends(panel)) for panel in panels]
    length = max((high - low for low, high in spans), default=_LEAST) * (1 + 2 * _MARGIN)
    found = []
    for panel, (low, high) in zip(panels, spans, strict=True):
        whole = View(panel, _placed((low + high) / 2, length, panel.bounds))
        found += [whole, *_close_up(whole)]
    return found


def reach(interval: Interval) -> Limits:
    """The outermost ends of all that is drawn of it."""
    lines = [end for pair in (interval.inner, interval.outer) if pair for end in pair]
    every = (interval.mean, *lines, *interval.points)
    return min(every), max(every)


def _ends(panel: Panel) -> list[float]:
    rows = [end for interval in panel.intervals for end in reach(interval)]
    marks = [mark.value for mark in panel.references]
    return [*rows, *marks, *([] if panel.baseline is None else [panel.baseline])]


def _span(ends: Sequence[float]) -> Limits:
    if not ends:
        return 0.0, _LEAST
    low, high = min(ends), max(ends)
    more = max(0.0, _LEAST - (high - low)) / 2
    return low - more, high + more


def _placed(middle: float, length: float, bounds: Limits) -> Limits:
    """An axis of a length around the middle, but at most a little beyond the bounds."""
    room = _MARGIN * length
    low = max(min(middle - length / 2, bounds[1] + room - length), bounds[0] - room)
    return low, min(low + length, bounds[1] + room)


def _close_up(view: View) -> list[View]:
    """On the rows near 0 of a difference, near the upper bound of what has one."""
    panel, length = view.panel, view.limits[1] - view.limits[0]
    near = panel.bounds[1] if panel.baseline is None else panel.baseline
    reaches = [reach(interval) for interval in panel.intervals]
    by_distance = sorted((max(abs(end - near) for end in ends), ends) for ends in reaches)
    for inside, ((this, _), (following, _)) in enumerate(pairwise(by_distance), start=1):
        tiny = sum(high - low < _TINY * length for _, (low, high) in by_distance[:inside])
        alone = following > _APART * this and this < _SMALL * length
        if inside > 1 and alone and 2 * tiny >= inside:
            this = max(this, _LEAST)
            above = 0.1 if near == panel.bounds[1] else 1.1
            limits = (near - 1.1 * this, near + above * this)
            return [View(replace(panel, axis=f"Close-up: {panel.axis}"), limits, close=True)]
    return []
