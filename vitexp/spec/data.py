"""Which images a model is trained and tested on."""

from __future__ import annotations

from dataclasses import dataclass

from vitexp.spec.ids import label


@dataclass(frozen=True)
class DataSpec:
    """Images to train and test on.

    Attributes:
        name: short name for tables.
        source: what ``--dataset`` was given; where to find the images again.
        fingerprint: hash of the encoded bytes, the labels and the preprocessing's version.
        image_size: side of the stored square images in pixels.
        train, val, test: number of images in each split.
        split_seed: draws the validation split where the source has none.
        fraction: share of the training split that is used (nested, stratified subsets).
        subset_seed: draws the subset.
        classes: the labels of the only classes that are used, rising; ``train``, ``val`` and
            ``test`` count their images. None: all.
        held_out: share of train that becomes validation where the source has none; None: 0.1.
        skip_broken: whether unreadable images were counted and left out.
    """

    fingerprint: str
    image_size: int
    train: int
    val: int
    test: int
    split_seed: int = 0
    fraction: float | None = None
    subset_seed: int | None = None
    classes: tuple[int, ...] | None = None
    held_out: float | None = None
    name: str = label("")
    source: str = label("")
    skip_broken: bool = label(False)

    @property
    def used(self) -> int:
        """Number of images to train on."""
        return self.train if self.fraction is None else round(self.fraction * self.train)
