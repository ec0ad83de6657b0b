"""Files that are either whole or not there."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vitexp.errors import VitexpError

_REFUSED = (
    errno.EACCES,
    errno.EROFS,
    errno.EPERM,
    errno.ENOTDIR,
    errno.EEXIST,
    errno.ENOENT,
)

TEMPORARY = ".tmp-"
"""How the names of unfinished files begin."""


def write_atomic(path: Path, content: bytes) -> None:
    """Write, fsync, rename, fsync of the folder: after a crash the old file or the new one.

    Raises:
        VitexpError: the disk is full or the folder cannot be written to.
    """
    with disk(path), _temporary(path, content) as temporary:
        os.replace(temporary, path)
        sync_folder(path.parent)


def publish_once(path: Path, content: bytes) -> bool:
    """Like :func:`write_atomic`, but leaves an existing file as it is.

    Returns:
        Whether this call's content is the one that stands.

    Raises:
        VitexpError: the disk is full or the folder cannot be written to.
    """
    with disk(path), _temporary(path, content) as temporary:
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        sync_folder(path.parent)
        return True


def sync_folder(folder: Path) -> None:
    """Makes renames within ``folder`` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def disk(path: Path) -> Iterator[None]:
    """Turns the disk's refusals into the user's error."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise VitexpError(
                f"The disk that holds {path.parent} is full.",
                "Make room (`vitexp runs gc` frees what is no longer needed), "
                "then repeat the command: finished runs are kept.",
            ) from error
        if error.errno in _REFUSED:
            raise VitexpError(
                f"{path} cannot be written: {error.strerror}.",
                "Choose a folder you can write to with --out DIR.",
            ) from error
        raise


@contextmanager
def _temporary(path: Path, content: bytes) -> Iterator[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f"{TEMPORARY}{secrets.token_hex(6)}"
    try:
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)
