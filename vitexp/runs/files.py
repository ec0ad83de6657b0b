"""Files that are either whole or not there.

Every change of a file is write, fsync, rename, fsync of the folder; so a crash between any two
of these leaves the old file or the new one, and what was reported as written is on the disk.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vitexp.errors import VitexpError

_FULL = (errno.ENOSPC, errno.EDQUOT)
_REFUSED = (errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOTDIR, errno.EEXIST)
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)

TEMPORARY = ".tmp-"
"""How the names of unfinished files begin."""


class DiskError(VitexpError):
    """The disk refused, which is not the fault of the run that met it."""


def _nothing() -> None:
    pass


def write_atomic(path: Path, content: bytes, check: Callable[[], None] = _nothing) -> None:
    """Replace ``path`` as a whole; its folder has to be there.

    Args:
        check: called when everything is written and before any of it can be seen; may raise.

    Raises:
        DiskError: the disk is full or the folder cannot be written to.
        FileNotFoundError: the folder, or the unfinished file, was removed by another process.
    """
    with disk(path), _temporary(path, content) as temporary:
        check()
        os.replace(temporary, path)
        sync_folder(path.parent)


def publish_once(path: Path, content: bytes, check: Callable[[], None] = _nothing) -> bool:
    """Like :func:`write_atomic`, but leaves an existing file as it is.

    Returns:
        Whether this call's content is the one that stands.
    """
    with disk(path), _temporary(path, content) as temporary:
        check()
        first = _link(temporary, path)
        sync_folder(path.parent)
        return first


def _link(temporary: Path, path: Path) -> bool:
    """Give the file its name if it is free; where there are no links, ask and rename."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if path.exists():
            return False
        os.replace(temporary, path)
    return True


def json_bytes(value: Any) -> bytes:
    """``value`` as the content of a file.

    Raises:
        ValueError: a number in it is NaN or infinite.
    """
    return json.dumps(value, indent=1, allow_nan=False).encode() + b"\n"


def tally(path: Path) -> int:
    """Adds a stroke to ``path`` for good, whatever other processes add; how many there are then.

    Raises:
        DiskError: the disk is full or the folder cannot be written to.
        FileNotFoundError: the folder is gone.
    """
    with disk(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        try:
            os.write(descriptor, b"|")
            os.fsync(descriptor)
            sync_folder(path.parent)
            return os.fstat(descriptor).st_size
        finally:
            os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Make ``folder`` and those above it, so that they survive a power cut."""
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for path in reversed(new):
        sync_folder(path.parent)


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
        if error.errno in _FULL:
            raise DiskError(
                f"The disk that holds {path.parent} is full.",
                "Make room (`vitexp runs gc` frees what is no longer needed), "
                "then repeat the command: finished runs are kept.",
            ) from error
        if error.errno in _REFUSED:
            raise DiskError(
                f"{path} cannot be written: {error.strerror}.",
                "Choose a folder you can write to with --out DIR.",
            ) from error
        raise


@contextmanager
def _temporary(path: Path, content: bytes) -> Iterator[Path]:
    temporary = path.parent / f"{TEMPORARY}{secrets.token_hex(6)}"
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            rest = memoryview(content)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
