"""What a source was understood as, without training on it."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from vitexp.datasets.image_set import ImageSet
from vitexp.datasets.split import PARTS
from vitexp.spec import DataSpec


def summary(spec: DataSpec, images: ImageSet) -> dict[str, Any]:
    """Splits, classes, sizes, repetitions and what was left out, under the README's names."""
    splits = {part: getattr(images, part) for part in PARTS}
    counts = {
        part: np.bincount(split.labels, minlength=len(images.names))
        for part, split in splits.items()
    }
    census = images.census
    return {
        "name": images.name,
        "source": spec.source,
        "image_size": images.image_size,
        "channels": images.channels,
        "splits": {part: len(split) for part, split in splits.items()},
        "classes": [
            {"name": name, **{part: int(counts[part][label]) for part in PARTS}}
            for label, name in enumerate(images.names)
        ],
        "sizes": census
        and {
            name: dataclasses.asdict(census)[name]
            for name in ("different", "smallest", "largest", "sizes")
        },
        "duplicates": {
            "within": census and {each.where: each.images for each in census.within},
            "across": census and {each.where: each.images for each in census.across},
            "alike": list(images.near_duplicates),
        },
        "broken": list(images.broken),
        "skipped": [dataclasses.asdict(each) for each in images.skipped],
        "remarks": list(spec.remarks),
        "fingerprint": images.fingerprint,
    }
