"""What a model takes for what: a matrix of few classes, the commonest mistakes among many."""

from __future__ import annotations

import textwrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from vitexp.render.style import COLOURS, fix, note, plain
from vitexp.reporting.report import MatrixFigure, PairsFigure

_WIDTH, _HEAD, _ROW, _CELL = 7.4, 1.1, 0.24, 0.5  # inches
_NAME = 18
"""Characters of a class's name."""
_SPELLED = 15
"""Classes up to which each cell says its share."""
_DARK = 0.55
"""Share from which on a cell's text is white."""


def draw_matrix(figure: MatrixFigure) -> Figure:
    """A row a class, shaded by the shares of its images that are taken for each class."""
    counts = np.array(figure.counts)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = len(counts)
    picture = Figure(
        figsize=(_WIDTH, min(7.0, 2.2 + _CELL * size)),
        layout=ConstrainedLayoutEngine(h_pad=0.08, w_pad=0.09),
    )
    picture.suptitle(figure.title, fontsize=11, fontweight="bold")
    axis = picture.subplots()
    shown = axis.imshow(100 * shares, cmap="Blues", vmin=0, vmax=100, aspect="auto")
    names = [plain(name, _NAME) for name in figure.names]
    points = min(8.0, 250 / size)
    images = counts.sum(axis=1)
    rows = [f"{name} ({n:,})" for name, n in zip(names, images, strict=True)]
    axis.set_yticks(range(size), rows, fontsize=points)
    axis.set_xticks(range(size), names, fontsize=points, rotation=90)
    axis.set_xlabel("predicted class")
    axis.set_ylabel("true class (test images)")
    axis.tick_params(length=0)
    axis.set_xticks(np.arange(size + 1) - 0.5, minor=True)
    axis.set_yticks(np.arange(size + 1) - 0.5, minor=True)
    axis.grid(which="minor", color="0.88", linewidth=0.5)
    axis.tick_params(which="minor", length=0)
    if size <= _SPELLED:
        _spell(axis, shares)
    bar = picture.colorbar(shown, ax=axis, pad=0.02, ticks=[0, 50, 100])
    bar.set_label("% of the row")
    bar.outline.set_visible(False)
    note(picture, figure.remarks)
    fix(picture)
    return picture


def _spell(axis: Axes, shares: np.ndarray) -> None:
    for (row, column), share in np.ndenumerate(shares):
        if share > 0:
            text = f"{100 * share:.0f}" if share >= 0.005 else "<1"
            colour = "white" if share > _DARK else "black"
            axis.text(column, row, text, ha="center", va="center", fontsize=7.5, color=colour)


def draw_pairs(figure: PairsFigure) -> Figure:
    """A bar a pair, the commonest at the top."""
    picture = Figure(
        figsize=(_WIDTH, _HEAD + _ROW * len(figure.pairs) + 0.17 * len(figure.remarks)),
        layout=ConstrainedLayoutEngine(h_pad=0.08, w_pad=0.09),
    )
    picture.suptitle(figure.title, fontsize=11, fontweight="bold")
    axis = picture.subplots()
    places = range(len(figure.pairs))
    counts = [pair.images for pair in figure.pairs]
    axis.barh(places, counts, height=0.65, color=COLOURS[1])
    names = [f"{plain(p.true, _NAME)} → {plain(p.predicted, _NAME)}" for p in figure.pairs]
    axis.set_yticks(places, names, fontsize=8)
    for place, pair in zip(places, figure.pairs, strict=True):
        said = f" {pair.images:,} of {pair.of:,}"
        axis.text(pair.images, place, said, va="center", fontsize=7.5)
    axis.set_ylim(len(counts) - 0.4, -0.6)
    axis.set_xlim(0, 1.18 * max(counts, default=1))
    axis.locator_params(axis="x", integer=True)
    axis.tick_params(axis="y", length=0)
    axis.set_xlabel(textwrap.fill("test images of the first class that are taken for the second"))
    note(picture, figure.remarks)
    fix(picture)
    return picture
