"""Cross-validation: all images of a source dealt into folds, each tested by another run."""

from __future__ import annotations

import dataclasses

import numpy as np

from vitexp.datasets.image_set import ImageSet, Split
from vitexp.datasets.split import take_out
from vitexp.errors import VitexpError
from vitexp.spec import DataSpec, Fold
from vitexp.spec.data import held_out_of


def deal(labels: np.ndarray, fold: Fold) -> np.ndarray:
    """Which fold each image is in; each class is spread over all, within one image.

    Args:
        labels: int, shape (N,).
        fold: any of the folds.

    Returns:
        int, shape (N,), from 0.
    """
    # A uniform and a stable sort: unlike `permutation`, the same in every version of numpy.
    draw = np.random.Generator(np.random.PCG64([fold.seed, fold.of])).random(len(labels))
    of = np.empty(len(labels), int)
    of[np.lexsort((draw, labels))] = np.arange(len(labels)) % fold.of
    return of


def pooled_labels(images: ImageSet) -> np.ndarray:
    """The labels of all images: train, then validation, then test; int, shape (N,)."""
    return np.concatenate([split.labels for split in _splits(images)])


def in_fold(
    images: ImageSet, fold: Fold, split_seed: int = 0, held_out: float | None = None
) -> ImageSet:
    """All images, with those of ``fold`` to test on.

    Args:
        images: as the source has them.
        split_seed, held_out: draw the validation split, as where a source has none.
    """
    parts = _parts(pooled_labels(images), fold, split_seed, held_out)
    train, val, test = (_taken(images, parts == part) for part in ("train", "val", "test"))
    return dataclasses.replace(images, train=train, val=val, test=test, tested=parts == "test")


def train_labels(images: ImageSet, fold: Fold) -> np.ndarray:
    """The labels that are trained on where ``fold`` is tested: int, shape (n,)."""
    labels = pooled_labels(images)
    return np.asarray(labels[_parts(labels, fold, 0, None) == "train"])


def _parts(labels: np.ndarray, fold: Fold, split_seed: int, held_out: float | None) -> np.ndarray:
    parts = np.where(deal(labels, fold) == fold.index, "test", "train")
    rest = int((parts == "train").sum())
    take_out(parts, labels, "val", split_seed, held_out_of(rest, held_out))
    return parts


def _splits(images: ImageSet) -> tuple[Split, ...]:
    return images.train, images.val, images.test


def _taken(images: ImageSet, kept: np.ndarray) -> Split:
    """Those of all images that are ``kept``: bool, shape (N,)."""
    splits = _splits(images)
    ends = np.cumsum([len(split) for split in splits])
    own = list(zip(splits, np.split(kept, ends[:-1]), strict=True))
    return Split(
        np.concatenate([split.images[some] for split, some in own]),
        np.concatenate([split.labels[some] for split, some in own]),
    )


def folded(data: DataSpec, images: ImageSet, folds: int, seed: int) -> DataSpec:
    """What names the first fold of ``images``.

    Raises:
        VitexpError: a class has fewer images than there are folds.
    """
    counts = np.bincount(pooled_labels(images), minlength=len(images.names))
    fewest = int(np.where(counts > 0, counts, counts.max()).argmin())
    if folds > counts[fewest]:
        most = f"at most {counts[fewest]}" if counts[fewest] > 1 else "no"
        raise VitexpError(
            f"--folds {folds}: class {images.names[fewest]!r} has {counts[fewest]} images.",
            f"Choose {most} folds, so that each tests every class.",
        )
    return data.in_fold(Fold(folds, seed=seed))
