"""What kind of data set lies under a folder, by what its files hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from vitexp.datasets.locate import FILE_ENDINGS
from vitexp.datasets.source import Listed, Source
from vitexp.datasets.walk import SPECIAL, Left, Walk
from vitexp.errors import VitexpError
from vitexp.spec import Reading

IMAGE_ENDINGS = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".gif", ".bmp", ".tif", ".tiff", ".webp"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".jp2"),
)
"""Files that are images by their name; others are looked into."""


@dataclass
class Contents:
    """The files under a folder by what they are, as paths relative to it.

    Attributes:
        images: image files, and links to folders.
        tables: parquet and arrow files. shards: tar files. arrays: files of arrays.
        left: the others, with the reason why they are left out.
    """

    images: list[str] = field(default_factory=list)
    tables: list[str] = field(default_factory=list)
    shards: list[str] = field(default_factory=list)
    arrays: list[str] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)

    def put_aside(self, reason: str, paths: list[str]) -> None:
        """Leave files out that could be a data set, because of those that are taken."""
        self.left += [(reason, path) for path in paths]


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
    contents = sorted_out(root, found, reading.follow_links)
    if contents.tables and contents.images:
        raise VitexpError(
            f"The folder {root} holds {_kind(contents.tables[0])} files and image files, such as "
            f"{contents.images[0]}.",
            f"Give the folder of one data set, or a pattern such as '{root}/*.parquet'.",
        )
    if contents.tables:
        from vitexp.datasets.parquet import refuse_missing_shards

        contents.put_aside("tar files beside tables", contents.shards)
        contents.put_aside("files of arrays beside tables", contents.arrays)
        files = [root / each for each in contents.tables]
        refuse_missing_shards(files)
        return open_files("table", root, files, reading, contents.left)
    if contents.images:
        contents.put_aside("tar files beside images", contents.shards)
        contents.put_aside("files of arrays beside images", contents.arrays)
        return _images(root, contents, reading)
    if contents.shards:
        contents.put_aside("files of arrays beside tar files", contents.arrays)
        files = [root / each for each in contents.shards]
        return open_files("shard", root, files, reading, contents.left)
    if contents.arrays:
        files = [root / each for each in contents.arrays]
        return open_files("array", root, files, reading, contents.left)
    raise _nothing(root, contents.left)


def open_files(
    kind: str, root: Path, files: list[Path], reading: Reading, left: list[Left]
) -> Source:
    """The data set that files of one kind are.

    Args:
        kind: ``table``, ``shard`` (a tar file) or ``array``.
        root: the folder above them.
        left: other files there, with the reason why they are left out.

    Raises:
        VitexpError: whatever is wrong with it.
    """
    if kind == "shard":
        from vitexp.datasets.shards import open_shards

        return open_shards(root, files, reading, left, _ends_as_image)
    if kind == "array":
        from vitexp.datasets.arrays import open_arrays

        return open_arrays(root, files, reading, left)
    from vitexp.datasets.parquet import open_tables_in

    return open_tables_in(files, root, reading, left)


def _ends_as_image(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in (*IMAGE_ENDINGS, ".jfif", ".avif")


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


def sorted_out(root: Path, found: Walk, follow_links: bool) -> Contents:
    """The files under ``root`` by what they are."""
    contents = Contents(left=list(found.left))
    kinds = {
        "image": contents.images,
        "table": contents.tables,
        "shard": contents.shards,
        "array": contents.arrays,
    }
    for entry in found.entries:
        kind = _kind_of(root, entry, follow_links)
        if kind in kinds:
            kinds[kind].append(entry.path)
        else:
            contents.left.append((kind, entry.path))
    return contents


def _kind_of(root: Path, entry: Listed, follow_links: bool) -> str:
    """``image``, ``table``, ``shard`` or ``array``, or why a file is none of them."""
    path, suffix = root / entry.path, PurePosixPath(entry.path).suffix.lower()
    if entry.size == SPECIAL:
        return "files that are no plain files"
    if suffix in IMAGE_ENDINGS:
        return "image"
    if FILE_ENDINGS.get(suffix) == "table":
        return "table"
    if path.is_dir():
        return "image"
    if not path.is_file():
        return "links that lead nowhere"
    if not follow_links and not path.resolve().is_relative_to(root):
        return "links that leave the folder"
    return _by_content(path, suffix)


def _by_content(path: Path, suffix: str) -> str:
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        return f"files that cannot be opened ({error.strerror})"
    if head.startswith((b"PAR1", b"ARROW1")):
        return "table"
    if suffix == ".tar":
        return "shard"
    from vitexp.datasets.arrays import kind_of
    from vitexp.datasets.decode import is_image

    if head and is_image(path):
        return "image"
    if kind_of(path, head) is not None:
        return "array"
    ending = f"{suffix} files" if suffix else "files without an ending"
    return f"{ending}, which are no images that can be read here"
