"""Images side by side, each with what it is and what it was taken for."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vitexp.render.style import note, plain
from vitexp.reporting.report import Tile, TilesFigure

_COLUMNS = 6
_WIDTH, _STEP, _SIDE, _ROW, _ABOVE, _BELOW = 7.4, 1.21, 1.08, 1.42, 0.45, 0.7  # inches
_TEXT, _NAME = 6.2, 13  # points, characters
_SMALL = 100
"""Pixels; images below that are drawn larger, each pixel as a square."""


def draw(figure: TilesFigure) -> Figure:
    """Six tiles a row, of one size whatever is written below them."""
    rows = -(-len(figure.tiles) // _COLUMNS)
    height = _ABOVE + rows * _ROW + _BELOW
    picture = Figure(figsize=(_WIDTH, height))
    picture.suptitle(figure.title, y=1 - 0.1 / height, fontsize=11, fontweight="bold")
    for place, tile in enumerate(figure.tiles):
        row, column = divmod(place, _COLUMNS)
        left, top = 0.1 + column * _STEP, height - _ABOVE - row * _ROW
        sides = (left / _WIDTH, (top - _SIDE) / height, _SIDE / _WIDTH, _SIDE / height)
        _tile(picture.add_axes(sides), tile)
    note(picture, figure.remarks)
    return picture


def _tile(axis: Axes, tile: Tile) -> None:
    pixels = np.asarray(tile.pixels)
    grey = pixels.shape[2] == 1
    axis.imshow(
        pixels[:, :, 0] if grey else pixels,
        cmap="gray" if grey else None,
        vmin=0,
        vmax=255,
        interpolation="nearest" if len(pixels) < _SMALL else "antialiased",
    )
    axis.set_axis_off()
    lines = (
        (f"{plain(tile.true, _NAME)} ({_share(tile.true_probability)})", "normal"),
        (f"→ {plain(tile.predicted, _NAME)} ({_share(tile.probability)})", "bold"),
    )
    for place, (text, weight) in enumerate(lines):
        axis.text(
            0.5,
            -0.03 - 0.11 * place,
            text,
            transform=axis.transAxes,
            ha="center",
            va="top",
            fontsize=_TEXT,
            fontweight=weight,
        )


def _share(share: float) -> str:
    return "<1 %" if share < 0.005 else f"{100 * share:.0f} %"
