"""Images side by side, each with what it is and what it was taken for."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from vitexp.render.style import NAME, note, plain
from vitexp.reporting.report import Tile, TilesFigure

_WIDTH, _COLUMNS, _TILE, _HEAD = 7.4, 6, 1.6, 0.9  # inches a row of tiles, above and below them
_SMALL = 100
"""Pixels; images below that are drawn larger, each pixel as a square."""


def draw(figure: TilesFigure) -> Figure:
    """Six tiles a row."""
    rows = -(-len(figure.tiles) // _COLUMNS)
    picture = Figure(
        figsize=(_WIDTH, _HEAD + _TILE * rows),
        layout=ConstrainedLayoutEngine(h_pad=0.04, w_pad=0.05),
    )
    picture.suptitle(figure.title, fontsize=11, fontweight="bold", parse_math=False)
    axes = picture.subplots(rows, _COLUMNS, squeeze=False).ravel()
    for axis in axes:
        axis.set_axis_off()
    for axis, tile in zip(axes, figure.tiles, strict=False):
        _tile(axis, tile)
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
    lines = (
        f"{plain(tile.true, NAME)} {_share(tile.true_probability)}",
        f"→ {plain(tile.predicted, NAME)} {_share(tile.probability)}",
    )
    for place, (text, weight) in enumerate(zip(lines, ("normal", "bold"), strict=True)):
        axis.text(
            0.5,
            -0.04 - 0.13 * place,
            text,
            transform=axis.transAxes,
            ha="center",
            va="top",
            fontsize=6.5,
            fontweight=weight,
            parse_math=False,
        )


def _share(share: float) -> str:
    return "<1 %" if share < 0.005 else f"{100 * share:.0f} %"
