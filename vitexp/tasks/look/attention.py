"""Where models attend in images (paper, Figures 6 and 14): rollout, or the heads of a layer.

S side, C channels, G side of the grid of patches, H heads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vitexp.errors import VitexpError
from vitexp.reporting.report import Report, Tile, TilesFigure, Value
from vitexp.tasks.look.images import Wanted
from vitexp.tasks.look.maps import greys, lit, short
from vitexp.tasks.look.opened import Looked

if TYPE_CHECKING:
    import torch

IMAGES, MOST = 6, 24
"""As many as are shown unless others are asked for, and that a figure has room for."""

_COLUMNS = ("run", "image", "layer", "head", "row", "column", "weight")
_ROLLOUT = (
    "Of each image: it; it with the brightness of what is attended to; attention rollout (Abnar and"
    " Zuidema 2020), black the least and white the most, in % of all tokens: weights averaged over"
    " heads, mixed half and half with the residual, multiplied over the layers."
)
_HEADS = (
    "Weights of each head, black the least and white the most; below: the head, and its largest"
    " weight in % of all tokens."
)


def attention(looked: Looked, wanted: Wanted, layer: int | None, device: torch.device) -> Report:
    """Attention over images: rollout, or each head of a layer, counted from 1.

    Raises:
        VitexpError: no such layer, too many images for a figure, or none that can be read.
    """
    depth = looked.spec.transformer.depth
    if layer is not None and not 1 <= layer <= depth:
        raise VitexpError(f"{looked.name} has no layer {layer}.", f"Give --layer 1 to {depth}.")
    names, pixels, maps, told = _measured(looked, wanted, layer, device)
    tiles, rows = list[Tile](), list[dict[str, Value]]()
    for name, image, own in zip(names, pixels, maps, strict=True):
        tiles.append(Tile(image, (short(name),)))
        if layer is None:
            tiles.append(Tile(lit(image, own[0])))
        tiles += (_tile(one, head + 1 if layer else None) for head, one in enumerate(own))
        rows += _rows(looked, name, own, layer)
    figure = TilesFigure(
        "Attention rollout" if layer is None else f"Attention of layer {layer}'s heads",
        tuple(tiles),
        (
            _ROLLOUT if layer is None else _HEADS,
            _of(looked) + looked.facts,
            f"{told}.",
        ),
        6 if layer is None else 1 + maps.shape[1],
    )
    stem = f"attention-{looked.stem}" + ("" if layer is None else f"-layer{layer}")
    return Report(stem, figure.title, (), (), _COLUMNS, tuple(rows), (figure,), (), ())


def _of(looked: Looked) -> str:
    """Whose attention it is."""
    cells = "cells of the trunk's map" if looked.spec.trunk else "patches"
    if looked.spec.transformer.pool == "token":
        return f"What the class token has of the {cells}. "
    return f"The mean over all {cells}, as there is no class token. "


def _measured(
    looked: Looked, wanted: Wanted, layer: int | None, device: torch.device
) -> tuple[list[str], np.ndarray, np.ndarray, str]:
    """Names; images, uint8 (n, S, S, C); maps, (n, H, G, G), of rollout with H = 1; which images
    these are."""
    from vitexp.evaluation.attention import at_once, head_maps, rollouts
    from vitexp.models.inputs import sent
    from vitexp.training.execution import DTYPES

    model, precision = looked.model().to(device), DTYPES[looked.of.precision]
    source, batches = wanted.of(looked, at_once(model))
    names, shown, found = list[str](), [], []
    for some, pixels in batches:
        images = sent(pixels, device)
        maps = (
            rollouts(model, images, precision)[:, None]
            if layer is None
            else head_maps(model, images, layer - 1, precision)
        )
        names += some
        shown.append(pixels)
        found.append(maps.reshape(*maps.shape[:2], *model.geometry.grid).numpy())
    if not names:
        raise VitexpError("None of these images can be read.", "Give images.")
    return names, np.concatenate(shown), np.concatenate(found), f"{len(names)} {source}"


def _tile(weights: np.ndarray, head: int | None) -> Tile:
    low, high = weights.min(), weights.max()
    span = f"{100 * low:.2f} to {100 * high:.2f} %"
    return Tile(greys(weights), (span if head is None else f"{head}: {100 * high:.0f} %",))


def _rows(looked: Looked, name: str, maps: np.ndarray, layer: int | None) -> list[dict[str, Value]]:
    return [
        {
            "run": looked.name,
            "image": name,
            "layer": layer or "all",
            "head": head + 1 if layer else "all",
            "row": row + 1,
            "column": column + 1,
            "weight": round(float(weight), 8),
        }
        for (head, row, column), weight in np.ndenumerate(maps)
    ]
