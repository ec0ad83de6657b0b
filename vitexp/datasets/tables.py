"""Images in a column of a table: parquet files, or a data set of the library `datasets`.

`datasets` says what the columns mean. Local parquet files are read where they lie, with pyarrow
and what `datasets` wrote into them about their columns: `load_dataset` would first copy them
whole into a cache of its own, and reading them does not need it installed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vitexp.datasets.source import SPLIT_WORDS, Encoded, Item, Source, UnreadableError, check_labels
from vitexp.datasets.split import PARTS, Part
from vitexp.errors import VitexpError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_IMAGE_COLUMNS = ("image", "img")
_LABEL_COLUMNS = ("label", "labels", "fine_label", "class", "target")
_BATCH = 64
_HUB_SPLITS: dict[str, Part] = {"train": "train", "validation": "val", "test": "test"}


@dataclass(frozen=True)
class Table:
    """One split as columns.

    Attributes:
        where: what it is called in messages.
        features: of `datasets`, or :class:`Image`, :class:`ClassLabel` and :class:`Value` in
            their place: column -> feature.
        column: reads one column whole.
        batches: reads one column a few rows at a time.
    """

    where: str
    features: Mapping[str, Any]
    column: Callable[[str], pa.ChunkedArray]
    batches: Callable[[str], Iterator[pa.Array]]


@dataclass(frozen=True)
class Image:
    """A column of encoded images."""


@dataclass(frozen=True)
class ClassLabel:
    """A column of class numbers with their names; none where they have none."""

    names: tuple[str, ...]


@dataclass(frozen=True)
class Value:
    """A column of plain values of a type of arrow's."""

    dtype: str


class Rows(Encoded):
    """One split of a table."""

    def __init__(self, table: Table, image: str, labels: np.ndarray) -> None:
        self.labels = labels
        self._table = table
        self._image = image

    def batches(self) -> Iterator[list[Item]]:
        row = 0
        for cells in self._table.batches(self._image):
            values = cells.to_pylist()
            yield [
                (f"{self._table.where} row {row + i}", _reader(value))
                for i, value in enumerate(values)
            ]
            row += len(values)


def _reader(cell: Any) -> Callable[[], bytes]:
    def read() -> bytes:
        encoded = cell.get("bytes") if isinstance(cell, dict) else cell
        if isinstance(encoded, bytes):
            return encoded
        path = cell.get("path") if isinstance(cell, dict) else None
        if path is None:
            raise UnreadableError("the cell holds no image")
        try:
            return Path(path).read_bytes()
        except OSError as error:
            raise UnreadableError(f"{path}: {error.strerror}") from error

    return read


def open_tables(
    tables: Mapping[Part, Table], where: str, image: str | None, label: str | None
) -> Source:
    """Images and labels from tables.

    Args:
        tables: split -> table.
        where: what the source is called in messages.
        image, label: columns, or None to find them: an ``Image`` feature or a column named
            image or img; a column named label or the like, or the only ``ClassLabel``.

    Raises:
        VitexpError: there is no train split, no such column, or a label that names no class.
    """
    if "train" not in tables:
        raise VitexpError(
            f"{where} has no train split.",
            "Name its files train-*.parquet, test-*.parquet and, if there is, validation-*.",
        )
    features = tables["train"].features
    image = image or _image_column(features, where)
    label = label or _label_column(features, where)
    for split, table in tables.items():
        for column in (image, label):
            if table.features.get(column) != features.get(column) or column not in features:
                raise VitexpError(
                    f"{where}: the column {column!r} is missing in {split}, or of another type.",
                    f"Columns there: {', '.join(table.features)}.",
                )
    cells = {split: table.column(label) for split, table in tables.items()}
    names, labels = _classes(features[label], cells, where)
    check_labels(names, labels, where)
    return Source(names, {s: Rows(t, image, labels[s]) for s, t in tables.items()})


def _image_column(features: Mapping[str, Any], where: str) -> str:
    typed = [name for name, feature in features.items() if _kind(feature) == "Image"]
    named = [name for name in _IMAGE_COLUMNS if name in features and _holds_files(features[name])]
    found = [name for name in named if name in typed] or typed or named
    if len(found) == 1 or (found and found[0] in _IMAGE_COLUMNS):
        return found[0]
    raise VitexpError(
        f"{where} has {'several image columns' if found else 'no image column'}; "
        f"its columns: {', '.join(features)}.",
        "Call the column of encoded images (bytes of PNG, JPEG, ... files) 'image'.",
    )


def _label_column(features: Mapping[str, Any], where: str) -> str:
    named = [name for name in _LABEL_COLUMNS if name in features]
    typed = [name for name, feature in features.items() if _kind(feature) == "ClassLabel"]
    if named or len(typed) == 1:
        return (named or typed)[0]
    raise VitexpError(
        f"{where} has no label column; its columns: {', '.join(features)}.",
        "Call the column of class numbers or class names 'label'.",
    )


def _kind(feature: Any) -> str:
    return type(feature).__name__


def _holds_files(feature: Any) -> bool:
    if isinstance(feature, dict):
        return "bytes" in feature
    return _kind(feature) == "Image" or getattr(feature, "dtype", "") in ("binary", "large_binary")


