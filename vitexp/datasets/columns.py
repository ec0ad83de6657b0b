"""The columns of a table: what they hold, and which have the images and the labels.

Types are recognised by Arrow's predicates; what `datasets` noted about a column comes on top.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vitexp.errors import VitexpError, unknown

if TYPE_CHECKING:
    import pyarrow as pa

_IMAGE_COLUMNS = ("image", "img")
LABEL_COLUMNS = ("label", "labels", "fine_label", "class", "target")


@dataclass(frozen=True)
class Column:
    """What is known of a column.

    Attributes:
        type: Arrow's; extension and dictionary types are seen through.
        is_image: whether `datasets` noted that it holds images.
        names: of its classes, in order of their numbers, where `datasets` noted them.
    """

    type: pa.DataType
    is_image: bool = False
    names: tuple[str, ...] | None = None

    @property
    def holds_files(self) -> bool:
        """Whether its cells are encoded images, or say where they are."""
        import pyarrow as pa

        if pa.types.is_struct(self.type):
            return bool({"bytes", "path"} & {field.name for field in self.type})
        return self.is_image or is_binary(self.type)

    @property
    def holds_paths(self) -> bool:
        return is_text(self.type)

    @property
    def holds_pixels(self) -> bool:
        """Whether its cells are lists of lists."""
        import pyarrow as pa

        kind = self.type
        nested = pa.types.is_nested(kind) and not pa.types.is_struct(kind)
        return nested and pa.types.is_nested(plain(kind.value_type))


def is_text(kind: pa.DataType) -> bool:
    """Whether a type is one of Arrow's strings."""
    import pyarrow as pa

    types = pa.types
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def is_binary(kind: pa.DataType) -> bool:
    """Whether a type is one of Arrow's byte strings."""
    import pyarrow as pa

    types = pa.types
    return bool(
        types.is_binary(kind)
        or types.is_large_binary(kind)
        or types.is_binary_view(kind)
        or types.is_fixed_size_binary(kind)
    )


def plain(kind: pa.DataType) -> pa.DataType:
    """The type of the values that an extension or dictionary type stands for."""
    import pyarrow as pa

    while True:
        if isinstance(kind, pa.BaseExtensionType):
            kind = kind.storage_type
        elif pa.types.is_dictionary(kind):
            kind = kind.value_type
        else:
            return kind


def of_schema(schema: pa.Schema) -> dict[str, Column]:
    """The columns of a file, with what `datasets` noted in it."""
    noted = _noted(schema.metadata)
    return {field.name: _column(field.type, noted.get(field.name)) for field in schema}


def _noted(metadata: Mapping[bytes, bytes] | None) -> Mapping[str, Any]:
    """Column -> feature; nothing where the note is absent, null or of another form."""
    try:
        value = json.loads((metadata or {}).get(b"huggingface", b"{}"))
    except ValueError:
        return {}
    for key in ("info", "features"):
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def _column(kind: pa.DataType, noted: Any) -> Column:
    feature = noted.get("_type") if isinstance(noted, dict) else None
    names = noted.get("names") if feature == "ClassLabel" else None
    return Column(plain(kind), feature == "Image", tuple(map(str, names)) if names else None)


def of_features(features: Any) -> dict[str, Column]:
    """The columns of a data set of the library `datasets`."""
    kinds = features.arrow_schema
    return {
        name: Column(
            plain(kinds.field(name).type),
            type(feature).__name__ == "Image",
            tuple(getattr(feature, "names", None) or ()) or None,
        )
        for name, feature in features.items()
    }


def image_column(columns: Mapping[str, Column], asked: str | None, where: str) -> str:
    """The column of images: the one asked for, typed or named so.

    Raises:
        VitexpError: there is none, or several.
    """
    if asked is not None:
        return _asked("image column", asked, columns, where)
    typed = [name for name, column in columns.items() if column.is_image]
    named = [name for name in _IMAGE_COLUMNS if name in columns and _may_be_images(columns[name])]
    found = [name for name in named if name in typed] or typed or named
    if len(found) == 1 or (found and found[0] in _IMAGE_COLUMNS):
        return found[0]
    several = f"several image columns: {', '.join(found)}" if found else "no image column"
    raise VitexpError(
        f"{where} has {several}; its columns: {', '.join(columns)}.",
        "Say which column holds the encoded images (bytes of PNG, JPEG, ... files, or paths): "
        "--image-column NAME.",
    )


def _may_be_images(column: Column) -> bool:
    return column.holds_files or column.holds_paths or column.holds_pixels


def label_column(
    columns: Mapping[str, Column], asked: str | None, image: str, where: str
) -> tuple[str, tuple[str, ...]]:
    """The column of labels: the one asked for, or named so, or the only one of classes.

    Returns:
        Its name, and a note where others could have been meant.

    Raises:
        VitexpError: there is none.
    """
    if asked is not None:
        return _asked("label column", asked, columns, where), ()
    named = [name for name in LABEL_COLUMNS if name in columns and name != image]
    typed = [name for name, column in columns.items() if column.names]
    found = [name for name in named if name in typed] or named or typed
    if not found or (not named and len(typed) > 1):
        several = f"several columns of classes: {', '.join(typed)}" if typed else "no label column"
        raise VitexpError(
            f"{where} has {several}; its columns: {', '.join(columns)}.",
            "Say which column holds class numbers or class names: --label-column NAME.",
        )
    others = [name for name in dict.fromkeys(named + typed) if name != found[0]]
    if not others:
        return found[0], ()
    note = f"Labels are read from the column {found[0]!r}, not from {', '.join(map(repr, others))}"
    return found[0], (f"{note} (--label-column chooses).",)


def _asked(kind: str, asked: str, columns: Mapping[str, Column], where: str) -> str:
    if asked not in columns:
        problem = unknown(kind, asked, columns)
        raise VitexpError(f"{where}: {problem.problem}", problem.remedy)
    return asked
