"""Grey images for models of RGB ones: three equal channels."""

from __future__ import annotations

import dataclasses
from contextlib import closing

import numpy as np

from vitexp.datasets.cache import Cache, SplitWriter
from vitexp.datasets.image_set import ImageSet
from vitexp.datasets.split import PARTS


def in_colour(images: ImageSet, cache: Cache) -> ImageSet:
    """A grey set with three equal channels, mapped from the cache; it is the same data set.

    Raises:
        VitexpError: the cache cannot be written.
    """
    assert images.channels == 1
    stored = f"{images.fingerprint}-rgb"
    splits = cache.splits(stored)
    if splits is None:
        needed = 3 * sum(getattr(images, part).images.nbytes for part in PARTS)
        with cache.building(needed) as folder, cache.writing():
            for part in PARTS:
                split = getattr(images, part)
                with closing(SplitWriter(folder, part, images.image_size, 3)) as writer:
                    for pixels, label in zip(split.images, split.labels.tolist(), strict=True):
                        writer.add(np.repeat(pixels, 3, axis=2), label)
            cache.publish(folder, stored)
        splits = cache.splits(stored)
        assert splits is not None
    train, val, test = (splits[part] for part in PARTS)
    return dataclasses.replace(images, train=train, val=val, test=test)
