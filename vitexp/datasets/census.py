"""What is counted of a data set's images beside what they show: their sizes, and repetitions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from vitexp.datasets.split import PARTS, Part

_USUAL = 5
_PAIRS: tuple[tuple[Part, Part], ...] = (("val", "train"), ("test", "train"), ("test", "val"))


@dataclass(frozen=True, order=True)
class Size:
    """How many images are so large, in pixels and upright."""

    width: int
    height: int
    images: int


@dataclass(frozen=True)
class Repeats:
    """How many images occur twice by their encoded bytes: of a split, where."""

    where: str
    images: int


@dataclass(frozen=True)
class Census:
    """What was counted while a source was decoded.

    Attributes:
        sizes: the most frequent sizes, five at most.
        smallest, largest: by area.
        different: how many sizes there are.
        within: for each split its images that occurred in it before.
        across: ``val in train`` and so on: images of the one that also occur in the other.
    """

    sizes: tuple[Size, ...]
    smallest: Size
    largest: Size
    different: int
    within: tuple[Repeats, ...]
    across: tuple[Repeats, ...]


def census(sizes: Counter[tuple[int, int]], seen: Mapping[Part, np.ndarray]) -> Census:
    """The census of images.

    Args:
        sizes: (width, height) -> how many, of all images; not empty.
        seen: of each split, a digest an image.
    """
    by_area = sorted(Size(*size, images=count) for size, count in sizes.items())
    return Census(
        sizes=tuple(Size(*size, images=count) for size, count in sizes.most_common(_USUAL)),
        smallest=min(by_area, key=lambda size: size.width * size.height),
        largest=max(by_area, key=lambda size: size.width * size.height),
        different=len(sizes),
        within=tuple(Repeats(part, len(seen[part]) - len(np.unique(seen[part]))) for part in PARTS),
        across=tuple(
            Repeats(f"{one} in {other}", int(np.isin(seen[one], seen[other]).sum()))
            for one, other in _PAIRS
        ),
    )
