"""What a source string means: a short name, a path, or a hub id."""

from __future__ import annotations

import glob
import hashlib
import os
import re
from collections.abc import Iterable
from pathlib import Path

from vitexp.catalog.datasets import EMBEDDED, HUB_SETS, NAMES
from vitexp.datasets.source import Listed, Place, Source
from vitexp.errors import VitexpError, unknown
from vitexp.spec import USUAL, Reading

FILE_ENDINGS = {
    **dict.fromkeys((".parquet", ".arrow", ".feather"), "table"),
    ".tar": "shard",
    **dict.fromkeys((".npz", ".npy"), "array"),
}
"""How the names of files end that are a data set by themselves; in folders they are looked into."""

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(:[\w.-]+)?")


def short_name(text: str) -> str | None:
    """The catalog's spelling of a short name (``CIFAR-10`` -> ``cifar10``), or None."""
    plain = {_plain(name): name for name in NAMES}
    return plain.get(_plain(text))


def _plain(name: str) -> str:
    return re.sub("[-_]", "", name.lower())


def locate(text: str, reading: Reading = USUAL) -> Place:
    """Find a source other than the embedded one, without opening it.

    A short name wins over a folder of that name (write ``./mnist`` for the folder), a path
    that exists over a hub id.

    Args:
        text: short name, path of a folder or a parquet file, pattern of parquet files
            (``data/*.parquet``), or hub id (``owner/name`` or ``owner/name:configuration``).
        reading: how its files are read.

    Raises:
        VitexpError: none of these, or a path without image data.
    """
    name = short_name(text)
    assert name != EMBEDDED
    if name is not None:
        facts = HUB_SETS[name]
        return _on_hub(name, name, facts.hub, facts.config, facts.flips, reading)
    path = Path(text).expanduser()
    if path.is_dir():
        return _folder(path.resolve(), reading)
    if path.is_file():
        return _files([path.resolve()], path.resolve(), reading)
    if matches := sorted(glob.glob(str(path), recursive=True)):
        return _files([Path(match).absolute() for match in matches], path.absolute(), reading)
    if (
        _HUB_ID.fullmatch(text)
        and not text.startswith(".")
        and not text.endswith(tuple(FILE_ENDINGS))
    ):
        hub, _, config = text.partition(":")
        from vitexp.datasets.hub import facts_of

        known = facts_of(hub)
        flips = not known or known.flips
        return _on_hub(text, hub.partition("/")[2], hub, config or None, flips, reading)
    problem = unknown("data set", text, NAMES)
    raise VitexpError(
        f"{problem.problem} There is no such file or folder, either.",
        f"{problem.remedy} Or give the path of a folder or of parquet files, "
        "or a Hugging Face id as owner/name.",
    )


def _on_hub(
    source: str, name: str, hub: str, config: str | None, flips: bool, reading: Reading
) -> Place:
    def opened() -> Source:
        from vitexp.datasets.hub import open_hub

        return open_hub(hub, config, reading)

    # A data set of the hub that was decoded once is not asked for again.
    return Place(source, name, flips, stamp="", open=opened)


def _folder(root: Path, reading: Reading) -> Place:
    from vitexp.datasets.walk import walk

    found = walk(root, reading.follow_links)

    def opened() -> Source:
        from vitexp.datasets.contents import open_root

        return open_root(root, found, reading)

    return Place(str(root), root.name, True, _stamp(found.entries), opened)


def _files(files: list[Path], pattern: Path, reading: Reading) -> Place:
    for file in files:
        kind = FILE_ENDINGS.get(file.suffix)
        if kind is None or kind != FILE_ENDINGS[files[0].suffix]:
            raise VitexpError(
                f"{file} is no data set{'' if kind is None else f' of one kind with {files[0]}'}.",
                "Give the folder that holds the images in class folders, or parquet files.",
            )
    from vitexp.datasets.walk import listed

    root = Path(os.path.commonpath([file.parent for file in files]))
    stamp = _stamp(listed(root, file) for file in files)
    name = files[0].stem if not files[1:] else root.name

    def opened() -> Source:
        from vitexp.datasets.contents import open_files

        return open_files(FILE_ENDINGS[files[0].suffix], root, files, reading, [])

    return Place(str(pattern), name, True, stamp, opened)


def _stamp(entries: Iterable[Listed]) -> str:
    digest = hashlib.sha256()
    for entry in entries:
        digest.update(
            f"{entry.path}\0{entry.size}\0{entry.mtime}\0".encode(errors="surrogateescape")
        )
    return digest.hexdigest()
