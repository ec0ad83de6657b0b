"""What kind of data set lies under a folder, by what its files hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from vitexp.datasets.locate import TABLE_ENDINGS
from vitexp.datasets.source import Listed, Source
from vitexp.datasets.walk import Left, Walk
from vitexp.errors import VitexpError
from vitexp.spec import Reading

IMAGE_ENDINGS = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".gif", ".bmp", ".tif", ".tiff", ".webp"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".jp2"),
)
"""Files that are images by their name; others are looked into."""

_MAGIC = {b"PAR1": "parquet", b"ARROW1": "arrow"}


@dataclass
class Contents:
    """The files under a folder by what they are, as paths relative to it.

    Attributes:
        images: image files, and links to folders.
        tables: parquet and arrow files.
        left: the others, with the reason why they are left out.
    """

    images: list[str] = field(default_factory=list)
    tables: list[str] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)


def open_root(root: Path, found: Walk, reading: Reading) -> Source:
    """The data set under a folder.

    Args:
        root: absolute, resolved.
        found: what lies under it.

    Raises:
        VitexpError: none or several kinds of data set, or whatever is wrong with the one there is.
    """
    if any((root / marker).is_file() for marker in ("dataset_dict.json", "state.json")):
        from vitexp.datasets.tables import open_saved

        return open_saved(root, reading)
    contents = _sorted_out(root, found, reading.follow_links)
    if contents.tables and contents.images:
        raise VitexpError(
            f"The folder {root} holds {_kind(contents.tables[0])} files and image files, such as "
            f"{contents.images[0]}.",
            f"Give the folder of one data set, or a pattern such as '{root}/*.parquet'.",
        )
    if contents.tables:
        from vitexp.datasets.parquet import open_files, refuse_missing_shards

        files = [root / table for table in contents.tables]
        refuse_missing_shards(files)
        return open_files(files, root, reading, contents.left)
    if contents.images:
        return _images(root, contents, reading)
    raise _nothing(root, contents.left)


def _images(root: Path, contents: Contents, reading: Reading) -> Source:
    """Images by the folders they lie in, or by tables of text beside them."""
    from vitexp.datasets import listing
    from vitexp.datasets.folder import open_folder

    files = [path for _, path in contents.left if path.lower().endswith(listing.ENDINGS)]
    # Where folders name classes, they win: a table there may be about anything.
    files = files if listing.says_nothing(contents.images) else []
    if files:
        left = [each for each in contents.left if each[1] not in files]
        listed = listing.open_listings(root, files, contents.images, left, reading)
        if listed is not None:
            return listed
    _refuse_columns(root, reading)
    try:
        return open_folder(root, contents.images, contents.left, reading.follow_links)
    except VitexpError as error:
        if not files:
            raise
        more = (
            f"Where {files[0]} says the labels, name its columns: --image-column, --label-column."
        )
        raise VitexpError(error.problem, f"{error.remedy} {more}") from error


def _kind(path: str) -> str:
    return PurePosixPath(path).suffix.lstrip(".") or "table"


def _refuse_columns(root: Path, reading: Reading) -> None:
    if reading.image_column or reading.label_column:
        raise VitexpError(
            f"{root} is a folder of images, which has no columns.",
            "Leave --image-column and --label-column out; the class is the name of the folder.",
        )


def _nothing(root: Path, left: list[Left]) -> VitexpError:
    holds = f"no images, but {left[0][0]}, such as {left[0][1]}" if left else "nothing"
    return VitexpError(
        f"The folder {root} holds {holds}.",
        "Give a folder with train/CLASS/*.png and test/CLASS/*.png, with CLASS/*.png, "
        "or with parquet files.",
    )


def _sorted_out(root: Path, found: Walk, follow_links: bool) -> Contents:
    contents = Contents(left=list(found.left))
    kinds = {"image": contents.images, "parquet": contents.tables, "arrow": contents.tables}
    for entry in found.entries:
        kind = _kind_of(root, entry, follow_links)
        if kind in kinds:
            kinds[kind].append(entry.path)
        else:
            contents.left.append((kind, entry.path))
    return contents


def _kind_of(root: Path, entry: Listed, follow_links: bool) -> str:
    """``image``, ``parquet`` or ``arrow``, or why a file is none of them."""
    path, suffix = root / entry.path, PurePosixPath(entry.path).suffix.lower()
    if suffix in IMAGE_ENDINGS:
        return "image"
    if suffix in TABLE_ENDINGS:
        return "parquet" if suffix == ".parquet" else "arrow"
    if path.is_dir():
        return "image"
    if not path.is_file():
        return "links that lead nowhere" if path.is_symlink() else "files that are no plain files"
    if not follow_links and not path.resolve().is_relative_to(root):
        return "links that leave the folder"
    return _by_content(path, suffix)


def _by_content(path: Path, suffix: str) -> str:
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        return f"files that cannot be opened ({error.strerror})"
    for magic, kind in _MAGIC.items():
        if head.startswith(magic):
            return kind
    from vitexp.datasets.decode import is_image

    if head and is_image(path):
        return "image"
    ending = f"{suffix} files" if suffix else "files without an ending"
    return f"{ending}, which are no images that can be read here"
