"""What lies under a folder: files that may be used, and those that no data set is made of."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from vitexp.datasets.source import Listed
from vitexp.errors import VitexpError

Left = tuple[str, str]
"""(reason, path) of a file that is left out."""

HIDDEN, SYSTEM = "hidden files", "files of the system or of thumbnails"
SPECIAL = -2
"""The size that stands for a pipe, a socket or a device: reading one may never end."""
_SYSTEM = frozenset(
    (
        *("@eadir", "#recycle", "$recycle.bin", "system volume information", "lost+found"),
        *("__macosx", "__pycache__", "thumbs.db", "ehthumbs.db", "desktop.ini"),
    )
)


@dataclass(frozen=True)
class Walk:
    """Everything under a folder.

    Attributes:
        entries: what may be used, sorted by path.
        left: hidden files, and those that systems leave behind.
    """

    entries: list[Listed]
    left: list[Left]


def walk(root: Path, follow_links: bool = False) -> Walk:
    """Everything under ``root``. A link to a folder is an entry of its own where not followed.

    Raises:
        VitexpError: a folder that cannot be listed, or one that is reached by several links.
    """
    entries: list[Listed] = []
    left: list[Left] = []

    def unlisted(error: OSError) -> None:
        inside = Path(error.filename).relative_to(root)
        why = _no_data(inside.parts)
        if why is None:
            raise VitexpError(
                f"The folder {error.filename} cannot be listed ({error.strerror}).",
                "Make it readable, or move it away.",
            ) from error
        left.append((why, inside.as_posix()))

    met = {root.resolve()}
    for name, subfolders, files in os.walk(root, onerror=unlisted, followlinks=follow_links):
        folder = Path(name)
        links = [sub for sub in subfolders if (folder / sub).is_symlink()]
        if follow_links:
            _refuse_met(folder, links, met)
        above = _no_data(folder.relative_to(root).parts)
        for each in files + ([] if follow_links else links):
            path = folder / each
            if why := above or _no_data((each,)):
                left.append((why, path.relative_to(root).as_posix()))
            else:
                entries.append(listed(root, path))
    return Walk(sorted(entries, key=lambda entry: PurePosixPath(entry.path).parts), sorted(left))


def _refuse_met(folder: Path, links: list[str], met: set[Path]) -> None:
    """A folder that two links lead to would be read twice, one that holds its link for ever."""
    for link in links:
        target = (folder / link).resolve()
        if target in met:
            raise VitexpError(
                f"The link {folder / link} leads to {target}, which is read already.",
                "Remove one of the two.",
            )
        met.add(target)


def _no_data(parts: tuple[str, ...]) -> str | None:
    """Why what has these names in its path is no data, if so."""
    if any(part.lower() in _SYSTEM for part in parts):
        return SYSTEM
    return HIDDEN if any(part.startswith(".") for part in parts) else None


def is_data(name: str) -> bool:
    """Whether a name is neither hidden nor one that a system leaves behind."""
    return _no_data((name,)) is None


def listed(root: Path, path: Path) -> Listed:
    """The entry of one file under ``root``."""
    relative = path.relative_to(root).as_posix()
    try:
        status = path.stat()
    except OSError:
        return Listed(relative, -1, 0)
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        return Listed(relative, SPECIAL, status.st_mtime_ns)
    return Listed(relative, status.st_size, status.st_mtime_ns)
