"""What a model's patch embedding looks for (paper, Figure 7, left)."""

from __future__ import annotations

import numpy as np

from vitexp.reporting.report import Report, Tile, TilesFigure, Value
from vitexp.tasks.look.opened import Looked

COMPONENTS, _BESIDE = 28, 7
"""As many as the paper shows, and how many stand in a row."""

_COLUMNS = ("run", "component", "variance_share", "channel", "row", "column", "value")


def filters(looked: Looked) -> Report:
    """The first principal components of the patch embedding's filters, as images of a patch.

    Raises:
        VitexpError: it is a hybrid, whose patches are not of the image.
    """
    from vitexp.evaluation.learned import components

    found, shares = (each.numpy() for each in components(looked.model(), COMPONENTS))
    tiles = tuple(
        Tile(_pixels(one), (f"{number + 1}: {100 * share:.1f} %",))
        for number, (one, share) in enumerate(zip(found, shares, strict=True))
    )
    figure = TilesFigure(
        "Principal components of the patch embedding's filters",
        tiles,
        (
            "The share of the filters' variance is below each. Mid-grey is 0; each has a scale of"
            " its own, and its sign means nothing.",
            looked.facts,
        ),
        _BESIDE,
    )
    rows: tuple[dict[str, Value], ...] = tuple(
        dict(
            zip(
                _COLUMNS,
                (
                    looked.name,
                    number + 1,
                    round(float(shares[number]), 6),
                    *(index + 1 for index in place),
                    round(float(value), 6),
                ),
                strict=True,
            )
        )
        for number, one in enumerate(found)
        for place, value in np.ndenumerate(one)
    )
    stem = f"filters-{looked.stem}"
    return Report(stem, figure.title, (), (), _COLUMNS, rows, (figure,), (), ())


def _pixels(component: np.ndarray) -> np.ndarray:
    """(C, P, P) around 0 -> uint8 (P, P, C) around mid-grey."""
    scaled = 127.5 + 127.5 * component / max(np.abs(component).max(), 1e-12)
    pixels: np.ndarray = scaled.round().astype(np.uint8).transpose(1, 2, 0)
    return pixels
