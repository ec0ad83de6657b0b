"""Images in a column of a table: parquet or arrow files, or a data set of the library `datasets`.

`datasets` says what the columns mean. Local files are read where they lie, with pyarrow and what
`datasets` wrote into them about their columns: `load_dataset` would first copy them whole into a
cache of its own, and reading them does not need it installed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vitexp.datasets import columns, split_names
from vitexp.datasets.columns import Column
from vitexp.datasets.labels import numbered
from vitexp.datasets.pnm import pnm
from vitexp.datasets.source import Encoded, Item, Source, UnreadableError
from vitexp.datasets.split import PARTS, Part
from vitexp.errors import VitexpError
from vitexp.spec import Reading, Skipped

if TYPE_CHECKING:
    import pyarrow as pa

_BATCH = 64
_LABELS = 1 << 16
"""Rows that are read at a time: of images, of labels."""

Pieces = Iterator[tuple[Path, "pa.Array"]]
"""Pieces of a column, and the folder that relative paths in them start from."""


@dataclass(frozen=True)
class Table:
    """One split as columns.

    Attributes:
        where: what it is called in messages.
        columns: name -> what is known of it.
        rows: their number.
        read: reads one column, so many rows at a time.
    """

    where: str
    columns: Mapping[str, Column]
    rows: int
    read: Callable[[str, int], Pieces]


class Rows(Encoded):
    """One split of a table."""

    def __init__(self, table: Table, image: str, labels: np.ndarray) -> None:
        self.labels = labels
        self._table = table
        self._image = image

    def batches(self) -> Iterator[list[Item]]:
        names = self.names()
        for folder, cells in self._table.read(self._image, _BATCH):
            yield [(next(names), _reader(value, folder)) for value in cells.to_pylist()]

    def names(self) -> Iterator[str]:
        return (f"{self._table.where} row {row}" for row in range(self._table.rows))


def _reader(cell: Any, folder: Path) -> Callable[[], bytes]:
    def read() -> bytes:
        encoded = cell.get("bytes") if isinstance(cell, dict) else cell
        if isinstance(encoded, bytes):
            return encoded
        if isinstance(encoded, list):
            return _drawn(encoded)
        path = cell.get("path") if isinstance(cell, dict) else cell
        if not isinstance(path, str):
            raise UnreadableError("the cell holds no image")
        try:
            return (folder / path).read_bytes()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise UnreadableError(f"{folder / path}: {reason}") from error

    return read


def _drawn(rows: list[Any]) -> bytes:
    """An image of nested lists of whole numbers: rows of pixels, of one or three values each."""
    try:
        pixels = np.array(rows)
    except ValueError:
        raise UnreadableError("its rows are not of one length") from None
    shape = pixels.shape
    if pixels.dtype.kind not in "iu" or not (len(shape) == 2 or shape[2:] in ((1,), (3,))):
        raise UnreadableError("nested lists are rows of pixels of whole numbers, 1 or 3 a pixel")
    if not pixels.size or pixels.min() < 0 or pixels.max() > 255:
        raise UnreadableError("its values are not from 0 to 255")
    return pnm(pixels)


def open_tables(
    tables: Mapping[Part, Table],
    where: str,
    reading: Reading,
    skipped: tuple[Skipped, ...] = (),
    notes: tuple[str, ...] = (),
) -> Source:
    """Images and labels from tables.

    Args:
        tables: split -> table.
        where: what the source is called in messages.
        reading: names the columns, or leaves them to be found: an ``Image`` feature or a column
            named image or img; a column named label or the like, or the only ``ClassLabel``.
        skipped, notes: what is known of the source so far.

    Raises:
        VitexpError: there is no train split, no such column, or a label that names no class.
    """
    if "train" not in tables:
        raise VitexpError(
            f"{where} has no train split.",
            "Name its files train-*.parquet, test-*.parquet and, if there is, validation-*.",
        )
    there = tables["train"].columns
    image = columns.image_column(there, reading.image_column, where)
    label, note = columns.label_column(there, reading.label_column, image, where)
    for split, table in tables.items():
        for column in (image, label):
            if column not in table.columns or table.columns[column].names != there[column].names:
                raise VitexpError(
                    f"{where}: the column {column!r} is missing in {split}, or has other classes.",
                    f"Columns there: {', '.join(table.columns)}.",
                )
    cells = {s: (piece for _, piece in table.read(label, _LABELS)) for s, table in tables.items()}
    found = numbered(cells, there[label].names, where)
    left = tuple(
        Skipped(f"rows of the {split} split without labels", tables[split].rows, f"{label!r}")
        for split in found.unlabelled
    )
    return Source(
        found.names,
        {s: Rows(tables[s], image, labels) for s, labels in found.labels.items()},
        skipped + left,
        notes + note + found.notes,
    )


def open_hub_tables(
    dataset: Mapping[str, Any],
    where: str,
    reading: Reading,
    test: str | None = None,
    folder: Path = Path(),
) -> Source:
    """A `datasets.DatasetDict`, of which the splits that have a split's name serve here.

    Args:
        dataset: split -> `datasets.Dataset`.
        where: what it is called in messages.
        reading: as for :func:`open_tables`.
        test: the split that serves as test, where that does not follow from its name.
        folder: that relative paths start from.

    Raises:
        VitexpError: as :func:`open_tables`; or two splits of one meaning.
    """
    named = split_names.understood(_telling(dataset), where)
    if test is not None and test in dataset:
        parts = {n: p for n, p in named.parts.items() if n != test and p != "test"}
        named = split_names.Named({**parts, test: "test"}, named.others)
    split_names.refuse_twice(named, where)
    chosen = {part: name for name, part in named.parts.items()}
    tables = {
        part: _of_dataset(dataset[chosen[part]], f"{where} {part}", folder)
        for part in PARTS
        if part in chosen
    }
    skipped = tuple(
        Skipped(f"rows of the split {name!r}, which is not used", len(dataset[name]), name)
        for name in dataset
        if name not in named.parts
    )
    return open_tables(tables, where, reading, skipped, named.notes)


def _telling(names: Iterable[str]) -> list[str]:
    """The splits of a data set that may serve here: its user can hardly rename them.

    One that has its usual name is meant, whatever other split resembles it (train and train_extra).
    """
    usual = [name for name in names if name in ("train", "validation", "test")]
    taken = {word for name in usual for word in split_names.words(name)}
    taken |= {"eval"} if {"val", "test"} <= taken else set()
    others = [name for name in names if name not in usual]
    return usual + [
        name
        for name in others
        if len(found := split_names.words(name)) == 1 and found[0] not in taken
    ]


def _of_dataset(dataset: Any, where: str, folder: Path) -> Table:
    def read(name: str, rows: int) -> Pieces:
        for table in dataset.select_columns([name]).with_format("arrow").iter(rows):
            for piece in table.column(name).chunks:
                yield folder, piece

    return Table(where, columns.of_features(dataset.features), len(dataset), read)


def open_saved(root: Path, reading: Reading) -> Source:
    """What `save_to_disk` of the library `datasets` wrote.

    Raises:
        VitexpError: as :func:`open_hub_tables`; or files that cannot be loaded.
    """
    import datasets

    try:
        saved = datasets.load_from_disk(str(root))
    except (OSError, ValueError) as error:
        raise VitexpError(
            f"{root} cannot be loaded: {error}", "Save it again with `save_to_disk`."
        ) from error
    splits = saved if isinstance(saved, datasets.DatasetDict) else {"train": saved}
    return open_hub_tables(splits, str(root), reading, folder=root)
