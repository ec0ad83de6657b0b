"""Maps of a grid, one for each of its places: squares within a square."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vitexp.render import style
from vitexp.reporting.report import MosaicFigure

_SIDE = 5.2  # inches: of a single one
_TICKS = 8


def draw(figure: MosaicFigure) -> Figure:
    """Up to three mosaics a row, in one scale from -1 to 1, as in the paper."""
    several = len(figure.panels)
    columns = min(several, 2 if several <= 4 else 3)
    rows = -(-several // columns)
    picture = style.sheet(figure.title, 0.7 + rows * (_SIDE if columns == 1 else 6.6 / columns))
    axes = picture.subplots(rows, columns, squeeze=False).flatten()
    for axis, (name, maps) in zip(axes, figure.panels, strict=False):
        shown = axis.imshow(_laid_out(maps), cmap="viridis", vmin=-1, vmax=1)
        _label(axis, len(maps))
        axis.set_title(style.plain(name, 40), fontsize=9)
    for axis in axes[several:]:
        axis.set_axis_off()
    for axis in axes[::columns]:
        axis.set_ylabel("row of the patch")
    for axis in axes[max(0, several - columns) : len(figure.panels)]:
        axis.set_xlabel("column of the patch")
    bar = picture.colorbar(shown, ax=axes, pad=0.02, ticks=[-1, 0, 1], shrink=0.6)
    bar.set_label("cosine")
    bar.outline.set_visible(False)
    style.note(picture, figure.remarks)
    style.fix(picture)
    return picture


def _laid_out(maps: np.ndarray) -> np.ndarray:
    """(S, S, S, S) -> one picture, a cell of nothing between two maps."""
    side = len(maps)
    apart = np.pad(maps, ((0, 0), (0, 0), (0, 1), (0, 1)), constant_values=np.nan)
    whole: np.ndarray = apart.transpose(0, 2, 1, 3).reshape([side * (side + 1)] * 2)
    return whole[:-1, :-1]


def _label(axis: Axes, side: int) -> None:
    each = -(-side // _TICKS)
    places = np.arange(0, side, each)
    centres = places * (side + 1) + (side - 1) / 2
    axis.set_xticks(centres, [str(place + 1) for place in places])
    axis.set_yticks(centres, [str(place + 1) for place in places])
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
