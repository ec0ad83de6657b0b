"""A map over the cells of an image as pixels.

S side, C channels, G side of the map.
"""

from __future__ import annotations

from pathlib import PurePath

import numpy as np
from PIL import Image


def short(name: str) -> str:
    """A file by its name alone."""
    return PurePath(name).name


def greys(cells: np.ndarray) -> np.ndarray:
    """A map (G, G) from its least value, black, to its most, white: uint8, (G, G, 1)."""
    grey = 255 * (cells - cells.min()) / max(cells.max() - cells.min(), 1e-12)
    pixels: np.ndarray = grey.round().astype(np.uint8)[:, :, None]
    return pixels


def lit(image: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """An image, uint8 (S, S, C), times what of the map is above 0, over its largest value and
    bilinearly enlarged, as the paper shows attention."""
    side, above = image.shape[:2], cells.clip(min=0)
    light = Image.fromarray((above / max(above.max(), 1e-12)).astype(np.float32))
    spread = np.asarray(light.resize(side, Image.Resampling.BILINEAR))
    pixels: np.ndarray = (image * spread[:, :, None]).round().astype(np.uint8)
    return pixels
