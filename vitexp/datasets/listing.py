"""Images with a table beside them that says their labels: a CSV, or the hub's metadata.jsonl.

The column of files is the one whose cells name images that are there: by their path, by their name,
or by their name without an ending.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from vitexp.datasets import columns, split_names
from vitexp.datasets.parquet import by_split, read_text_table
from vitexp.datasets.source import Source, tally
from vitexp.datasets.split import PARTS, Part
from vitexp.datasets.tables import Pieces, Table, open_tables
from vitexp.datasets.walk import Left
from vitexp.errors import VitexpError
from vitexp.spec import Reading

if TYPE_CHECKING:
    import pyarrow as pa

ENDINGS = (".csv", ".tsv", ".jsonl")
_IMAGE = "image"


def says_nothing(images: Iterable[str]) -> bool:
    """Whether the folders of images name at most splits, and no classes."""
    folders = {part for image in images for part in PurePosixPath(image).parts[:-1]}
    return all(
        split_names.is_only_a_split(name) or split_names.says_nothing(name) for name in folders
    )


@dataclass(frozen=True)
class _Listing:
    """A table of files.

    Attributes:
        file: where it is.
        rows: its columns.
        column: the one that names files.
        images: the image that each row names, relative to the root.
    """

    file: Path
    rows: pa.Table
    column: str
    images: list[str]


def open_listings(
    root: Path, files: list[str], images: list[str], left: list[Left], reading: Reading
) -> Source | None:
    """Images by the tables beside them; None where no table names images and their labels.

    Args:
        root: absolute, resolved.
        files: tables, and images: relative to it.
        left: other files, with the reason why they are left out.
        reading: names the columns, or leaves them to be found.

    Raises:
        VitexpError: rows without their images, or whatever is wrong with the labels.
    """
    places = _Places(images)
    found = {name: _listing(root, name, places, reading) for name in files}
    listings = {name: each for name, each in found.items() if each is not None}
    if not listings:
        return None
    for name in files:
        if name not in listings:
            left = [*left, ("tables that do not say the labels of the images", name)]
    named = {image for each in listings.values() for image in each.images}
    left = left + [("images that no row names", image) for image in images if image not in named]
    grouped, notes = by_split([root / name for name in listings], root)
    parts = [(part, listings[str(f.relative_to(root).as_posix())]) for part, own in grouped.items()
             for f in own]  # fmt: skip
    if len(parts) == 1:
        split, more = _by_folder(root, parts[0][1])
        notes = more
    else:
        split = {}
        for part, each in parts:
            split.setdefault(part, []).append((each, list(range(len(each.images)))))
    label = _label(parts[0][1].rows, parts[0][1].column, reading)
    tables = {p: _table(root, split[p], f"{root} {p}", str(label)) for p in PARTS if p in split}
    known = Reading(image_column=_IMAGE, label_column=label)
    return open_tables(tables, str(root), known, tally(left), notes)


class _Places:
    """Images by what a cell may call them."""

    def __init__(self, images: list[str]) -> None:
        self._paths = set(images)
        self._short: dict[str, list[str]] = {}
        for image in images:
            path = PurePosixPath(image)
            for name in {path.name, path.stem}:
                self._short.setdefault(name, []).append(image)

    def of(self, cell: Any, folder: PurePosixPath) -> str | None:
        """The one image that a cell of a table in ``folder`` names."""
        text = str(cell).strip().replace("\\", "/").removeprefix("./")
        beside = (folder / text).as_posix()
        for path in (beside, text):
            if path in self._paths:
                return path
        near = self._short.get(text, []) if "/" not in text else []
        return near[0] if len(near) == 1 else None


def _listing(root: Path, name: str, places: _Places, reading: Reading) -> _Listing | None:
    rows, as_text = (read_text_table(root / name, as_text) for as_text in (False, True))
    if rows is None or as_text is None or not rows.num_rows:
        return None
    folder = PurePosixPath(name).parent
    asked = reading.image_column
    best: tuple[int, str, list[str | None]] = (0, "", [])
    for column in [asked] if asked in rows.column_names else rows.column_names:
        found = [places.of(cell, folder) for cell in as_text[column].to_pylist()]
        if (count := len(found) - found.count(None)) > best[0]:
            best = (count, str(column), found)
    count, column, found = best
    # A table of something else may well have a cell or two that look like an image's name.
    if 2 * count < rows.num_rows or _label(rows, column, reading) is None:
        return None
    if None in found:
        row = found.index(None)
        raise VitexpError(
            f"{root / name} row {row} names {rows[column][row].as_py()!r}, and there is no such "
            "image, or several.",
            "Write the path from the table's own folder, or remove the row.",
        )
    images = [str(image) for image in found]
    if len(set(images)) < len(images):
        twice = next(image for image, times in Counter(images).items() if times > 1)
        raise VitexpError(
            f"{root / name} names {twice} in several rows.",
            "Images with several labels or objects each are not classified here: keep one row.",
        )
    return _Listing(root / name, rows, column, images)


def _label(rows: pa.Table, column: str, reading: Reading) -> str | None:
    """The column of labels: the one asked for, the only one named so, or the only other one."""
    if reading.label_column is not None:
        return reading.label_column if reading.label_column in rows.column_names else None
    others = [name for name in rows.column_names if name not in (column, "", "split")]
    known = [name for name in others if name.lower() in columns.LABEL_COLUMNS]
    found = known or others
    return str(found[0]) if len(found) == 1 else None


Chosen = dict[Part, list[tuple[_Listing, list[int]]]]
"""Split -> tables, and the rows of each that are in it."""


def _by_folder(root: Path, listing: _Listing) -> tuple[Chosen, tuple[str, ...]]:
    """Rows by their column ``split``, or else by the top folders of their images."""
    own = "split" in listing.rows.column_names
    says = listing.rows["split"].to_pylist() if own else [
        PurePosixPath(image).parts[0] if "/" in image else "" for image in listing.images
    ]  # fmt: skip
    named = split_names.understood({str(each) for each in says}, str(root))
    where = f"{listing.file}, column 'split'" if own else str(root)
    split_names.refuse_mixed(named, where, "Name the split of every row, or of none.")
    if not named.parts:
        return {"train": [(listing, list(range(len(says))))]}, ()
    rows: dict[Part, list[int]] = {}
    for row, each in enumerate(says):
        rows.setdefault(named.parts[str(each)], []).append(row)
    return {part: [(listing, own_rows)] for part, own_rows in rows.items()}, named.notes


def _table(root: Path, chosen: list[tuple[_Listing, list[int]]], where: str, label: str) -> Table:
    import pyarrow as pa

    pieces = []
    for listing, rows in chosen:
        if label not in listing.rows.column_names:
            raise VitexpError(f"{listing.file} has no column {label!r}.", "Name columns alike.")
        images = pa.array([listing.images[row] for row in rows], pa.string())
        pieces.append(pa.table({_IMAGE: images, label: listing.rows[label].take(rows)}))

    def read(name: str, rows: int) -> Pieces:
        for piece in pieces:
            for batch in piece.select([name]).to_batches(max_chunksize=rows):
                yield root, batch.column(name)

    total = sum(piece.num_rows for piece in pieces)
    return Table(where, columns.of_schema(pieces[0].schema), total, read)
