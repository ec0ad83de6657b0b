"""Places on an axis with their intervals, in a strip below it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from matplotlib.axes import Axes

from vitexp.reporting.report import Span

_LABEL, _PLACE = 0.17, 0.15  # inches: of a row, of a place in that row


def heights(spans: Sequence[Span]) -> list[float]:
    """Of each one's row, in inches."""
    return [_LABEL + _PLACE * _is_somewhere(span) for span in spans]


def draw_places(axis: Axes, strip: Axes, spans: Sequence[Span]) -> None:
    """A row each, the first at the top: the label, and below it the place."""
    rows = heights(spans)
    strip.set_ylim(sum(rows) + _PLACE / 3, 0)
    strip.set_yticks([])
    axis.tick_params(axis="x", length=0)
    for span, top in zip(spans, accumulate(rows, initial=0.0), strict=False):
        across = strip.get_yaxis_transform()
        strip.text(0.005, top + _LABEL, span.label, transform=across, fontsize=7.5, va="bottom")
        if _is_somewhere(span):
            _place(strip, span, top + _LABEL + _PLACE / 3)
        if span.at is not None:
            axis.axvline(span.at, color="0.5", linewidth=0.8, linestyle=":", zorder=1)


def _is_somewhere(span: Span) -> bool:
    return (span.at, span.low, span.high) != (None, None, None)


def _place(strip: Axes, span: Span, height: float) -> None:
    """An arrow where its interval is open."""
    left, right = strip.get_xlim()
    strip.plot([span.low or left, span.high or right], [height] * 2, color="black", linewidth=1.1)
    for end, edge, arrow in ((span.low, left, "<"), (span.high, right, ">")):
        mark = "|" if end is not None else arrow
        strip.plot([end or edge], [height], color="black", marker=mark, clip_on=False)
    if span.at is not None:
        strip.plot([span.at], [height], color="black", marker="X", zorder=5)
