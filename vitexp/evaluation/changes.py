"""Images that are shifted, shuffled or partly hidden, and what becomes of a map that goes along.

B images, S side, C channels, G side of a map, D its channels, n tiles along a side.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

DIRECTIONS = ((-1, 0), (1, 0), (0, -1), (0, 1))
FARTHEST = 32
"""Pixels of the largest shift: two of the paper's patches."""
SHUFFLES = 4
"""Orders of the tiles; the same for every image and model."""
_TILE = 32
_GREY = 128


@dataclass(frozen=True)
class Change:
    """One way to change images.

    Attributes:
        name: what it is one of: ``shift_3``, ``shuffle`` or ``hidden``.
        images: uint8 (B, S, S, C) -> the same, changed.
        cells: a map (B, G, G, D) -> that of the changed images, if it goes along with them; None
            where the map is too coarse to say.
        hides: (row, column) of the centre of what is hidden, in sides; None where nothing is.
    """

    name: str
    images: Callable[[Tensor], Tensor]
    cells: Callable[[Tensor], Tensor | None]
    hides: tuple[float, float] | None = None


def changes(side: int) -> Iterator[Change]:
    """All of them, for images of ``side`` pixels.

    Shifts are circular: nothing is lost or made up at the edge, each has an inverse, and of a map
    it is known where each cell goes. So a model can be exactly invariant or equivariant.
    """
    for pixels in shifts(side):
        for down, right in DIRECTIONS:
            by = (down * pixels, right * pixels)
            images, cells = partial(torch.roll, shifts=by, dims=(1, 2)), partial(rolled, by, side)
            yield Change(f"shift_{pixels}", images, cells)
    tiles = side // tile(side)
    for draw in range(SHUFFLES):
        order = torch.from_numpy(np.random.default_rng(draw).permutation(tiles**2))
        yield Change("shuffle", partial(reordered, order, tiles), partial(_followed, order, tiles))
    for row in range(tiles):
        for column in range(tiles):
            hide = partial(_hidden, tile(side), row, column)
            centre = ((row + 0.5) / tiles, (column + 0.5) / tiles)
            yield Change("hidden", hide, lambda cells: cells, centre)


def shifts(side: int) -> range:
    """Pixels of the shifts; beyond half of the side they come back."""
    return range(1, min(side // 2, FARTHEST) + 1)


def tile(side: int) -> int:
    """Pixels along a tile that is moved or hidden as a whole: a quarter of the side, or from 128
    pixels on 32, which is a whole number of patches."""
    if side >= 4 * _TILE and side % _TILE == 0:
        return _TILE
    return max(d for d in range(1, max(side // 4, 1) + 1) if side % d == 0)


def rolled(by: tuple[int, int], side: int, cells: Tensor) -> Tensor:
    """A map (B, G, G, D) that follows a circular shift; between two cells it is linear."""
    for axis, pixels in zip((1, 2), by, strict=True):
        far = pixels * cells.shape[axis] / side
        whole = math.floor(far)
        part = far - whole
        near, beyond = (cells.roll(whole + more, dims=axis) for more in (0, 1))
        cells = near if part == 0 else (1 - part) * near + part * beyond
    return cells


def reordered(order: Tensor, tiles: int, grid: Tensor) -> Tensor:
    """Images or maps (B, S, S, C) with their n x n tiles in another order."""
    b, s, _, c = grid.shape
    t = s // tiles
    cut = grid.view(b, tiles, t, tiles, t, c).transpose(2, 3).reshape(b, tiles**2, t, t, c)
    mixed = cut[:, order.to(grid.device)].view(b, tiles, tiles, t, t, c)
    return mixed.transpose(2, 3).reshape(b, s, s, c)


def _followed(order: Tensor, tiles: int, cells: Tensor) -> Tensor | None:
    """A map of which each tile has whole cells; None of a coarser one."""
    return None if cells.shape[1] % tiles else reordered(order, tiles, cells)


def _hidden(side: int, row: int, column: int, images: Tensor) -> Tensor:
    """With one tile in mid-grey (Zeiler and Fergus 2014)."""
    changed = images.clone()
    rows, columns = (slice(at * side, (at + 1) * side) for at in (row, column))
    changed[:, rows, columns] = _GREY
    return changed
