"""Arrays of pixels: numpy's .npz and .npy, MNIST's IDX files, CIFAR's binary and Python batches.

Which array holds images and which labels is seen from their shapes, the split from their names.
"""

from __future__ import annotations

import gzip
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from vitexp.datasets import pickled, split_names
from vitexp.datasets.labels import numbered
from vitexp.datasets.pnm import pnm
from vitexp.datasets.source import Encoded, Item, Source, tally
from vitexp.datasets.split import Part
from vitexp.datasets.walk import Left
from vitexp.errors import VitexpError
from vitexp.spec import Reading, Skipped

_BATCH = 256
_IDX = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
_CIFAR_ROWS = {3073: 10, 3074: 100}
"""Bytes a row of CIFAR's binary files: how many classes they are of."""
_PICKLES = ("data_batch", "test_batch", "batches.meta", "train", "test", "meta")
_NAMES_OF = ("batches.meta.txt", "fine_label_names.txt")


def kind_of(path: Path, head: bytes) -> str | None:
    """Which kind of arrays a file holds, if any: ``npz``, ``npy``, ``idx``, ``bin``, ``pickle``."""
    suffix = path.suffix.lower()
    if suffix == ".npz" and head.startswith(b"PK"):
        return "npz"
    if head.startswith(b"\x93NUMPY"):
        return "npy"
    packed = suffix == ".gz" and "idx" in path.name
    if packed or (head[:2] == b"\0\0" and len(head) > 3 and head[2] in _IDX and 0 < head[3] < 5):
        return "idx"
    size = path.stat().st_size
    if suffix == ".bin" and size and any(size % row == 0 for row in _CIFAR_ROWS):
        return "bin"
    named = path.name.rstrip("0123456789").rstrip("_") in _PICKLES
    return "pickle" if named and head.startswith(b"\x80") else None


@dataclass
class _Group:
    """The arrays of one split: name -> array."""

    images: dict[str, np.ndarray] = field(default_factory=dict)
    labels: dict[str, np.ndarray] = field(default_factory=dict)


class Pixels(Encoded):
    """One split as arrays; an image is encoded as PNM, which no library's version changes."""

    def __init__(
        self, pieces: list[tuple[str, np.ndarray]], scale: float, labels: np.ndarray
    ) -> None:
        self.labels = labels
        self._pieces = pieces
        self._scale = scale

    def batches(self) -> Iterator[list[Item]]:
        for name, images in self._pieces:
            for start in range(0, len(images), _BATCH):
                yield [
                    (f"{name} row {row}", _reader(images, row, self._scale))
                    for row in range(start, min(start + _BATCH, len(images)))
                ]


def _reader(images: np.ndarray, row: int, scale: float) -> Callable[[], bytes]:
    return lambda: pnm(images[row], scale)


def open_arrays(root: Path, files: list[Path], reading: Reading, left: list[Left]) -> Source:
    """Arrays of images and of labels.

    Args:
        root: the folder above the files; words in its own path do not count.
        reading: ``label_column`` chooses among several arrays of labels.
        left: other files, with the reason why they are left out.

    Raises:
        VitexpError: arrays that do not belong together, or hold no images or no classes.
    """
    groups, names, left = _gathered(root, files, list(left))
    named = split_names.understood(groups, str(root))
    split_names.refuse_mixed(named, str(root), "Name the split of every array, or of none.")
    split_names.refuse_twice(named, str(root))
    of_part: dict[Part, _Group] = {named.parts.get(says, "train"): g for says, g in groups.items()}
    if "train" not in of_part:
        raise VitexpError(
            f"{root} holds no arrays of a train split.", "Name them x_train, y_train."
        )
    skipped, labels = [], {}
    for part, group in list(of_part.items()):
        if not group.labels and part != "train":
            count = sum(map(len, group.images.values()))
            skipped.append(Skipped(f"images of the {part} split without labels", count, part))
            del of_part[part]
            continue
        labels[part] = _labels(group, f"{root} {part}", reading.label_column)
    pieces = {part: _pieces(group, f"{root} {part}") for part, group in of_part.items()}
    scale = _scale([images for own in pieces.values() for _, images in own], str(root))
    import pyarrow as pa

    found = numbered({p: [pa.array(own)] for p, own in labels.items()}, names, str(root))
    for part in found.unlabelled:
        count = len(labels[part])
        skipped.append(Skipped(f"images of the {part} split without labels", count, part))
    splits: dict[Part, Encoded] = {}
    for part, own in found.labels.items():
        count = sum(len(images) for _, images in pieces[part])
        if count != len(own):
            raise VitexpError(
                f"{root} {part}: {count} images and {len(own)} labels.", "Give as many of each."
            )
        splits[part] = Pixels(pieces[part], scale, own)
    return Source(found.names, splits, tally(left) + tuple(skipped), named.notes + found.notes)


