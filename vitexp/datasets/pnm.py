"""Pixels as an image file: PNM, so that no library's version changes the bytes that are hashed."""

from __future__ import annotations

import numpy as np


def pnm(pixels: np.ndarray, scale: float = 1.0) -> bytes:
    """An image file of ``pixels``, (height, width) or (height, width, 1 or 3), times ``scale``."""
    if pixels.dtype != np.uint8 or scale != 1:
        pixels = np.rint(pixels.astype(np.float64) * scale).astype(np.uint8)
    height, width, *channels = pixels.shape
    form = b"P6" if channels == [3] else b"P5"
    return b"%s %d %d 255\n" % (form, width, height) + pixels.tobytes()
