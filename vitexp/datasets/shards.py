"""WebDataset's tar files: images and labels side by side, as KEY.jpg and KEY.cls or KEY.json."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vitexp.datasets.columns import LABEL_COLUMNS
from vitexp.datasets.labels import numbered
from vitexp.datasets.parquet import by_split
from vitexp.datasets.source import Encoded, Item, Source, UnreadableError, tally
from vitexp.datasets.split import PARTS, Part
from vitexp.datasets.walk import Left
from vitexp.errors import VitexpError
from vitexp.spec import Reading

_BATCH = 256
_NO_LABEL = "images in tar files without a label"


@dataclass(frozen=True)
class _Place:
    """Bytes in a tar file, which are read without unpacking it."""

    file: Path
    name: str
    start: int
    size: int

    def read(self) -> bytes:
        with self.file.open("rb") as opened:
            opened.seek(self.start)
            return opened.read(self.size)

    def image(self) -> bytes:
        try:
            return self.read()
        except OSError as error:
            raise UnreadableError(error.strerror or str(error)) from error

    def __str__(self) -> str:
        return f"{self.file}/{self.name}"


@dataclass
class _Samples:
    """Images of one split and their labels."""

    images: list[_Place] = field(default_factory=list)
    labels: list[Any] = field(default_factory=list)


class Members(Encoded):
    """One split of tar files."""

    def __init__(self, images: list[_Place], labels: np.ndarray) -> None:
        self.labels = labels
        self._images = images

    def batches(self) -> Iterator[list[Item]]:
        for start in range(0, len(self._images), _BATCH):
            yield [(str(place), place.image) for place in self._images[start : start + _BATCH]]


def open_shards(
    root: Path,
    files: list[Path],
    reading: Reading,
    left: list[Left],
    is_image: Callable[[str], bool],
) -> Source:
    """Tar files; train, validation or test by their names, as tables.

    Args:
        root: the folder above them; words in its own path do not count.
        reading: ``label_column`` is the key of a label in KEY.json.
        left: other files, with the reason why they are left out.
        is_image: whether a name ends as an image's does.

    Raises:
        VitexpError: a file that cannot be read, or none with images and labels.
    """
    import pyarrow as pa

    grouped, notes = by_split(files, root)
    found: dict[Part, _Samples] = {}
    for part in [part for part in PARTS if part in grouped]:
        samples = found[part] = _Samples()
        for file in grouped[part]:
            _gather(file, reading, is_image, samples, left)
    for part in [part for part, samples in found.items() if not samples.images]:
        if part == "train":
            raise VitexpError(
                f"{root} holds no tar file with KEY.jpg and KEY.cls or KEY.json for training.",
                "Give WebDataset's files, or unpack other ones into class folders.",
            )
        del found[part]
    try:
        arrays = {part: [pa.array(samples.labels)] for part, samples in found.items()}
    except pa.ArrowException:
        raise VitexpError(
            f"{root}: the labels in its tar files are of several types.",
            "Write class numbers or class names, one an image.",
        ) from None
    classes = numbered(arrays, None, str(root))
    for part in classes.unlabelled:
        left += [(_NO_LABEL, str(place)) for place in found[part].images]
    splits: dict[Part, Encoded] = {
        part: Members(found[part].images, labels) for part, labels in classes.labels.items()
    }
    return Source(classes.names, splits, tally(left), notes + classes.notes)


def _gather(
    file: Path,
    reading: Reading,
    is_image: Callable[[str], bool],
    samples: _Samples,
    left: list[Left],
) -> None:
    """Sort out the members of one file."""
    of_key: dict[str, list[_Place]] = {}
    for place in _members(file):
        folder, _, name = place.name.rpartition("/")
        of_key.setdefault(f"{folder}/{name.partition('.')[0]}", []).append(place)
    for places in of_key.values():
        images = [place for place in places if is_image(place.name)]
        says = [place for place in places if place.name.endswith((".cls", ".json"))]
        label = _label(says, reading.label_column)
        if len(images) == 1 and label is not None:
            samples.images.append(images[0])
            samples.labels.append(label)
        elif images:
            reason = _NO_LABEL if len(images) == 1 else "images in tar files of one key"
            left += [(reason, str(place)) for place in images]
        rest = [place for place in places if place not in images and place not in says]
        left += [("files in tar files, neither images nor labels", str(place)) for place in rest]


def _members(file: Path) -> list[_Place]:
    try:
        with tarfile.open(file, "r:") as opened:
            return [
                _Place(file, member.name, member.offset_data, member.size)
                for member in opened
                if member.isfile()
            ]
    except (tarfile.TarError, OSError) as error:
        raise VitexpError(
            f"{file} cannot be read as a tar file: {error}.", "Replace or remove it."
        ) from error


def _label(says: list[_Place], asked: str | None) -> Any:
    """A sample's label: a number or a name; None where nothing says it."""
    for place in says:
        text = place.read().decode(errors="replace").strip()
        if place.name.endswith(".cls") and asked is None:
            return int(text) if text.lstrip("-").isdecimal() else text or None
        if place.name.endswith(".json"):
            try:
                value = json.loads(text)
            except ValueError:
                continue
            keys = [asked] if asked else list(LABEL_COLUMNS)
            key = next((key for key in keys if isinstance(value, dict) and key in value), None)
            if key is not None:
                return value[key]
    return None