def _gathered(
    root: Path, files: list[Path], left: list[Left]
) -> tuple[dict[str, _Group], tuple[str, ...] | None, list[Left]]:
    """Arrays by what names their split, the names of the classes, and what is left out."""
    groups: dict[str, _Group] = {}
    names: tuple[str, ...] | None = None
    for file in files:
        key = file.relative_to(root).as_posix()
        if file.suffix == ".gz" and file.with_suffix("") in files:
            left.append(("packed copies of files beside them", key))
            continue
        arrays = _read(file)
        if isinstance(arrays, tuple):
            names = arrays
            continue
        for name, array in arrays.items():
            full = f"{key}/{name}" if name else key
            group = groups.setdefault(_says(full), _Group())
            if array.ndim >= 3 and array.size:
                group.images[full] = array
            elif array.ndim == 1 or (array.ndim == 2 and array.shape[1] == 1):
                group.labels[full] = array.ravel()
            else:
                left.append((f"arrays of shape {array.shape}, neither images nor labels", full))
    for text in _NAMES_OF:
        if (root / text).is_file() and names is None:
            names = tuple((root / text).read_text().split())
            left = [each for each in left if each[1] != text]
    full_groups = {says: g for says, g in groups.items() if g.images}
    for says, group in groups.items():
        if says not in full_groups:
            left += [("labels without images", name) for name in group.labels]
    if not full_groups:
        raise VitexpError(
            f"{root} holds no arrays of images.",
            "Images are arrays of shape (n, height, width) or (n, height, width, channels).",
        )
    return full_groups, names, left


def _says(key: str) -> str:
    """The part of an array's name that names its split."""
    key = key.replace("t10k", "test").replace("data_batch", "train_batch")
    parts = [part for part in reversed(PurePosixPath(key).parts) if split_names.words(part)]
    # x_train and y_train name one split, and so do five batches of it.
    return " ".join(split_names.words(parts[0])) if parts else ""


def _read(file: Path) -> Mapping[str, np.ndarray] | tuple[str, ...]:
    """The arrays in a file, or the names of classes."""
    with file.open("rb") as opened:
        kind = kind_of(file, opened.read(16))
    try:
        if kind == "npz":
            with np.load(file, allow_pickle=False) as found:
                return {name: found[name] for name in found.files}
        if kind == "npy":
            return {"": np.load(file, mmap_mode="r", allow_pickle=False)}
        if kind == "idx":
            return {"": _idx(file)}
        return _bin(file) if kind == "bin" else _pickle(file)
    except (OSError, ValueError, EOFError, pickled.PlainError) as error:
        raise VitexpError(
            f"{file} cannot be read: {error}.", "Replace or remove the file."
        ) from error


