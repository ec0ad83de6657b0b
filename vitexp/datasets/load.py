"""From a source string to images: decoded once, then found in the cache."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vitexp.catalog.datasets import EMBEDDED
from vitexp.datasets.cache import Cache, Known, default_cache
from vitexp.datasets.colour import in_colour
from vitexp.datasets.digits import load_digits
from vitexp.datasets.fingerprint import PREPROCESSING
from vitexp.datasets.folds import in_fold
from vitexp.datasets.image_set import ImageSet, Split, only
from vitexp.datasets.locate import locate, short_name
from vitexp.datasets.remarks import remarks
from vitexp.datasets.split import subset
from vitexp.errors import VitexpError
from vitexp.spec import USUAL, DataSpec, Fold, Reading

MEANING = 3
"""Version of how sources are understood: raise it where the same files come to other images."""

Progress = Callable[[str, int, int], None]
"""Called with (stage, done, total)."""


def load(
    source: str,
    *,
    image_size: int | None = None,
    cache: Path | None = None,
    split_seed: int = 0,
    reading: Reading = USUAL,
    fraction: float | None = None,
    subset_seed: int | None = None,
    classes: tuple[int, ...] | None = None,
    held_out: float | None = None,
    fold: Fold | None = None,
    channels: int | None = None,
    progress: Progress | None = None,
) -> ImageSet:
    """The images of a source, decoded to square uint8, in three disjoint splits.

    The first call decodes and hashes everything into the cache. A later one maps it from
    there, unless the path, size or time of one of the source's files changed. How the splits
    come about is said at :func:`vitexp.datasets.split.partition`.

    Args:
        source: a short name (``digits``, ``cifar10``, ...), a folder of images
            (``train/CLASS/*.png`` and ``test/CLASS/*.png``, or ``CLASS/*.png``), a folder or
            pattern of tables, tar files or arrays, or a Hugging Face id
            (``owner/name[:configuration]``).
        image_size: side in pixels; None keeps the images' own where all are square and equal,
            and is 224 elsewhere.
        cache: folder; None is ``$VITEXP_CACHE`` or the user's cache folder.
        split_seed: draws the validation split where the source has none.
        reading: how the source's files are read.
        fraction: share of the training split to use; None is all of it.
        subset_seed: draws that subset.
        classes: labels of the only classes to use, rising; they become 0, 1, ...
        held_out: share of train for validation where the source has none; None is 10 %.
        fold: whose images to test on, instead of the source's own.
        channels: of the model that they are for: with 3, grey images get three equal channels.
        progress: called with how far decoding is; not when the cache is used.

    Raises:
        VitexpError: an unknown source, an unusable layout or column, an unreadable image, no
            network for a hub id, or a cache that cannot be written.
    """
    asked = _Asked(source, image_size, split_seed, reading, classes, held_out)
    images = _open(asked, cache, progress, channels)[1]
    if fold is not None:
        images = in_fold(images, fold, split_seed, held_out)
    if fraction is None:
        return images
    train = images.train
    kept = subset(train.labels, fraction, subset_seed or 0)
    return dataclasses.replace(images, train=Split(train.images[kept], train.labels[kept]))


def at_hand(data: DataSpec) -> ImageSet | None:
    """The images that a spec names, whole and in the splits of their source, where nothing has to
    be read but the cache; None where they are not in it."""
    if short_name(data.source) == EMBEDDED:
        images = load_digits(data.image_size, data.split_seed, data.held_out)
    else:
        store = Cache(default_cache())
        known = store.made(data.fingerprint)
        stored = known and _stored(store, data.name, False, known)
        if not stored:
            return None
        images = stored
    if images.fingerprint != data.fingerprint:
        return None
    return images if data.classes is None else only(images, data.classes)


def images_of(data: DataSpec, channels: int | None = None) -> ImageSet:
    """The images that a spec names, found again.

    Args:
        channels: as for :func:`load`.

    Raises:
        VitexpError: as :func:`load`; or they are not those that the spec was made from.
    """
    images = load(
        data.source,
        image_size=data.image_size,
        split_seed=data.split_seed,
        reading=data.reading,
        fraction=data.fraction,
        subset_seed=data.subset_seed,
        classes=data.classes,
        held_out=data.held_out,
        fold=data.fold,
        channels=channels,
    )
    if images.fingerprint != data.fingerprint:
        raise VitexpError(
            f"The data set {data.source!r} changed while runs on it were planned.",
            "Repeat the command: it plans anew and never mixes the two versions.",
        )
    return images


@dataclass(frozen=True)
class _Asked:
    """Which images of which source, in which splits; all but how many of train."""

    source: str
    image_size: int | None
    split_seed: int
    reading: Reading
    classes: tuple[int, ...] | None
    held_out: float | None


def _open(
    asked: _Asked,
    cache: Path | None,
    progress: Progress | None,
    channels: int | None = None,
    counted: bool = False,
) -> tuple[str, ImageSet]:
    source, images = _decoded(asked, cache, progress, counted)
    if channels == 3 and images.channels == 1:
        images = in_colour(images, Cache(cache or default_cache()))
    return source, images if asked.classes is None else only(images, asked.classes)


def _decoded(
    asked: _Asked, cache: Path | None, progress: Progress | None, counted: bool
) -> tuple[str, ImageSet]:
    image_size, split_seed = asked.image_size, asked.split_seed
    if image_size is not None and image_size < 1:
        raise VitexpError(f"An image size of {image_size}.", "Give a side of at least 1 pixel.")
    if short_name(asked.source) == EMBEDDED:
        return EMBEDDED, load_digits(image_size, split_seed, asked.held_out)
    place = locate(asked.source, asked.reading)
    store = Cache(cache or default_cache())
    own = [] if asked.held_out is None else [asked.held_out]

    def key(side: int | None) -> str:
        how = dataclasses.astuple(asked.reading)
        what = [PREPROCESSING, MEANING, place.source, side, split_seed, how, *own]
        return hashlib.sha256(json.dumps(what).encode()).hexdigest()[:32]

    known = store.known(key(image_size))
    usable = known and known.stamp == place.stamp and (known.census or not counted)
    if known and usable and (images := _stored(store, place.name, place.flips, known)):
        return place.source, images
    from vitexp.datasets.build import build

    broken = asked.reading.skip_broken
    known = build(place, store, image_size, split_seed, broken, progress, asked.held_out)
    images = _stored(store, place.name, place.flips, known)
    assert images is not None
    # A run's spec carries the side that came out; asked with it, the same set is found.
    for side in (image_size, images.image_size):
        store.remember(key(side), known)
    return place.source, images


def _stored(store: Cache, name: str, flips: bool, known: Known) -> ImageSet | None:
    splits = store.splits(known.fingerprint)
    if splits is None:
        return None
    return ImageSet(
        train=splits["train"],
        val=splits["val"],
        test=splits["test"],
        names=known.names,
        fingerprint=known.fingerprint,
        name=name,
        flips=flips,
        duplicates=known.duplicates,
        near_duplicates=known.near_duplicates,
        broken=known.broken,
        skipped=known.skipped,
        notes=known.notes,
        census=known.census,
    )


def describe(
    source: str,
    *,
    image_size: int | None = None,
    cache: Path | None = None,
    split_seed: int = 0,
    reading: Reading = USUAL,
    fraction: float | None = None,
    subset_seed: int = 0,
    classes: tuple[int, ...] | None = None,
    held_out: float | None = None,
    progress: Progress | None = None,
    counted: bool = False,
) -> tuple[DataSpec, ImageSet]:
    """The spec by which a worker finds the same images again, and the images.

    Args:
        fraction: share of the training split to use; None or 1 is all of it.
        subset_seed: draws that subset.
        source, image_size, cache, split_seed, reading, classes, held_out, progress: as for
            :func:`load`.
        counted: whether the images' census is wanted even if an earlier version decoded them.

    Raises:
        VitexpError: as :func:`load`; or a fraction at which a class would have no image.
    """
    asked = _Asked(source, image_size, split_seed, reading, classes, held_out)
    found, images = _open(asked, cache, progress, counted=counted)
    if fraction is not None:
        subset(images.train.labels, fraction, subset_seed)
    part = fraction is not None and fraction < 1
    spec = DataSpec(
        fingerprint=images.fingerprint,
        image_size=images.image_size,
        train=len(images.train),
        val=len(images.val),
        test=len(images.test),
        split_seed=split_seed,
        fraction=fraction if part else None,
        subset_seed=subset_seed if part else None,
        classes=classes,
        held_out=held_out,
        name=images.name,
        source=found,
        skipped=images.skipped,
        remarks=remarks(images),
        **vars(reading),
    )
    return spec, images
