"""Decoding a whole source into the cache: read, hash, decode and write in one pass."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
import unicodedata
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from functools import partial
from itertools import chain, islice
from pathlib import Path

import numpy as np

from vitexp.datasets.cache import Cache, Known, SplitWriter, written
from vitexp.datasets.census import census
from vitexp.datasets.decode import (
    VARYING_SIDE,
    Layout,
    MisfitError,
    fit,
    guess,
    shorter_side,
    upright,
)
from vitexp.datasets.fingerprint import Fingerprint
from vitexp.datasets.near import pairs, thumbnail
from vitexp.datasets.source import Item, Place, Source, UnreadableError
from vitexp.datasets.split import PARTS, Part, partition
from vitexp.errors import VitexpError

THREADS = min(4, os.cpu_count() or 1)
_GROUP = 16
"""Images a task: handing over costs as much as decoding a small image."""
_LOOKED_AT = 2_000
"""Images whose size decides, at most, about."""

Decoded = tuple[bytes, np.ndarray, bytes, tuple[int, int]] | UnreadableError
"""SHA-256 of the encoded bytes, uint8 pixels (side, side, channels), a thumbnail of them and the
image's own size, or why there are none."""


def build(
    place: Place,
    cache: Cache,
    image_size: int | None,
    split_seed: int,
    skip_broken: bool,
    progress: Callable[[str, int, int], None] | None,
    held_out: float | None = None,
) -> Known:
    """Decode a source into the cache.

    The layout is guessed from the first image; an image that does not fit widens it and
    starts over, so that headers need no pass of their own.

    Raises:
        VitexpError: as :func:`vitexp.datasets.load.load`.
    """
    source = place.open()
    labels = {name: split.labels for name, split in source.splits.items()}
    parts = partition(labels, split_seed, held_out)
    _check_labels(source, parts, place.source)
    total = sum(map(len, parts.values()))
    with warnings.catch_warnings():
        # Pillow's remarks on odd metadata name no file; what cannot be decoded raises.
        warnings.simplefilter("ignore")
        usual = functools.cache(lambda: usual_side(source, total))

        def sized(layout: Layout) -> Layout:
            if image_size is not None or not layout.resize:
                return layout
            return dataclasses.replace(layout, side=usual())

        layout = sized(_first_layout(source, image_size, place.source))
        while True:
            needed = total * layout.side**2 * layout.channels
            try:
                with cache.building(needed) as folder, cache.writing():
                    writing = _Writing(folder, layout, skip_broken)
                    for done in writing.decode(source, parts):
                        if progress:
                            progress(f"decoding {place.name}", done, total)
                    known = writing.known(place, source, _said(layout, image_size))
                    cache.publish(folder, known.fingerprint)
                    return known
            except MisfitError as misfit:
                layout = sized(misfit.layout)


