"""Which images a model is trained and tested on."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from vitexp.spec.ids import label

HELD_OUT = 0.1
"""Share of train that becomes validation (and test) where a source has none."""


def held_out_of(count: int, share: float | None = None) -> int:
    """How many of ``count`` images a share of them is, at least one; None: :data:`HELD_OUT`."""
    return max(1, round((share or HELD_OUT) * count))


@dataclass(frozen=True)
class Reading:
    """How the files of a source are read. It is no part of a run's identity: the images are.

    Attributes:
        skip_broken: count unreadable images and leave them out, instead of stopping.
        follow_links: read what links to places outside a folder lead to.
        image_column, label_column: of a table; None: by their names and types.
    """

    skip_broken: bool = False
    follow_links: bool = False
    image_column: str | None = None
    label_column: str | None = None


USUAL = Reading()
"""How a source is read that nothing is said about."""


@dataclass(frozen=True)
class Skipped:
    """What was left out of a source for one reason.

    Attributes:
        reason: as it follows "left out:".
        count: how many files, or rows of a table.
        example: the first of them.
    """

    reason: str
    count: int
    example: str


@dataclass(frozen=True)
class Fold:
    """One part of a cross-validation: all images of a source are dealt into folds, alike for all
    classes; one of them is tested, the rest is split into train and validation.

    Attributes:
        of: how many folds.
        index: of the one that is tested, from 0.
        seed: deals the images; a run's own.
    """

    of: int
    index: int = 0
    seed: int = 0


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
        fold: whose images are tested, in place of the source's own splits; None: those.
        skip_broken, follow_links, image_column, label_column: as in :class:`Reading`.
        skipped: what was left out of the source, a reason each.
        remarks: what readers of the numbers should know about the images.
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
    fold: Fold | None = None
    name: str = label("")
    source: str = label("")
    skip_broken: bool = label(False)
    follow_links: bool = label(False)
    image_column: str | None = label(None)
    label_column: str | None = label(None)
    skipped: tuple[Skipped, ...] = label(())
    remarks: tuple[str, ...] = label(())

    @property
    def reading(self) -> Reading:
        return Reading(self.skip_broken, self.follow_links, self.image_column, self.label_column)

    @property
    def used(self) -> int:
        """Number of images to train on."""
        return self.train if self.fraction is None else round(self.fraction * self.train)

    @property
    def pool(self) -> int:
        """Number of images in all splits."""
        return self.train + self.val + self.test

    def drawn(self, seed: int) -> DataSpec:
        """With what a run's seed draws: its subset of train, and who is in which fold."""
        part = None if self.fraction is None else seed
        fold = self.fold and dataclasses.replace(self.fold, seed=seed)
        return dataclasses.replace(self, subset_seed=part, fold=fold)

    def in_fold(self, fold: Fold) -> DataSpec:
        """The same images with those of ``fold`` to test on; folds differ by one image at most."""
        test = len(range(fold.index, self.pool, fold.of))
        val = held_out_of(self.pool - test, self.held_out)
        train = self.pool - test - val
        return dataclasses.replace(self, train=train, val=val, test=test, fold=fold)

    @property
    def undrawn(self) -> DataSpec:
        """Without what a run's seed draws, the first fold in place of any."""
        plain = self.drawn(0)
        first = plain.fold and dataclasses.replace(plain.fold, index=0)
        data = dataclasses.replace(plain, subset_seed=None)
        return data if first is None else data.in_fold(first)
