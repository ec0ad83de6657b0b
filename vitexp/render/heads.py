"""A value of each head of each layer: panels of marks, side by side."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from vitexp.render import style
from vitexp.reporting.report import HeadsFigure, HeadsPanel

_HEIGHT, _BESIDE = 3.0, 3  # inches, panels
_WIDE = 0.6
"""Of a layer's marks, where the next layer is 1 away."""
_NAME = 84  # characters of a title, all panels of a row together


def draw(figure: HeadsFigure) -> Figure:
    """Up to three panels a row, in one scale."""
    several = len(figure.panels)
    columns = min(_BESIDE, several)
    rows = -(-several // columns)
    picture = style.sheet(figure.title, 0.8 + rows * (_HEIGHT + 0.5))
    axes = picture.subplots(rows, columns, sharey=True, squeeze=False).flatten()
    for axis, panel in zip(axes, figure.panels, strict=False):
        _panel(axis, panel)
        axis.set_title(style.plain(panel.name, _NAME // columns), fontsize=9)
        axis.set_xlabel("layer")
    for axis in axes[several:]:
        axis.set_axis_off()
    for axis in axes[::columns]:
        axis.set_ylabel(figure.y_axis)
    axes[0].set_ylim(0, 1.05 * axes[0].get_ylim()[1])
    style.note(picture, figure.remarks)
    style.fix(picture)
    return picture


def _panel(axis: Axes, panel: HeadsPanel) -> None:
    layers, heads = panel.values.shape
    at = np.arange(1, layers + 1)
    shift = (np.arange(heads) - (heads - 1) / 2) * (_WIDE / heads)
    places = at[:, None] + shift
    if panel.spread is not None:
        axis.vlines(places, *panel.spread, color=style.COLOURS[1], linewidth=0.9, alpha=0.6)
    axis.plot(places.flatten(), panel.values.flatten(), "o", color=style.COLOURS[1], markersize=2.8)
    axis.plot(at, panel.values.mean(axis=1), color="black", linewidth=1)
    axis.axhline(panel.uniform, color="0.4", linewidth=1, linestyle=":")
    axis.set_xlim(0.5, layers + 0.5)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axis.spines["left"].set_visible(True)
    axis.grid(axis="y", color="0.92", linewidth=0.8)
    axis.set_axisbelow(True)
