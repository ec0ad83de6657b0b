"""Images in memory (or mapped from disk), as every other room sees them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Split:
    """One split.

    Attributes:
        images: uint8, shape (n, side, side, channels); often a read-only memory map.
        labels: int64, shape (n,), each in [0, classes).
    """

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class ImageSet:
    """A data set, decoded to square uint8 images, in three disjoint splits.

    Attributes:
        train, val, test: the splits.
        names: class names, in label order.
        fingerprint: hash of the encoded bytes, the labels and the preprocessing's version.
        name: short name for tables.
        flips: whether a horizontal flip keeps the label (not for digits).
        duplicates: test images whose encoded bytes also occur in train or validation.
        broken: the images that could not be read and were left out, with the reason.
    """

    train: Split
    val: Split
    test: Split
    names: tuple[str, ...]
    fingerprint: str
    name: str
    flips: bool
    duplicates: int = 0
    broken: tuple[str, ...] = ()

    @property
    def image_size(self) -> int:
        return int(self.train.images.shape[1])

    @property
    def channels(self) -> int:
        return int(self.train.images.shape[3])
