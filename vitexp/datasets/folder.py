"""A folder of images: ``train|val|test/CLASS/*.png``, or ``CLASS/*.png`` to be split by us.

Walked by ourselves: the `imagefolder` builder of `datasets` guesses splits from any part of a
file's path, takes the innermost folder as the class and cannot name a file it fails on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from vitexp.datasets import split_names
from vitexp.datasets.source import Encoded, Item, Source, UnreadableError, tally
from vitexp.datasets.split import PARTS, Part
from vitexp.datasets.split_names import Named
from vitexp.datasets.walk import HIDDEN, SYSTEM, Left, is_data
from vitexp.errors import VitexpError

_LAYOUTS = "Expected train/CLASS/*.png and test/CLASS/*.png, or CLASS/*.png (split by vitexp)."
_UNDER_TRAIN = (
    "Rename or move what is not wanted. Where they are classes, put all into a folder train."
)
_BATCH = 256


class Files(Encoded):
    """One split of a folder: image files."""

    def __init__(
        self, root: Path, paths: list[PurePosixPath], labels: np.ndarray, follow_links: bool = False
    ) -> None:
        self.labels = labels
        self._root = root
        self._paths = paths
        self._inside = None if follow_links else root

    def batches(self) -> Iterator[list[Item]]:
        for start in range(0, len(self._paths), _BATCH):
            paths = [self._root / path for path in self._paths[start : start + _BATCH]]
            yield [(str(path), reader(path, self._inside)) for path in paths]


def reader(path: Path, inside: Path | None) -> Callable[[], bytes]:
    """What reads a file; a link that leaves ``inside`` is not read, unless that is None."""

    def read() -> bytes:
        if inside is not None and path.is_symlink():
            _refuse_link(path, inside)
        try:
            return path.read_bytes()
        except OSError as error:
            raise UnreadableError(error.strerror or str(error)) from error

    return read


def _refuse_link(path: Path, root: Path) -> None:
    target = path.resolve()
    if not target.is_relative_to(root):
        raise UnreadableError(f"it is a link that leaves {root} (--follow-links reads it)")
    if target.is_dir():
        raise UnreadableError("it is a link to a folder (--follow-links reads it)")


@dataclass
class _Split:
    """The images of one split, as they are sorted out.

    Attributes:
        folder: that holds its class folders, relative to the root.
        paths: its images, relative to the root.
    """

    folder: PurePosixPath
    paths: list[PurePosixPath] = field(default_factory=list)

    @property
    def depth(self) -> int:
        return len(self.folder.parts)


def open_folder(
    root: Path, images: Iterable[str], left: Iterable[Left], follow_links: bool = False
) -> Source:
    """A folder of images.

    The class is the first folder under the split; what lies deeper belongs to it, too.

    Args:
        root: absolute, resolved.
        images: paths of its image files and of links to folders, relative to it, sorted.
        left: its other files, with the reason why they are left out.
        follow_links: whether links out of ``root`` are read.

    Raises:
        VitexpError: a layout other than the two above, or a class folder without images.
    """
    paths, left = [PurePosixPath(image) for image in images], list(left)
    named, notes = _splits(root, paths, left)
    splits: dict[Part, _Split] = {"train": _Split(PurePosixPath(), paths)}
    if named is not None:
        splits = _sorted_out(root, paths, named.parts)
    known = _classes(root, splits["train"])
    for part, split in list(splits.items()):
        if part != "train" and _unlabelled(root, split, known):
            del splits[part]
            left += [(f"images of {split.folder} without labels", str(p)) for p in split.paths]
    classes = {part: _classes(root, split) for part, split in splits.items()}
    names = tuple(sorted({name for each in classes.values() for name in each}))
    for split in splits.values():
        _refuse_empty_classes(root / split.folder, names)
    index = {name: i for i, name in enumerate(names)}
    labels = {p: np.array([index[c] for c in each], np.int64) for p, each in classes.items()}
    files: dict[Part, Encoded] = {
        part: Files(root, split.paths, labels[part], follow_links) for part, split in splits.items()
    }
    return Source(names, files, tally(left), notes)


def _splits(
    root: Path, paths: list[PurePosixPath], left: list[Left]
) -> tuple[Named | None, tuple[str, ...]]:
    """What the top folders mean: splits, or None where they are classes."""
    tops = sorted({path.parts[0] for path in paths if len(path.parts) > 1})
    named = split_names.understood(tops, str(root))
    if not named.parts:
        _refuse_wrapper(root, tops, paths)
        _refuse_same_subfolders(root, paths)
        return None, ()
    if _are_classes(named, paths):
        taken = ", ".join(map(repr, named.parts))
        return None, (f"{taken} is taken as a class like the folders beside it, not as a split.",)
    split_names.refuse_mixed(named, str(root), _UNDER_TRAIN)
    if "train" not in named.parts.values():
        raise VitexpError(f"{root} holds {min(named.parts)} and no train folder.", _LAYOUTS)
    split_names.refuse_twice(named, str(root))
    _refuse_empty_splits(root, named, left)
    return named, named.notes


def _are_classes(named: Named, paths: list[PurePosixPath]) -> bool:
    """Whether folders are classes although some have a split's name in theirs (bullet_train).

    Splits would hold class folders, and there would be several.
    """
    flat = not any(len(path.parts) > 2 for path in paths)
    bare = any(map(split_names.is_only_a_split, named.parts))
    return flat and not bare and len(set(named.parts.values())) == 1 and len(named.others) > 0


def _refuse_wrapper(root: Path, tops: list[str], paths: list[PurePosixPath]) -> None:
    """A folder that holds the data set is not its only class."""
    below = {path.parts[1] for path in paths if len(path.parts) > 2}
    if len(tops) == 1 and len(below) > 1:
        raise VitexpError(
            f"{root} holds one folder only, {tops[0]!r}.", f"Give --dataset {root / tops[0]}"
        )


def _refuse_same_subfolders(root: Path, paths: list[PurePosixPath]) -> None:
    """Folders that all hold the same folders are hardly classes."""
    below: dict[str, set[str]] = {}
    for path in paths:
        if len(path.parts) > 1:
            below.setdefault(path.parts[0], set()).update(path.parts[1:-1][:1])
    common = set.intersection(*below.values()) if len(below) > 1 else set()
    if len(common) > 1:
        tops, shared = (", ".join(map(repr, sorted(names)[:3])) for names in (below, common))
        raise VitexpError(
            f"{root}: the folders {tops} all hold the same folders: {shared}. "
            "These may be splits, whose names are not known here.",
            f"Name splits {split_names.SPELLINGS}. "
            "Where they are classes, put all of them into a folder train.",
        )


def _refuse_empty_splits(root: Path, named: Named, left: list[Left]) -> None:
    """A split of which every file is left out is not what its owner thinks."""
    for why, path in left:
        top = PurePosixPath(path).parts[0]
        hollow = "/" in path and top not in named.parts and split_names.words(top)
        if hollow and why not in (HIDDEN, SYSTEM):
            raise VitexpError(
                f"The folder {root / top} holds no images, but {why}, such as {path}.",
                "Move it away, or give images in a format that is read here.",
            )


def _sorted_out(
    root: Path, paths: list[PurePosixPath], parts: Mapping[str, Part]
) -> dict[Part, _Split]:
    splits = {part: _Split(PurePosixPath(top)) for top, part in parts.items()}
    for path in paths:
        if len(path.parts) == 1:
            raise VitexpError(
                f"{root / path} lies beside the train folder, in no split.",
                f"Move it away. {_LAYOUTS}",
            )
        splits[parts[path.parts[0]]].paths.append(path)
    for split in splits.values():
        _descend(split)
    return {part: splits[part] for part in PARTS if part in splits}


def _descend(split: _Split) -> None:
    """Archives that are unpacked into a folder of their own name: train/train/CLASS/*.png."""
    while len(inner := {path.parts[split.depth : -1][:1] for path in split.paths}) == 1:
        (only,) = inner
        if not only or split_names.words(only[0]) != split_names.words(split.folder.name):
            return
        split.folder /= only[0]


def _unlabelled(root: Path, split: _Split, classes: list[str]) -> bool:
    """Whether a split beside train has no class folders, or one that says nothing."""
    inner = {_class_or_none(root, path, split.depth) for path in split.paths}
    if inner == {None}:
        return True
    only = inner.pop() if len(inner) == 1 else None
    return only is not None and only not in classes and split_names.says_nothing(only)


def _classes(root: Path, split: _Split) -> list[str]:
    """The class of each image."""
    return [_class(root, path, split.depth) for path in split.paths]


def _class(root: Path, path: PurePosixPath, depth: int) -> str:
    found = _class_or_none(root, path, depth)
    if found is None:
        raise VitexpError(f"{root / path} lies in no class folder.", _LAYOUTS)
    return found


def _class_or_none(root: Path, path: PurePosixPath, depth: int) -> str | None:
    inside = len(path.parts) - depth
    return path.parts[depth] if inside > 1 or (root / path).is_dir() else None


def _refuse_empty_classes(folder: Path, names: tuple[str, ...]) -> None:
    for child in sorted(folder.iterdir()):
        if child.is_dir() and is_data(child.name) and child.name not in names:
            raise VitexpError(
                f"The class folder {child} holds no images.",
                "Fill it, or move it away.",
            )
