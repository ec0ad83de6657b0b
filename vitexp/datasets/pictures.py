"""Images to be predicted: a data set's, or those of any folder, with the labels that they have."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from vitexp.catalog.datasets import EMBEDDED
from vitexp.datasets.build import THREADS, unreadable
from vitexp.datasets.contents import Contents, sorted_out
from vitexp.datasets.decode import Layout, MisfitError, fit, is_image, upright
from vitexp.datasets.folder import Files
from vitexp.datasets.image_set import ImageSet
from vitexp.datasets.locate import locate, short_name
from vitexp.datasets.source import Encoded, Item, Source, UnreadableError, tally
from vitexp.datasets.split import PARTS, Part, partition
from vitexp.datasets.walk import walk
from vitexp.errors import VitexpError
from vitexp.spec import USUAL, DataSpec, Reading, Skipped

AT_ONCE = 64
"""Images in a batch, at most."""


@dataclass(frozen=True)
class Pictures:
    """Images, not decoded.

    Attributes:
        source: where they are, as :class:`vitexp.datasets.source.Place` spells it.
        split: which of the source's splits they are; None where it has none, or one only.
        classes: names that the labels stand for.
        images: with a label of -1 for what has none.
        skipped: what else lies there, a reason each.
        notes: what was decided about them, as sentences.
    """

    source: str
    split: Part | None
    classes: tuple[str, ...]
    images: Encoded
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()

    def labels_among(self, names: Sequence[str]) -> np.ndarray:
        """The labels as those of a model with classes of these names, by name: int64, (n,); -1
        for an image without a label and for one of a class that the model does not have."""
        index = {name: label for label, name in enumerate(names)}
        known = np.array([*(index.get(name, -1) for name in self.classes), -1], np.int64)
        labels: np.ndarray = known[self.images.labels]
        return labels


def open_pictures(text: str, reading: Reading = USUAL) -> Pictures:
    """The images of a data set, of a folder of any layout, or of one file.

    Of a data set that has a test split of its own these are its test images, else its validation
    images, else all. Of a folder that is no labelled data set they are all images in it, and the
    folder that an image lies in is its label.

    Args:
        text: as ``--dataset``, or the path of a folder or of an image.
        reading: how files are read.

    Raises:
        VitexpError: no images there, or tables or arrays that are no data set.
    """
    if short_name(text) == EMBEDDED:
        from vitexp.datasets.arrays import Pixels
        from vitexp.datasets.digits import load_digits

        digits = load_digits(None, 0)
        test = Pixels([("digits test", digits.test.images)], 1.0, digits.test.labels)
        return Pictures(EMBEDDED, "test", digits.names, test)
    path = Path(text).expanduser()
    if path.is_file() and is_image(path):
        one = _lying(path.resolve().parent, Contents([path.name]), reading)
        return dataclasses.replace(one, source=str(path.resolve()))
    place = locate(text, reading)
    try:
        return _of_source(place.source, place.open())
    except VitexpError:
        if not path.is_dir():
            raise
        root = path.resolve()
        contents = sorted_out(root, walk(root, reading.follow_links), reading.follow_links)
        if contents.tables or not contents.images:
            raise
        return _lying(root, contents, reading)


def _of_source(where: str, source: Source) -> Pictures:
    own = [part for part in PARTS if part in source.splits]
    part = next(part for part in ("test", "val", "train") if part in own)
    split: Part | None = part if len(own) > 1 else None
    return Pictures(where, split, source.names, source.splits[part], source.skipped, source.notes)


def _lying(root: Path, contents: Contents, reading: Reading) -> Pictures:
    """All images, however they lie; one in the root itself has no label."""
    paths = [PurePosixPath(each) for each in contents.images if not (root / each).is_dir()]
    folders = [path.parent.name for path in paths]
    classes = tuple(sorted({*folders} - {""}))
    index = {name: label for label, name in enumerate(classes)}
    labels = np.array([index.get(folder, -1) for folder in folders], np.int64)
    contents.put_aside("tar files beside images", contents.shards)
    contents.put_aside("files of arrays beside images", contents.arrays)
    images = Files(root, paths, labels, reading.follow_links)
    return Pictures(str(root), None, classes, images, tally(contents.left))


def decoded(
    pictures: Pictures, side: int, channels: int, skip_broken: bool
) -> Iterator[tuple[list[str], np.ndarray, np.ndarray]]:
    """The images as the loader decodes them for a model, a batch at a time.

    Args:
        side: of the model's images, in pixels.
        channels: of the model: grey images get three equal ones where that is 3.
        skip_broken: whether unreadable images are left out.

    Yields:
        Names; rows, int64 (B,); uint8 pixels (B, side, side, channels). B may be 0.

    Raises:
        VitexpError: an unreadable image, or a colour image for a model of grey ones.
    """
    layout, row = Layout(side, channels, resize=True), 0
    with ThreadPoolExecutor(THREADS) as pool:
        for batch in pictures.images.batches():
            for start in range(0, len(batch), AT_ONCE):
                items = batch[start : start + AT_ONCE]
                found = list(pool.map(lambda item: _pixels(item, layout, skip_broken), items))
                kept = [index for index, pixels in enumerate(found) if pixels is not None]
                yield (
                    [items[index][0] for index in kept],
                    row + np.array(kept, np.int64),
                    np.array([found[index] for index in kept], np.uint8),
                )
                row += len(items)


def _pixels(item: Item, layout: Layout, skip_broken: bool) -> np.ndarray | None:
    name, read = item
    try:
        return fit(upright(read()), layout)
    except UnreadableError as error:
        if skip_broken:
            return None
        raise unreadable(f"{name}: {error}") from error
    except MisfitError:
        raise VitexpError(
            f"{name} is RGB, and the model was trained on grey images.",
            "Give grey images, or a run or file of a model of RGB ones.",
        ) from None


def names_of_test(data: DataSpec, images: ImageSet) -> list[str]:
    """What the test images of a data set are called: their files, or their rows.

    Args:
        images: those of ``data``; where its source is not to be had any more, rows are counted.
    """
    rows = [f"{data.source} test row {row}" for row in range(len(images.test))]
    if data.source == EMBEDDED:
        return rows
    try:
        source = locate(data.source, data.reading).open()
    except VitexpError:
        return rows
    labels = {part: split.labels for part, split in source.splits.items()}
    parts = partition(labels, data.split_seed, data.held_out)
    wanted = {p: np.flatnonzero(own == "test") for p, own in parts.items()}
    found = [
        name
        for part, split in source.splits.items()
        if len(wanted[part])
        for name in _at(split, wanted[part], data.classes)
        if not any(broken.startswith(f"{name}: ") for broken in images.broken)
    ]
    return found if len(found) == len(rows) else rows


def _at(split: Encoded, rows: np.ndarray, classes: tuple[int, ...] | None) -> Iterator[str]:
    kept = rows if classes is None else rows[np.isin(split.labels[rows], classes)]
    wanted = set(kept.tolist())
    return (name for row, name in enumerate(split.names()) if row in wanted)
