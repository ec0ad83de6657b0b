"""Parquet and arrow files on disk, read where they lie."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitexp.datasets import columns, split_names
from vitexp.datasets.columns import Column
from vitexp.datasets.source import Source, tally
from vitexp.datasets.split import PARTS, Part
from vitexp.datasets.tables import Pieces, Table, open_tables
from vitexp.datasets.walk import Left
from vitexp.errors import VitexpError
from vitexp.spec import Reading

if TYPE_CHECKING:
    import pyarrow as pa

_SHARD = re.compile(r"(.*)-(\d+)-of-(\d+)")


def open_tables_in(
    files: list[Path], root: Path, reading: Reading, left: Iterable[Left] = ()
) -> Source:
    """Table files; train, validation or test by the innermost part of each path that says so.

    Where no path says so, all are train, and so is a file on its own.

    Args:
        files: absolute.
        root: the folder above them; words in its own path do not count.
        reading: as for :func:`vitexp.datasets.tables.open_tables`.
        left: other files there, with the reason why they are left out.

    Raises:
        VitexpError: as :func:`vitexp.datasets.tables.open_tables`; files of which some name a
            split and others do not; or a file that cannot be read.
    """
    grouped, notes = by_split(files, root)
    tables = {part: _table(grouped[part], f"{root} {part}") for part in PARTS if part in grouped}
    return open_tables(tables, str(root), reading, tally(left), notes)


def by_split(files: list[Path], root: Path) -> tuple[dict[Part, list[Path]], tuple[str, ...]]:
    """Split -> its files, and what was decided.

    Raises:
        VitexpError: files of which some name a split and others do not.
    """
    if not files[1:]:
        return {"train": files}, ()
    saying = {file: _says_split(file.relative_to(root)) for file in files}
    named = split_names.understood({says or file.name for file, says in saying.items()}, str(root))
    split_names.refuse_mixed(
        named, str(root), "Name every file of a split alike, such as train-*.parquet."
    )
    split_names.refuse_several_spellings(named, str(root))
    if not named.parts:
        return {"train": files}, (
            f"None of the {len(files)} files names a split, so all of them are for training.",
        )
    grouped: dict[Part, list[Path]] = {}
    for file, says in saying.items():
        grouped.setdefault(named.parts[str(says)], []).append(file)
    return grouped, named.notes


def _says_split(inside: Path) -> str | None:
    """The innermost part of a file's path that has a split's name in it."""
    return next((name for name in reversed(inside.parts) if split_names.words(name)), None)


def refuse_missing_shards(files: list[Path]) -> None:
    """Refuse a folder in which a file such as train-00001-of-00002.parquet is missing.

    Raises:
        VitexpError: naming it.
    """
    found: dict[tuple[Path, str, int], set[int]] = {}
    for file in files:
        if match := _SHARD.match(file.stem):
            stem, number, count = match.groups()
            found.setdefault((file.parent, stem, int(count)), set()).add(int(number))
    for (folder, stem, count), numbers in found.items():
        if len(numbers) < count:
            first = min(set(range(count)) - numbers)
            raise VitexpError(
                f"{folder} holds {len(numbers)} of {count} files of {stem!r}: number {first} "
                "is missing.",
                f"Complete it, or give a pattern such as '{folder}/*.parquet' for what is there.",
            )


def _table(files: list[Path], where: str) -> Table:
    of_file = [columns.of_schema(_opened(file).schema) for file in files]
    for file, own in zip(files, of_file, strict=True):
        if _facts(own) != _facts(of_file[0]):
            raise VitexpError(
                f"{file} has other columns than {files[0]}.",
                "Give the folder of one data set, or of one of its configurations.",
            )

    def read(name: str, rows: int) -> Pieces:
        for file in files:
            with _reading(file):
                for piece in _opened(file).read(name, rows):
                    yield file.parent, piece

    return Table(where, of_file[0], sum(_opened(file).rows for file in files), read)


def _facts(own: dict[str, Column]) -> dict[str, tuple[Any, ...]]:
    """What has to agree in all files of a split; not the width of a number."""
    return {
        name: (column.names, column.holds_files, columns.is_text(column.type))
        for name, column in own.items()
    }


class _Parquet:
    """A parquet file."""

    def __init__(self, file: Path) -> None:
        import pyarrow.parquet as pq

        self._file = pq.ParquetFile(file, memory_map=True)
        self.schema: pa.Schema = self._file.schema_arrow
        self.rows: int = self._file.metadata.num_rows

    def read(self, name: str, rows: int) -> Iterator[pa.Array]:
        for batch in self._file.iter_batches(rows, columns=[name]):
            yield batch.column(name)


class _Arrow:
    """An arrow file, also called feather, or the stream that `datasets` keeps in its cache."""

    def __init__(self, file: Path) -> None:
        import pyarrow as pa

        self._map = pa.memory_map(str(file))
        with file.open("rb") as opened:
            is_file = opened.read(6) == b"ARROW1"
        table = (pa.ipc.open_file if is_file else pa.ipc.open_stream)(self._map).read_all()
        self._table: pa.Table = table
        self.schema: pa.Schema = table.schema
        self.rows: int = table.num_rows

    def read(self, name: str, rows: int) -> Iterator[pa.Array]:
        for batch in self._table.select([name]).to_batches(max_chunksize=rows):
            yield batch.column(name)


def read_text_table(file: Path, as_text: bool = False) -> pa.Table | None:
    """A table in a text file (CSV, TSV or JSON lines); None where it holds something else.

    Args:
        as_text: keep the cells of a CSV as they stand ("007"), instead of finding their types.
    """
    import pyarrow as pa
    from pyarrow import csv, json

    try:
        if file.suffix.lower() == ".jsonl":
            return json.read_json(file)
        tab = "\t" if file.suffix.lower() == ".tsv" else ","
        parse = csv.ParseOptions(delimiter=tab)
        found = csv.read_csv(file, parse_options=parse)
        if not as_text:
            return found
        types = dict.fromkeys(found.column_names, pa.string())
        kept = csv.ConvertOptions(column_types=types)
        return csv.read_csv(file, parse_options=parse, convert_options=kept)
    except (pa.ArrowException, OSError):
        return None


def _opened(file: Path) -> _Parquet | _Arrow:
    with _reading(file), file.open("rb") as opened:
        kind = _Parquet if opened.read(4) == b"PAR1" or file.suffix == ".parquet" else _Arrow
        return kind(file)


@contextmanager
def _reading(file: Path) -> Iterator[None]:
    import pyarrow as pa

    kind = "arrow" if file.suffix in (".arrow", ".feather") else "parquet"
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise VitexpError(
            f"{file} cannot be read as {kind}: {str(error).splitlines()[0]}",
            "Replace or remove the file.",
        ) from error
