"""A folder of images: ``train|val|test/CLASS/*.png``, or ``CLASS/*.png`` to be split by us.

Walked by ourselves: the `imagefolder` builder of `datasets` guesses splits from any part of a
file's path, takes the innermost folder as the class and cannot name a file it fails on.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

import numpy as np

from vitexp.datasets.source import SPLIT_WORDS, Encoded, Item, Listed, Source, UnreadableError
from vitexp.datasets.split import Part
from vitexp.errors import VitexpError

IMAGE_ENDINGS = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".gif", ".bmp", ".tif", ".tiff", ".webp"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".jp2"),
)
_LAYOUTS = "Expected train/CLASS/*.png and test/CLASS/*.png, or CLASS/*.png (split by vitexp)."
_BATCH = 256


def walk(root: Path) -> list[Listed]:
    """Everything under ``root`` but hidden names, sorted; links to folders are not followed.

    Raises:
        VitexpError: a folder that cannot be listed.
    """
    found = []
    for folder, subfolders, files in os.walk(root, onerror=_unlisted):
        subfolders[:] = [name for name in subfolders if not _hidden(name)]
        links = [name for name in subfolders if os.path.islink(os.path.join(folder, name))]
        for name in links + [name for name in files if not _hidden(name)]:
            found.append(listed(root, Path(folder, name)))
    return sorted(found, key=lambda entry: PurePosixPath(entry.path).parts)


def _unlisted(error: OSError) -> None:
    raise VitexpError(
        f"The folder {error.filename} cannot be listed ({error.strerror}).",
        "Make it readable, or move it away.",
    ) from error


def listed(root: Path, path: Path) -> Listed:
    """The entry of one file under ``root``."""
    relative = path.relative_to(root).as_posix()
    try:
        status = path.stat()
    except OSError:
        return Listed(relative, -1, 0)
    return Listed(relative, status.st_size, status.st_mtime_ns)


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def is_image(entry: Listed) -> bool:
    """Whether the file's ending is that of an image."""
    return PurePosixPath(entry.path).suffix.lower() in IMAGE_ENDINGS


class Files(Encoded):
    """One split of a folder: image files."""

    def __init__(self, root: Path, paths: list[PurePosixPath], labels: np.ndarray) -> None:
        self.labels = labels
        self._root = root
        self._paths = paths

    def batches(self) -> Iterator[list[Item]]:
        for start in range(0, len(self._paths), _BATCH):
            paths = self._paths[start : start + _BATCH]
            yield [(str(self._root / path), _reader(self._root, path)) for path in paths]


def _reader(root: Path, relative: PurePosixPath) -> Callable[[], bytes]:
    def read() -> bytes:
        path = root / relative
        if path.is_symlink():
            _refuse_link(path, root)
        try:
            return path.read_bytes()
        except OSError as error:
            raise UnreadableError(error.strerror or str(error)) from error

    return read


def _refuse_link(path: Path, root: Path) -> None:
    target = path.resolve()
    if not target.is_relative_to(root):
        raise UnreadableError(f"it is a link that leaves {root}")
    if target.is_dir():
        raise UnreadableError("it is a link to a folder")


def open_folder(root: Path, entries: list[Listed]) -> Source:
    """A folder of images.

    The class is the first folder under the split; what lies deeper belongs to it, too.

    Args:
        root: absolute, resolved.
        entries: :func:`walk` of ``root``.

    Raises:
        VitexpError: a layout other than the two above, or a class folder without images.
    """
    links = {entry.path for entry in entries if (root / entry.path).is_dir()}
    paths = [PurePosixPath(e.path) for e in entries if is_image(e) or e.path in links]
    tops = {path.parts[0] for path in paths if len(path.parts) > 1}
    splits = {top: SPLIT_WORDS[top.lower()] for top in tops if top.lower() in SPLIT_WORDS}
    if splits and "train" not in splits.values():
        raise VitexpError(f"{root} holds {sorted(splits)[0]} and no train folder.", _LAYOUTS)
    if not splits:
        grouped: dict[Part, list[PurePosixPath]] = {"train": paths}
        depth = 0
    else:
        grouped = _by_split(root, paths, splits)
        depth = 1
    classes = {split: [_class(root, p, depth) for p in own] for split, own in grouped.items()}
    names = tuple(sorted({name for own in classes.values() for name in own}))
    for split_folder in splits or [""]:
        _refuse_empty_classes(root / split_folder, names)
    index = {name: i for i, name in enumerate(names)}
    return Source(
        names,
        {
            split: Files(root, own, np.array([index[c] for c in classes[split]], dtype=np.int64))
            for split, own in grouped.items()
        },
    )


def _by_split(
    root: Path, paths: list[PurePosixPath], splits: dict[str, Part]
) -> dict[Part, list[PurePosixPath]]:
    grouped: dict[Part, list[PurePosixPath]] = {}
    for path in paths:
        split = splits.get(path.parts[0])
        if split is None:
            raise VitexpError(
                f"{root / path} lies beside the train folder, in no split.",
                f"Move it away. {_LAYOUTS}",
            )
        grouped.setdefault(split, []).append(path)
    twice = sorted(top for top in splits if list(splits.values()).count(splits[top]) > 1)
    if twice:
        raise VitexpError(
            f"{root} holds the same split twice: {', '.join(twice)}.", "Keep one of them."
        )
    return grouped


def _class(root: Path, path: PurePosixPath, depth: int) -> str:
    is_link = len(path.parts) == depth + 1 and (root / path).is_dir()
    if len(path.parts) > depth + 1 or is_link:
        return path.parts[depth]
    raise VitexpError(f"{root / path} lies in no class folder.", _LAYOUTS)


def _refuse_empty_classes(folder: Path, names: tuple[str, ...]) -> None:
    for child in sorted(folder.iterdir()):
        if child.is_dir() and not _hidden(child.name) and child.name not in names:
            raise VitexpError(
                f"The class folder {child} holds no images.",
                f"Fill it or remove it. Images end in {', '.join(IMAGE_ENDINGS)}.",
            )