def _classes(
    feature: Any, cells: Mapping[Part, pa.ChunkedArray], where: str
) -> tuple[tuple[str, ...], dict[Part, np.ndarray]]:
    for split, column in cells.items():
        if column.null_count:
            row = column.is_null().to_pylist().index(True)
            raise VitexpError(f"{where}: {split} row {row} has no label.", "Leave it out.")
    values = {split: column.to_numpy() for split, column in cells.items()}
    if _kind(feature) == "ClassLabel" and feature.names:
        return tuple(feature.names), {s: v.astype(np.int64) for s, v in values.items()}
    dtype = str(getattr(feature, "dtype", ""))
    if "int" in dtype:
        count = 1 + max(int(v.max(initial=-1)) for v in values.values())
        return tuple(map(str, range(count))), {s: v.astype(np.int64) for s, v in values.items()}
    if "string" in dtype:
        names = sorted({name for v in values.values() for name in v})
        index = {name: i for i, name in enumerate(names)}
        own = {s: np.array([index[x] for x in v], dtype=np.int64) for s, v in values.items()}
        return tuple(names), own
    raise VitexpError(
        f"{where}: the label column holds {dtype or feature}.",
        "Labels are class numbers from 0, or class names.",
    )


def hub_tables(dataset: Mapping[str, Any], where: str, test: str = "test") -> dict[Part, Table]:
    """The splits of a `datasets.DatasetDict` that serve here.

    Args:
        dataset: split -> `datasets.Dataset`.
        where: what it is called in messages.
        test: the split that serves as test.
    """
    chosen = {part: name for name, part in _HUB_SPLITS.items() if name in dataset}
    if test != "test":
        chosen = {part: name for part, name in chosen.items() if name not in ("test", test)}
        chosen["test"] = test
    return {p: _from_dataset(dataset[chosen[p]], f"{where} {p}") for p in PARTS if p in chosen}


def _from_dataset(dataset: Any, where: str) -> Table:
    def column(name: str) -> Any:
        return dataset.select_columns([name]).with_format("arrow")[:].column(name)

    def batches(name: str) -> Iterator[Any]:
        for table in dataset.select_columns([name]).with_format("arrow").iter(_BATCH):
            yield table.column(name).combine_chunks()

    return Table(where, dataset.features, column, batches)


def open_parquet(files: list[Path], root: Path) -> Source:
    """Parquet files; train, validation or test by the last such word in each path.

    A file whose path has no such word is train, and so is a file on its own.

    Args:
        files: absolute.
        root: the folder above them; words in its own path do not count.

    Raises:
        VitexpError: as :func:`open_tables`; or a file that is not parquet.
    """
    grouped: dict[Part, list[Path]] = {}
    for file in files:
        grouped.setdefault(_split_of(file, root) if files[1:] else "train", []).append(file)
    tables = {split: _from_parquet(own, f"{root} {split}") for split, own in grouped.items()}
    return open_tables(tables, str(root), None, None)


def _split_of(file: Path, root: Path) -> Part:
    inside = file.relative_to(root).as_posix().lower()
    words = [word for word in re.split(r"[^a-z]+", inside) if word in SPLIT_WORDS]
    return SPLIT_WORDS[words[-1]] if words else "train"


def _from_parquet(files: list[Path], where: str) -> Table:
    import pyarrow as pa

    features = [_features(_parquet(f).schema_arrow) for f in files]
    for file, own in zip(files, features, strict=True):
        if own != features[0]:
            raise VitexpError(
                f"{file} has other columns than {files[0]}.",
                "Give the folder of one data set, or of one of its configurations.",
            )

    def column(name: str) -> Any:
        return pa.concat_tables(_parquet(f).read([name]) for f in files).column(name)

    def batches(name: str) -> Iterator[Any]:
        for file in files:
            with _reading(file):
                for batch in _parquet(file).iter_batches(_BATCH, columns=[name]):
                    yield batch.column(name)

    return Table(where, features[0], column, batches)


def _features(schema: pa.Schema) -> dict[str, Any]:
    """Columns by what `datasets` noted in the file, else by their types."""
    noted = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    of = noted.get("info", {}).get("features", {})
    return {field.name: _feature(field.type, of.get(field.name)) for field in schema}


def _feature(kind: pa.DataType, noted: Any) -> Any:
    import pyarrow as pa

    named = noted.get("_type") if isinstance(noted, dict) else None
    if named == "Image":
        return Image()
    if named == "ClassLabel":
        return ClassLabel(tuple(noted.get("names") or ()))
    if pa.types.is_struct(kind):
        return {field.name: _feature(field.type, None) for field in kind}
    return Value(str(kind))


def _parquet(file: Path) -> pq.ParquetFile:
    import pyarrow.parquet as pq

    with _reading(file):
        return pq.ParquetFile(file, memory_map=True)


@contextmanager
def _reading(file: Path) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise VitexpError(
            f"{file} cannot be read as parquet: {str(error).splitlines()[0]}",
            "Replace or remove the file.",
        ) from error
