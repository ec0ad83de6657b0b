"""The marks of figures, how they look and what a legend says of them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from vitexp.render.view import View
from vitexp.reporting.report import Interval, IntervalFigure

THIN, CAP, THICK = 1.0, 8.0, 3.2  # points
SEED: dict[str, Any] = {"linestyle": "none", "markersize": 2.8, "markerfacecolor": "none"}
ENDS: dict[str, Any] = {"linewidth": 1.1, "marker": "_", "markersize": 5, "markeredgewidth": 1.1}
CHANCE: dict[str, Any] = {"color": "0.5", "linewidth": 1.0, "linestyle": ":"}
_DECIDES: dict[str, Any] = {
    "linewidth": THIN, "marker": "|", "markersize": CAP, "markeredgewidth": THIN
}  # fmt: skip
_PAPER: dict[str, Any] = {"linestyle": "none", "marker": "|", "markersize": 8, "color": "black"}


def entry(label: str, **look: Any) -> Line2D:
    """A mark of a legend; without a look nothing but its label."""
    return Line2D([], [], label=label, **({"color": "0.25"} | look if look else {"alpha": 0}))


def chance_entry(chance: float) -> Line2D:
    return entry(f"chance, {chance:.3g} %", **CHANCE)


def interval(axis: Axes, what: Interval, y: float, colour: str, marker: str) -> None:
    """At a height: the thick line, the thin one over it, the mean, and the seeds below."""
    if what.inner is not None:
        axis.plot(
            what.inner, [y, y], color=colour, linewidth=THICK, solid_capstyle="butt", zorder=3
        )
    if what.outer is not None:
        # Its ends stand out of the thick line, and of the mean, wherever they lie.
        axis.plot(what.outer, [y, y], color=colour, **_DECIDES, zorder=4)
    # Seeds lie below their interval, where nothing hides them.
    axis.plot(
        what.points,
        [y + 0.31] * len(what.points),
        **SEED,
        marker="o",
        markeredgecolor=colour,
        markeredgewidth=0.7,
        zorder=4,
    )
    axis.plot(
        [what.mean],
        [y],
        marker=marker,
        markersize=5,
        color=colour,
        markeredgecolor="white",
        markeredgewidth=0.6,
        zorder=5,
    )


def beyond(axis: Axes, y: float, colour: str, left: bool) -> None:
    """An arrow at the edge of a close-up for a row whose mean lies outside."""
    axis.plot(
        [0.03 if left else 0.97],
        [y],
        transform=axis.get_yaxis_transform(),
        color=colour,
        marker="<" if left else ">",
        markersize=4,
    )


def legend(figure: IntervalFigure, shown: Sequence[View]) -> list[tuple[Line2D, ...]]:
    """A column for each meaning that the lines have, equally long; what all share below the
    first."""
    meanings = dict.fromkeys((panel.inner, panel.outer) for panel in figure.panels)
    columns = []
    for meaning in meanings:
        own = [view for view in shown if (view.panel.inner, view.panel.outer) == meaning]
        heading = [entry(own[0].panel.axis)] if len(meanings) > 1 else []
        columns.append([*heading, *_column(figure, own)])
    columns[0].append(entry(figure.point, marker="o", **SEED))
    if any(view.close for view in shown):
        columns[0].append(entry("beyond the close-up", linestyle="none", marker="<"))
    return list(zip(*zip_longest(*columns, fillvalue=entry("")), strict=True))


def _column(figure: IntervalFigure, views: Sequence[View]) -> list[Line2D]:
    panel, every = views[0].panel, [i for view in views for i in view.panel.intervals]
    column = []
    if any(each.inner for each in every):
        column.append(entry(panel.inner, linewidth=THICK))
    if any(each.outer for each in every):
        column.append(entry(panel.outer, **_DECIDES))
    if panel.chance is not None and any(view.shows(panel.chance) for view in views):
        column.append(chance_entry(panel.chance))
    if panel.references:
        column.append(entry(figure.reference, **_PAPER, markeredgewidth=1.6))
    return column
