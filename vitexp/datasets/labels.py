"""From a column of labels to classes: numbers, names, truth values; each that occurs is one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vitexp.datasets.columns import is_binary, is_text, plain
from vitexp.datasets.source import check_labels
from vitexp.datasets.split import Part
from vitexp.errors import VitexpError

if TYPE_CHECKING:
    import pyarrow as pa

_REMEDY = "Labels are class numbers or class names, one an image; --label-column chooses a column."


@dataclass(frozen=True)
class Numbered:
    """Labels as the numbers of classes.

    Attributes:
        names: of the classes, in order.
        labels: split -> int64, (n,).
        unlabelled: splits beside train in which no row has a label.
        notes: how they were numbered, where that is not plain.
    """

    names: tuple[str, ...]
    labels: Mapping[Part, np.ndarray]
    unlabelled: tuple[Part, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Values:
    """Labels of one split as they stand.

    Attributes:
        found: int64, or Python's int or str as objects: (n,).
        missing: which have none: bool, (n,).
    """

    found: np.ndarray
    missing: np.ndarray

    @property
    def are_text(self) -> bool:
        return len(self.present) > 0 and isinstance(self.present[0], str)

    @property
    def are_absent(self) -> bool:
        """Whether none is a label; -1 means that on the Hugging Face hub."""
        return bool(not len(self.present) or (not self.are_text and (self.present == -1).all()))

    @property
    def present(self) -> np.ndarray:
        there: np.ndarray = self.found[~self.missing]
        return there


def numbered(
    cells: Mapping[Part, Iterable[pa.Array]], names: tuple[str, ...] | None, where: str
) -> Numbered:
    """Number the labels that occur.

    Args:
        cells: split -> its column of labels, piece by piece.
        names: of the classes 0, 1, ..., where the source says them.
        where: what the source is called in messages.

    Raises:
        VitexpError: a row of a labelled split without a label, a label that names no class, or
            a column that holds something else.
    """
    values = {split: _values(arrays, f"{where}: {split}") for split, arrays in cells.items()}
    away = tuple(split for split, own in values.items() if split != "train" and own.are_absent)
    kept = {split: own for split, own in values.items() if split not in away}
    for split, own in kept.items():
        if own.missing.any():
            row = int(own.missing.argmax())
            raise VitexpError(f"{where}: {split} row {row} has no label.", "Leave it out.")
    found = {split: own.found for split, own in kept.items()}
    if len({own.are_text for own in kept.values() if len(own.found)}) > 1:
        raise VitexpError(f"{where}: labels are names in one split, numbers in another.", _REMEDY)
    text = any(own.are_text for own in kept.values())
    if names and not text:
        check_labels(names, found, where)
        return Numbered(names, {s: own.astype(np.int64) for s, own in found.items()}, away)
    if not text:
        _refuse_negative(found, where)
    every, counted = np.unique(np.concatenate(list(found.values())), return_inverse=True)
    ends = np.cumsum([len(own) for own in found.values()])[:-1]
    labels = dict(zip(found, np.split(counted.astype(np.int64), ends), strict=True))
    return Numbered(tuple(map(str, every)), labels, away, _note(every, text))


def _note(every: np.ndarray, text: bool) -> tuple[str, ...]:
    count = len(every)
    if text or (every == np.arange(count)).all():
        return ()
    some = ", ".join(map(str, every[:3])) + (", ..." if count > 3 else "")
    return (f"The labels {some} are classes of these names, numbered 0 to {count - 1} in order.",)


def _refuse_negative(found: Mapping[Part, np.ndarray], where: str) -> None:
    for split, own in found.items():
        if (own < 0).any():
            row = int((own < 0).argmax())
            raise VitexpError(
                f"{where}: {split} row {row} has label {own[row]}, which names no class.",
                "Correct the label column, or leave unlabelled images out.",
            )


def _values(arrays: Iterable[pa.Array], where: str) -> _Values:
    pieces = [_piece(array, where) for array in arrays]
    if not pieces:
        return _Values(np.zeros(0, np.int64), np.zeros(0, bool))
    if len({piece.are_text for piece in pieces if not piece.missing.all()}) > 1:
        raise VitexpError(f"{where}: labels are partly names, partly numbers.", _REMEDY)
    return _Values(*(np.concatenate([getattr(p, f) for p in pieces]) for f in ("found", "missing")))


def _piece(array: pa.Array, where: str) -> _Values:
    array = _flat(_plain(array), where)
    missing = np.asarray(array.is_null(nan_is_null=True).to_numpy(zero_copy_only=False), bool)
    present = _present(array.filter(_mask(~missing)), where)
    found = np.zeros(len(missing), present.dtype)
    found[~missing] = present
    # A class has a name: an empty text is a gap like any other.
    return _Values(found, missing | (found == ""))


def _mask(keep: np.ndarray) -> pa.Array:
    import pyarrow as pa

    return pa.array(keep)


def _plain(array: pa.Array) -> pa.Array:
    import pyarrow as pa

    # Arrow cannot filter these.
    views = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}
    while True:
        if isinstance(array.type, pa.BaseExtensionType):
            array = array.storage
        elif pa.types.is_dictionary(array.type):
            array = array.dictionary_decode()
        elif array.type in views:
            array = array.cast(views[array.type])
        else:
            return array


def _flat(array: pa.Array, where: str) -> pa.Array:
    """Lists of one value each as that value."""
    import pyarrow as pa
    import pyarrow.compute as pc

    while pa.types.is_nested(array.type) and not pa.types.is_struct(array.type):
        if pa.types.is_map(array.type) or pa.types.is_union(array.type):
            break
        lengths = pc.list_value_length(array).to_numpy(zero_copy_only=False)
        if array.null_count == 0 and (lengths == 1).all():
            array = _plain(pc.list_flatten(array))
            continue
        row = int(np.argmax(lengths != 1))
        raise VitexpError(
            f"{where} row {row} has several labels or none ({array[row].as_py()}): "
            "images with several classes each are not classified here.",
            _REMEDY,
        )
    return array


def _present(array: pa.Array, where: str) -> np.ndarray:
    """Labels without gaps as int64, or as objects: int where that is too small, or str.

    Raises:
        VitexpError: they are no classes.
    """
    import pyarrow as pa

    kind = plain(array.type)
    if pa.types.is_null(kind):
        return np.zeros(0, np.int64)
    if pa.types.is_boolean(kind):
        return np.array([str(value) for value in array.to_pylist()], object)
    if is_text(kind):
        return _objects(array.to_pylist())
    if is_binary(kind):
        try:
            return _objects([value.decode() for value in array.to_pylist()])
        except UnicodeDecodeError:
            raise _no_classes(kind, "bytes that are no text", where) from None
    if pa.types.is_integer(kind):
        return _integers(array.to_numpy(zero_copy_only=False))
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return _whole(array.to_pylist(), kind, where)
    raise _no_classes(kind, f"such as {array[0].as_py()!r}" if len(array) else "", where)


def _objects(values: list[Any]) -> np.ndarray:
    made = np.empty(len(values), object)
    made[:] = values
    return made


def _integers(values: np.ndarray) -> np.ndarray:
    if len(values) and values.max() > np.iinfo(np.int64).max:
        return _objects(values.tolist())
    return values.astype(np.int64)


def _whole(values: list[Any], kind: pa.DataType, where: str) -> np.ndarray:
    for value in values:
        if value % 1 != 0:
            raise _no_classes(kind, f"such as {value}", where)
    return _objects([int(value) for value in values])


def _no_classes(kind: pa.DataType, such: str, where: str) -> VitexpError:
    return VitexpError(
        f"{where}: the label column holds {kind} {such}.".replace(" .", "."), _REMEDY
    )
