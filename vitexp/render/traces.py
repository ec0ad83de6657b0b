"""Trace figures: lines along steps, in panels one below the other."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D

from vitexp.render.style import COLOURS, DASHES
from vitexp.reporting.report import TraceFigure

_WIDTH, _PANEL, _LINE = 7.4, 2.1, 0.17  # inches
_COLUMNS = 2


def draw(figure: TraceFigure) -> Figure:
    """The panels, and below them a legend with a line for each name."""
    names = list(dict.fromkeys(line.name for panel in figure.panels for line in panel.series))
    rows = -(-len(names) // _COLUMNS) if names[1:] else 0
    picture = Figure(
        figsize=(_WIDTH, 0.8 + _PANEL * len(figure.panels) + _LINE * rows),
        layout=ConstrainedLayoutEngine(h_pad=0.06, w_pad=0.09),
    )
    picture.suptitle(figure.title, fontsize=11, fontweight="bold")
    looks: dict[str, dict[str, Any]] = {
        name: {
            "color": COLOURS[(index + 1) % len(COLOURS)],
            "linestyle": DASHES[index // len(COLOURS) % len(DASHES)],
        }
        for index, name in enumerate(names)
    }
    axes = picture.subplots(len(figure.panels), 1, sharex=True, squeeze=False)[:, 0]
    for axis, panel in zip(axes, figure.panels, strict=True):
        for line in panel.series:
            # A course of one evaluation is a point.
            marker = "o" if len(line.points) == 1 else ""
            xs, ys = zip(*line.points, strict=True) if line.points else ((), ())
            axis.plot(xs, ys, linewidth=1.1, marker=marker, markersize=3, **looks[line.name])
        axis.set_ylabel(panel.y_axis)
        axis.spines["left"].set_visible(True)
        axis.grid(color="0.92", linewidth=0.8)
        axis.set_axisbelow(True)
    axes[-1].set_xlabel(figure.x_axis)
    if rows:
        handles = [Line2D([], [], label=name, **looks[name]) for name in names]
        picture.legend(handles=handles, loc="outside lower center", ncols=_COLUMNS, fontsize=8)
    return picture
