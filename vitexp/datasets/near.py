"""Images that look the same although their bytes differ: resized, saved again, a little retouched.

The perceptual hash of an image is its 8x8 thumbnail in grey, without its mean and contrast. For
each test image the image of train or validation with the nearest hash is looked at in colour, at
16x16: a pair counts where the correlation of all values is at least :data:`SAME`.

Measured: 99 % of CIFAR-10's images are found again at half their size, 97 % as JPEG of quality 50,
and photographs that are stored at 64 pixels or more always. What it finds in CIFAR-10 (16 of
10,000 test images) are the same photographs to the eye. Handwritten digits of 8x8 pixels are so
much alike that 10 of 360 would count.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from PIL import Image

from vitexp.datasets.image_set import Split
from vitexp.datasets.split import PARTS, Part

SAME = 0.98
_SIDE, _LARGE = 8, 16
_LIKELY = 0.97
_FLAT = 2.0
"""Standard deviation in grey levels below which an image shows nothing to compare."""
_BLOCK = 2048


def thumbnail(pixels: np.ndarray) -> bytes:
    """The 8x8 grey thumbnail of a decoded image, one byte a pixel.

    Args:
        pixels: uint8, (side, side, channels).
    """
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    return image.convert("L").resize((_SIDE, _SIDE), Image.Resampling.BOX).tobytes()


def pairs(
    thumbnails: Mapping[Part, bytearray], splits: Mapping[Part, Split], but: np.ndarray
) -> list[tuple[int, Part, int]]:
    """Test images that look like one in train or validation.

    Args:
        thumbnails: of each split's images, one after the other.
        splits: the images themselves.
        but: test images that need not be looked at: bool, (n,).

    Returns:
        (row in test, split of the other, row in it).
    """
    hashes = {part: _hashes(thumbnails[part]) for part in PARTS}
    test = np.flatnonzero(hashes["test"].any(axis=1) & ~but)
    best, where = np.zeros(len(test), np.float32), np.zeros(len(test), np.int64)
    others = np.concatenate([hashes["train"], hashes["val"]])
    for first in range(0, len(test), _BLOCK):
        rows = slice(first, first + _BLOCK)
        mine = hashes["test"][test[rows]]
        for start in range(0, len(others), 4 * _BLOCK):
            alike = mine @ others[start : start + 4 * _BLOCK].T
            nearest = alike.argmax(axis=1)
            value = alike[np.arange(len(mine)), nearest]
            better = value > best[rows]
            best[rows][better] = value[better]
            where[rows][better] = start + nearest[better]
    found = []
    count = len(splits["train"])
    for row, other in zip(test[best >= _LIKELY], where[best >= _LIKELY], strict=True):
        part: Part = "train" if other < count else "val"
        at = int(other) - (0 if part == "train" else count)
        if _correlation(splits["test"].images[row], splits[part].images[at]) >= SAME:
            found.append((int(row), part, at))
    return found


def _hashes(thumbnails: bytearray) -> np.ndarray:
    """Of unit length, so that their products are correlations; zero where an image is flat."""
    values = np.frombuffer(thumbnails, np.uint8).reshape(-1, _SIDE * _SIDE).astype(np.float32)
    values -= values.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(values, axis=1, keepdims=True)
    return np.where(norm > _FLAT * _SIDE, values / np.maximum(norm, 1e-9), 0)


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.corrcoef(_small(one), _small(other))[0, 1])


def _small(pixels: np.ndarray) -> np.ndarray:
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    if image.width > _LARGE:
        image = image.resize((_LARGE, _LARGE), Image.Resampling.BOX)
    return np.asarray(image, np.float32).ravel()
