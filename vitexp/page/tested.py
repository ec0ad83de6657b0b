"""Test images behind a cell: which classes it gets right, and the images that it gets wrong.

All of it follows from one bit a run and image, kept with each result, and from the images and
labels themselves, where this machine has them.
"""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from PIL import Image

from vitexp.analysis.groups import Group
from vitexp.datasets.folds import pooled_labels
from vitexp.datasets.image_set import ImageSet
from vitexp.datasets.load import at_hand
from vitexp.spec import DataSpec

WORST = 12
"""Images of a cell that are named, at most."""
CLASSES = 30
"""Classes of a cell that are named, at most: those that it gets wrong most often."""
PAIRS = 400
"""Pairs of classes of a cell that are told, at most: all of twenty classes."""
PICTURES = 400
"""Pictures of a data set on a page, at most."""
_SIDE = 64
"""Pixels of a picture, at most."""


@dataclass(frozen=True)
class TestSet:
    """What was tested.

    Attributes:
        images: of the data set, in its own splits.
        folded: whether all of its images were tested, train, validation, test in this order.
    """

    images: ImageSet
    folded: bool

    @cached_property
    def labels(self) -> np.ndarray:
        """Of each tested image: int, (N,)."""
        return pooled_labels(self.images) if self.folded else self.images.test.labels

    def pixels(self, row: int) -> np.ndarray:
        """A tested image: uint8, (side, side, channels)."""
        splits = (self.images.train, self.images.val) if self.folded else ()
        for split in splits:
            if row < len(split):
                return np.asarray(split.images[row])
            row -= len(split)
        return np.asarray(self.images.test.images[row])


class TestSets:
    """Those of all cells on a page, each opened once; and the pictures that they ask for."""

    def __init__(self) -> None:
        self._sets: dict[tuple[str, bool, object], TestSet | None] = {}
        self._numbers: dict[int, int] = {}
        self._wanted: list[dict[int, int]] = []
        self._found: list[TestSet] = []

    def about(self, group: Group) -> dict[str, Any] | None:
        """What a cell does with each class and which images it gets wrong; None where the images
        are not here or no run of it ended well."""
        tested = self._of(group.spec.data)
        seeds = [record.spec.seed for record in group.done]
        if tested is None or not seeds or len(tested.labels) != group.images:
            return None
        right = group.correct(seeds).mean(axis=0)
        worst = _worst(right)
        number = self._number(tested)
        for row in worst:
            wanted = self._wanted[number]
            wanted[row] = wanted.get(row, 0) + 1
        return {
            "set": number,
            "classes": _by_class(right, tested.labels),
            "worst": [[row, round(len(seeds) * (1 - float(right[row])))] for row in worst],
            "seeds": len(seeds),
            "confusion": _confusion(group, tested.labels),
        }

    def shown(self) -> list[dict[str, Any]]:
        """Of each set its classes' names, and label and picture of the rows that were asked for;
        of too many the most often asked for have a picture."""
        return [
            {
                "names": list(tested.images.names),
                "labels": {row: int(tested.labels[row]) for row in wanted},
                "pictures": {row: picture(tested.pixels(row)) for row in _commonest(wanted)},
            }
            for tested, wanted in zip(self._found, self._wanted, strict=True)
        ]

    def _of(self, data: DataSpec) -> TestSet | None:
        key = data.fingerprint, data.fold is not None, data.classes
        if key not in self._sets:
            images = at_hand(data)
            found = None if images is None else TestSet(images, data.fold is not None)
            self._sets[key] = found
        return self._sets[key]

    def _number(self, tested: TestSet) -> int:
        if id(tested) not in self._numbers:
            self._numbers[id(tested)] = len(self._found)
            self._found.append(tested)
            self._wanted.append({})
        return self._numbers[id(tested)]


def _worst(right: np.ndarray) -> list[int]:
    """Rows of the images that most seeds get wrong, the worst first."""
    order = np.argsort(right, kind="stable")[:WORST]
    return [int(row) for row in order if right[row] < 1]


def _confusion(group: Group, labels: np.ndarray) -> dict[str, Any] | None:
    """(class, what it is taken for, images) of the seeds that kept it, the commonest first; of
    how many seeds; None where none did."""
    kept = [taken for record in group.done if (taken := record.taken()) is not None]
    pairs = Counter(
        (int(labels[row]), int(taken[row])) for taken in kept for row in np.flatnonzero(taken >= 0)
    )
    rows = [[*pair, count] for pair, count in pairs.most_common(PAIRS)]
    return {"seeds": len(kept), "pairs": rows, "all": len(pairs)} if kept else None


def _by_class(right: np.ndarray, labels: np.ndarray) -> list[list[float]]:
    """(class, images, share that is right), the lowest share first."""
    counts = np.bincount(labels)
    sums = np.bincount(labels, weights=right)
    rows = [[k, int(n), round(float(sums[k] / n), 4)] for k, n in enumerate(counts) if n]
    return sorted(rows, key=lambda row: row[2])[:CLASSES]


def _commonest(wanted: Mapping[int, int]) -> Sequence[int]:
    return sorted(wanted, key=lambda row: -wanted[row])[:PICTURES]


def picture(pixels: np.ndarray) -> str:
    """An image as a data URL: a PNG where it is small, else a JPEG of 64 pixels a side."""
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    content, small = io.BytesIO(), image.width <= _SIDE // 2
    image.thumbnail((_SIDE, _SIDE))
    image.save(content, "PNG" if small else "JPEG", optimize=True)
    kind = "png" if small else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(content.getvalue()).decode()}"
