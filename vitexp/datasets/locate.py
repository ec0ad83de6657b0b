"""What a source string means: a short name, a path, or a hub id."""

from __future__ import annotations

import functools
import glob
import hashlib
import os
import re
from collections.abc import Iterable
from pathlib import Path

from vitexp.catalog.datasets import EMBEDDED, HUB_SETS, NAMES
from vitexp.datasets.source import Listed, Place, Source
from vitexp.errors import VitexpError, unknown

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(:[\w.-]+)?")


def short_name(text: str) -> str | None:
    """The catalog's spelling of a short name (``CIFAR-10`` -> ``cifar10``), or None."""
    plain = {_plain(name): name for name in NAMES}
    return plain.get(_plain(text))


def _plain(name: str) -> str:
    return re.sub("[-_]", "", name.lower())


def locate(text: str) -> Place:
    """Find a source other than the embedded one, without opening it.

    A short name wins over a folder of that name (write ``./mnist`` for the folder), a path
    that exists over a hub id.

    Args:
        text: short name, path of a folder or a parquet file, pattern of parquet files
            (``data/*.parquet``), or hub id (``owner/name`` or ``owner/name:configuration``).

    Raises:
        VitexpError: none of these, or a path without image data.
    """
    name = short_name(text)
    assert name != EMBEDDED
    if name is not None:
        facts = HUB_SETS[name]
        return _on_hub(name, name, facts.hub, facts.config, facts.flips)
    path = Path(text).expanduser()
    if path.is_dir():
        return _folder(path.resolve())
    if path.is_file():
        return _files([path.resolve()], path.resolve())
    if matches := sorted(glob.glob(str(path), recursive=True)):
        return _files([Path(match).absolute() for match in matches], path.absolute())
    if _HUB_ID.fullmatch(text) and not text.startswith(".") and not text.endswith(".parquet"):
        hub, _, config = text.partition(":")
        from vitexp.datasets.hub import facts_of

        known = facts_of(hub)
        return _on_hub(text, hub.partition("/")[2], hub, config or None, not known or known.flips)
    problem = unknown("data set", text, NAMES)
    raise VitexpError(
        f"{problem.problem} There is no such file or folder, either.",
        f"{problem.remedy} Or give the path of a folder or of parquet files, "
        "or a Hugging Face id as owner/name.",
    )


def _on_hub(source: str, name: str, hub: str, config: str | None, flips: bool) -> Place:
    def opened() -> Source:
        from vitexp.datasets.hub import open_hub

        return open_hub(hub, config)

    # A data set of the hub that was decoded once is not asked for again.
    return Place(source, name, flips, stamp="", open=opened)


def _folder(root: Path) -> Place:
    from vitexp.datasets.folder import is_image, open_folder, walk

    entries = walk(root)
    parquet = [root / entry.path for entry in entries if entry.path.endswith(".parquet")]
    images = [entry for entry in entries if is_image(entry)]
    if any((root / marker).is_file() for marker in ("dataset_dict.json", "state.json")):
        opened = functools.partial(_open_saved, root)
    elif parquet and images:
        raise VitexpError(
            f"The folder {root} holds parquet files and image files, such as {images[0].path}.",
            f"Give the folder of one data set, or a pattern such as '{root}/*.parquet'.",
        )
    elif parquet:
        opened = functools.partial(_open_parquet, parquet, root)
    elif images:
        opened = functools.partial(open_folder, root, entries)
    else:
        raise VitexpError(
            f"The folder {root} holds {'no images' if entries else 'nothing'}.",
            "Give a folder with train/CLASS/*.png and test/CLASS/*.png, with CLASS/*.png, "
            "or with parquet files.",
        )
    return Place(str(root), root.name, True, _stamp(entries), opened)


def _files(files: list[Path], pattern: Path) -> Place:
    for file in files:
        if file.suffix != ".parquet":
            raise VitexpError(
                f"{file} is no data set.",
                "Give the folder that holds the images in class folders, or parquet files.",
            )
    from vitexp.datasets.folder import listed

    root = Path(os.path.commonpath([file.parent for file in files]))
    stamp = _stamp(listed(root, file) for file in files)
    name = files[0].stem if not files[1:] else root.name
    return Place(str(pattern), name, True, stamp, functools.partial(_open_parquet, files, root))


def _open_parquet(files: list[Path], root: Path) -> Source:
    from vitexp.datasets.tables import open_parquet

    return open_parquet(files, root)


def _open_saved(root: Path) -> Source:
    import datasets

    from vitexp.datasets.tables import hub_tables, open_tables

    try:
        saved = datasets.load_from_disk(str(root))
    except (OSError, ValueError) as error:
        raise VitexpError(
            f"{root} cannot be loaded: {error}", "Save it again with `save_to_disk`."
        ) from error
    splits = saved if isinstance(saved, datasets.DatasetDict) else {"train": saved}
    return open_tables(hub_tables(splits, str(root)), str(root), None, None)


def _stamp(entries: Iterable[Listed]) -> str:
    digest = hashlib.sha256()
    for entry in entries:
        digest.update(
            f"{entry.path}\0{entry.size}\0{entry.mtime}\0".encode(errors="surrogateescape")
        )
    return digest.hexdigest()
