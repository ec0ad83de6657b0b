"""What readers of the numbers should know about the images, as sentences."""

from __future__ import annotations

from collections.abc import Iterator

from vitexp.amounts import count
from vitexp.datasets.image_set import ImageSet
from vitexp.datasets.shots import absent, left_out


def remarks(images: ImageSet) -> tuple[str, ...]:
    """What was left out, decided or found, a sentence each."""
    return tuple(_remarks(images))


def _remarks(images: ImageSet) -> Iterator[str]:
    name = images.name
    if images.skipped:
        each = (f"{s.count} {s.reason} (such as {s.example})" for s in images.skipped)
        yield f"Left out of {name}: {'; '.join(each)}."
    yield from (f"{name}: {note}" for note in images.notes)
    if images.broken:
        found = count(len(images.broken), "unreadable image")
        yield f"{found} of {name} left out, such as {images.broken[0]}."
    if images.duplicates:
        found = count(images.duplicates, "test image")
        yield f"{found} of {name} found in train or validation, too."
    if images.near_duplicates:
        found = count(len(images.near_duplicates), "test image")
        yield (
            f"{found} of {name} with a look-alike in train or validation, "
            f"such as {images.near_duplicates[0]}."
        )
    if without := absent(images.train.labels, images.names):
        yield f"{name}: {without}"
    if fewer := left_out(images.train.labels, images.names):
        yield fewer
