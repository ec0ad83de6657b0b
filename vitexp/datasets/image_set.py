"""Images in memory (or mapped from disk), as all other parts of the program see them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vitexp.datasets.census import Census
from vitexp.errors import VitexpError
from vitexp.spec import Skipped


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
        near_duplicates: pairs of a test image and one in train or validation that look the same,
            though their bytes differ.
        broken: the images that could not be read and were left out, with the reason.
        skipped: what else of the source was left out, a reason each.
        notes: what was decided where the source left it open.
        tested: of one fold of many, whether each of all images is in ``test``: bool, shape (N,), in
            the order train, val, test of the source's own splits; None where these are kept.
        census: what was counted as it was decoded; None where an earlier version did that.
    """

    train: Split
    val: Split
    test: Split
    names: tuple[str, ...]
    fingerprint: str
    name: str
    flips: bool
    duplicates: int = 0
    near_duplicates: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()
    census: Census | None = None
    tested: np.ndarray | None = None

    @property
    def image_size(self) -> int:
        return int(self.train.images.shape[1])

    @property
    def channels(self) -> int:
        return int(self.train.images.shape[3])


def spread(images: int, most: int) -> np.ndarray:
    """At most so many rows of ``images``, evenly over all: they may lie class by class."""
    return np.linspace(0, images - 1, min(images, most)).astype(np.int64)


def _ranges(labels: Sequence[int]) -> str:
    """(0, 1, 2, 7) -> ``"0-2,7"``."""
    starts = [label for label in labels if label - 1 not in labels]
    ends = [label for label in labels if label + 1 not in labels]
    return ",".join(
        f"{first}-{last}" if last > first else str(first)
        for first, last in zip(starts, ends, strict=True)
    )


def only(images: ImageSet, classes: Sequence[int]) -> ImageSet:
    """The images of some classes, in the splits in which they are; labels are counted anew.

    Args:
        classes: labels, rising; at least two.

    Raises:
        VitexpError: a label that there is not, or classes without images in some split.
    """
    wanted = np.asarray(classes)
    count = len(images.names)
    if len(wanted) < 2 or wanted.min() < 0 or wanted.max() >= count:
        raise VitexpError(
            f"{len(wanted)} of the {count} classes of {images.name} are no task to learn.",
            f"Choose at least two, labels 0 to {count - 1}.",
        )

    def part(name: str, split: Split) -> Split:
        kept = np.flatnonzero(np.isin(split.labels, wanted))
        labels = np.searchsorted(wanted, split.labels[kept])
        if not len(kept) or (name == "train" and len(np.unique(labels)) < len(wanted)):
            raise VitexpError(
                f"Some of these classes of {images.name} have no {name} images.",
                "Choose other classes, or more images.",
            )
        return Split(split.images[kept], labels)

    return dataclasses.replace(
        images,
        train=part("train", images.train),
        val=part("validation", images.val),
        test=part("test", images.test),
        names=tuple(images.names[label] for label in classes),
        name=f"{images.name}[{_ranges(classes)}]",
    )