def usual_side(source: Source, total: int) -> int:
    """The median of the images' shorter sides, at most :data:`VARYING_SIDE`: one that is larger or
    smaller than the others does not decide. Of many images, some are looked at.

    Args:
        total: number of images.
    """
    every = max(1, total // _LOOKED_AT)
    items = (
        item for split in source.splits.values() for batch in split.batches() for item in batch
    )
    sides = [side for _, read in islice(items, 0, None, every) if (side := shorter_side(read))]
    return min(VARYING_SIDE, int(np.median(sides)))


def _said(layout: Layout, image_size: int | None) -> tuple[str, ...]:
    if image_size is not None or not layout.resize:
        return ()
    return (
        f"sizes differ: {layout.side} px, by the median of the shorter sides up to"
        f" {VARYING_SIDE} (--image-size chooses another)",
    )


class _Writing:
    """One attempt to write a set in one layout."""

    def __init__(self, folder: Path, layout: Layout, skip_broken: bool) -> None:
        self._folder = folder
        self._layout = layout
        self._skip_broken = skip_broken
        self._fingerprint = Fingerprint()
        self._names: dict[Part, list[str]] = {part: [] for part in PARTS}
        self._thumbnails = {part: bytearray() for part in PARTS}
        self._broken: list[str] = []
        self._sizes: Counter[tuple[int, int]] = Counter()

    def decode(self, source: Source, parts: Mapping[Part, np.ndarray]) -> Iterator[int]:
        """Write all images; yields how many are done."""
        done = 0
        side, channels = self._layout.side, self._layout.channels
        with ThreadPoolExecutor(THREADS) as pool, ExitStack() as stack:
            writers = {
                part: stack.enter_context(closing(SplitWriter(self._folder, part, side, channels)))
                for part in PARTS
            }
            for name, split in source.splits.items():
                rows = zip(parts[name].tolist(), split.labels.tolist(), strict=True)
                for batch in split.batches():
                    images = _decoded(pool, self._layout, batch)
                    for item, decoded in zip(batch, images, strict=True):
                        self._keep(item, decoded, writers, *next(rows))
                    done += len(batch)
                    yield done

    def _keep(
        self,
        item: Item,
        decoded: Decoded,
        writers: Mapping[Part, SplitWriter],
        part: Part,
        label: int,
    ) -> None:
        if isinstance(decoded, UnreadableError):
            self._broken.append(f"{item[0]}: {decoded}")
            if not self._skip_broken:
                raise unreadable(self._broken[-1])
            return
        digest, pixels, small, size = decoded
        self._sizes[size] += 1
        writers[part].add(pixels, label)
        self._fingerprint.add(part, digest, label)
        self._names[part].append(item[0])
        self._thumbnails[part] += small

    def known(self, place: Place, source: Source, notes: tuple[str, ...] = ()) -> Known:
        """What is to be remembered of the written set.

        Args:
            notes: what was decided, beside what the source says.

        Raises:
            VitexpError: all images of a part were unreadable.
        """
        for part, names in self._names.items():
            if not names:
                raise VitexpError(
                    f"{place.source}: no readable image is left for the {part} split.",
                    f"{len(self._broken)} images cannot be read, such as {self._broken[0]}.",
                )
        twice = self._fingerprint.duplicates()
        return Known(
            stamp=place.stamp,
            fingerprint=self._fingerprint.hexdigest(source.names, self._layout.side),
            names=source.names,
            duplicates=int(twice.sum()),
            near_duplicates=self._alike(twice),
            broken=tuple(self._broken),
            skipped=source.skipped,
            notes=(*source.notes, *notes),
            census=census(self._sizes, self._fingerprint.seen()),
        )

    def _alike(self, but: np.ndarray) -> tuple[str, ...]:
        found = pairs(self._thumbnails, written(self._folder), but)
        names = self._names
        return tuple(
            f"{names['test'][row]} like {names[part][other]}" for row, part, other in found
        )


def _decoded(pool: ThreadPoolExecutor, layout: Layout, batch: list[Item]) -> Iterator[Decoded]:
    groups = [batch[start : start + _GROUP] for start in range(0, len(batch), _GROUP)]
    return chain.from_iterable(pool.map(partial(_decode, layout), groups))


def _decode(layout: Layout, items: list[Item]) -> list[Decoded]:
    return [_decode_one(layout, read) for _, read in items]


def _decode_one(layout: Layout, read: Callable[[], bytes]) -> Decoded:
    try:
        encoded = read()
        image = upright(encoded)
    except UnreadableError as error:
        return error
    pixels = fit(image, layout)
    return hashlib.sha256(encoded).digest(), pixels, thumbnail(pixels), image.size


def unreadable(what: str) -> VitexpError:
    """The error for an image, by its name and the reason."""
    return VitexpError(
        f"An image cannot be read: {what}.",
        "Replace or remove it, or give --skip-broken: unreadable images are then left out, "
        "and counted.",
    )


def _first_layout(source: Source, image_size: int | None, where: str) -> Layout:
    first = ""
    for split in source.splits.values():
        for batch in split.batches():
            for name, read in batch:
                try:
                    return guess(upright(read()), image_size)
                except UnreadableError as error:
                    first = first or f"{name}: {error}"
    raise VitexpError(
        f"{where}: no image can be read. The first is {first}.", "Give a data set of images."
    )


def _check_labels(source: Source, parts: Mapping[Part, np.ndarray], where: str) -> None:
    of_part = {
        part: np.concatenate([s.labels[parts[name] == part] for name, s in source.splits.items()])
        for part in PARTS
    }
    found = np.unique(np.concatenate(list(of_part.values())))
    if len(found) < 2:
        only = f"the class {source.names[found[0]]!r} only" if len(found) else "no images"
        raise VitexpError(f"{where} holds {only}.", "A data set needs at least two classes.")
    if not all(map(len, of_part.values())):
        counts = ", ".join(f"{len(labels)} {part}" for part, labels in of_part.items())
        raise VitexpError(
            f"{where} has too few images to split: {counts}.", "Give at least 10 images a class."
        )
    unseen = np.setdiff1d(found, of_part["train"])
    if len(unseen):
        name = source.names[unseen[0]]
        raise VitexpError(
            f"{where}: the class {name!r} has no training image.",
            _spelled_otherwise(name, source.names)
            or "Give images of every class for training, or leave that class out.",
        )


def _spelled_otherwise(name: str, names: tuple[str, ...]) -> str:
    """The remedy where another class has the same name but for its case or its Unicode form."""

    def plain(text: str) -> str:
        return unicodedata.normalize("NFKC", text).casefold().strip()

    alike = [other for other in names if other != name and plain(other) == plain(name)]
    if not alike:
        return ""
    form = "" if ascii(name).lower() != ascii(alike[0]).lower() else " in another case"
    return f"Train has {alike[0]!r}, the same{form or ' in other Unicode characters'}: rename one."
