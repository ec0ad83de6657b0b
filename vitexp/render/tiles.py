"""Images side by side, each with what is said of it."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vitexp.render.style import note, plain
from vitexp.reporting.report import Tile, TilesFigure

_WIDTH, _ABOVE, _BELOW, _REMARK = 7.4, 0.45, 0.3, 0.15  # inches
_EDGE, _GAP = 0.1, 0.13  # inches: beside all tiles, and between two
_LINE = 0.12  # inches
_TEXT, _CHARACTER = 6.2, 0.052  # points; inches, about
_SMALL = 100
"""Pixels; images below that are drawn larger, each pixel as a square."""


def draw(figure: TilesFigure) -> Figure:
    """Rows of tiles, of one size whatever is written below them."""
    step = (_WIDTH - 2 * _EDGE + _GAP) / figure.columns
    side, lines = step - _GAP, max((len(tile.lines) for tile in figure.tiles), default=0)
    row_height = side + _GAP + _LINE * lines
    rows = -(-len(figure.tiles) // figure.columns)
    picture = Figure()
    below = _BELOW + _REMARK * note(picture, figure.remarks)
    height = _ABOVE + rows * row_height + below
    picture.set_size_inches(_WIDTH, height)
    picture.suptitle(figure.title, y=1 - 0.1 / height, fontsize=11, fontweight="bold")
    for place, tile in enumerate(figure.tiles):
        row, column = divmod(place, figure.columns)
        left, top = _EDGE + column * step, height - _ABOVE - row * row_height
        sides = (left / _WIDTH, (top - side) / height, side / _WIDTH, side / height)
        _tile(picture.add_axes(sides), tile, side)
    return picture


def _tile(axis: Axes, tile: Tile, side: float) -> None:
    pixels = np.asarray(tile.pixels)
    grey = pixels.shape[2] == 1
    axis.imshow(
        pixels[:, :, 0] if grey else pixels,
        cmap="gray" if grey else None,
        vmin=0,
        vmax=255,
        interpolation="nearest" if len(pixels) < _SMALL else "antialiased",
    )
    # A white image on a white page has its edge.
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set(visible=True, color="0.8", linewidth=0.5)
    for place, text in enumerate(tile.lines):
        axis.text(
            0.5,
            -(0.03 + _LINE * place) / side,
            plain(text, max(8, int(side / _CHARACTER))),
            transform=axis.transAxes,
            ha="center",
            va="top",
            fontsize=_TEXT,
            fontweight="bold" if place and text is tile.lines[-1] else "normal",
        )