def _idx(file: Path) -> np.ndarray:
    """http://yann.lecun.com/exdb/mnist: a magic number, the sizes, then the values."""
    content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    if content[:2] != b"\0\0" or content[2] not in _IDX:
        raise ValueError("no IDX file")
    count = content[3]
    shape = np.frombuffer(content, ">u4", count, 4).tolist()
    kind = np.dtype(_IDX[content[2]])
    values = np.frombuffer(content, kind, offset=4 + 4 * count)
    if len(values) != math.prod(shape):
        raise ValueError(f"{len(values)} values for a shape of {tuple(shape)}")
    return values.reshape(shape).astype(kind.newbyteorder("="), copy=False)


def _bin(file: Path) -> dict[str, np.ndarray]:
    """https://www.cs.toronto.edu/~kriz/cifar.html: labels, then planes of red, green and blue."""
    content = np.frombuffer(file.read_bytes(), np.uint8)
    for row, classes in _CIFAR_ROWS.items():
        if len(content) % row == 0:
            rows = content.reshape(-1, row)
            labels = rows[:, row - 3072 - 1]
            if labels.max() < classes:
                return {"images": _planes(rows[:, -3072:]), "labels": labels.astype(np.int64)}
    raise ValueError("its rows are not those of CIFAR's binary files")


def _planes(rows: np.ndarray) -> np.ndarray:
    return rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)


def _pickle(file: Path) -> dict[str, np.ndarray] | tuple[str, ...]:
    """CIFAR's Python batches."""
    found = pickled.read(file)
    if not isinstance(found, dict):
        raise ValueError("no dictionary")
    value = {k.decode() if isinstance(k, bytes) else str(k): v for k, v in found.items()}
    for names in ("label_names", "fine_label_names"):
        if names in value:
            return tuple(n.decode() if isinstance(n, bytes) else str(n) for n in value[names])
    labels: Any = value.get("labels", value.get("fine_labels"))
    if labels is None or not isinstance(value.get("data"), np.ndarray):
        raise ValueError("no data and labels")
    return {"images": _planes(value["data"]), "labels": np.array(labels, np.int64)}


def _labels(group: _Group, where: str, asked: str | None) -> np.ndarray:
    found = group.labels
    if asked is not None:
        found = {name: own for name, own in found.items() if PurePosixPath(name).stem == asked}
    lengths = [[len(own) for own in each.values()] for each in (found, group.images)]
    several = len(found) > 1 and lengths[0] != lengths[1]
    if not found or several:
        names = ", ".join(group.labels) or "none"
        raise VitexpError(
            f"{where}: {'several' if several else 'no'} arrays of labels ({names}) for the images "
            f"in {', '.join(group.images)}.",
            "Give one array of labels, shape (n,), for each array of images; "
            "--label-column NAME chooses.",
        )
    return np.concatenate(list(found.values()))


def _pieces(group: _Group, where: str) -> list[tuple[str, np.ndarray]]:
    return [(f"{where}, {name}", _upright(images, name)) for name, images in group.images.items()]


def _upright(images: np.ndarray, name: str) -> np.ndarray:
    """Channels last."""
    if images.ndim == 3 or (images.ndim == 4 and images.shape[-1] in (1, 3)):
        return images
    if images.ndim == 4 and images.shape[1] in (1, 3):
        return images.transpose(0, 2, 3, 1)
    raise VitexpError(
        f"{name} has the shape {images.shape}.",
        "Images are (n, height, width), with 1 or 3 channels last or second.",
    )


def _scale(arrays: list[np.ndarray], where: str) -> float:
    """What makes of the largest value in all splits one of 0 to 255."""
    if all(images.dtype == np.uint8 for images in arrays):
        return 1.0
    low, high = min(float(a.min()) for a in arrays), max(float(a.max()) for a in arrays)
    whole = all(images.dtype.kind in "iu" for images in arrays)
    limits = (255.0,) if whole else (1.0, 255.0)
    for limit in limits:
        if low >= 0 and high <= limit:
            return 255 / limit
    raise VitexpError(
        f"{where}: its images have values from {low:g} to {high:g}.",
        "Write them as uint8, as whole numbers from 0 to 255, or as numbers from 0 to 1.",
    )
