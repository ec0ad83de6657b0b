"""Images of noise: for measurements to which it does not matter what an image shows."""

from __future__ import annotations

import numpy as np

from vitexp.datasets.image_set import ImageSet, Split
from vitexp.spec import DataSpec

NOISE = "noise"


def noise(data: DataSpec, channels: int, classes: int) -> ImageSet:
    """Random images and labels, the same for the same arguments, of the sizes in ``data``."""
    random = np.random.default_rng(0)
    side = data.image_size

    def split(count: int) -> Split:
        images = random.integers(0, 256, (count, side, side, channels), dtype=np.uint8)
        return Split(images, np.arange(count) % classes)

    train, val, test = (split(count) for count in (data.train, data.val, data.test))
    names = tuple(str(label) for label in range(classes))
    return ImageSet(train, val, test, names, data.fingerprint, data.name, flips=False)


def noise_spec(side: int, train: int) -> DataSpec:
    """What names such images, with ``train`` of them to train on."""
    return DataSpec(NOISE, side, train, 2, 2, name=NOISE, source=NOISE)
