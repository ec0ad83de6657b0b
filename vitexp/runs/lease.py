"""Who works on a run: one process at a time, fenced by an attempt number.

The lock is the kernel's, so it is gone when its holder is, however it ended; no clock is read.
Other processes that write into a run's folder or remove something there hold it, too.
The attempt guards the case that a lock was lost while its holder slept, or is not seen by
another machine (some network file systems). Taking a run over raises the attempt, then removes
unfinished files, then reads; a write goes to a temporary file, then compares the attempt, then
renames. So a writer that was overtaken finds another attempt, or its file gone,
and what it finished before that is what the new holder reads.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from vitexp.errors import VitexpError
from vitexp.runs.files import (
    TEMPORARY,
    DiskError,
    disk,
    json_bytes,
    make_folder,
    publish_once,
    tally,
    write_atomic,
)
from vitexp.runs.record import RunRecord
from vitexp.spec import RunSpec, to_json

_DIGEST = 32
_GENERATIONS = 2
_A_LOOK = 1e-3
"""Seconds after which a look at a lock is over."""

A_WHILE = 0.1
"""Seconds between two tries for a lock."""

TEST_READS = "test-reads"
"""A stroke for each read of the test split, until the record says how many they were."""


class Fenced(Exception):
    """A newer attempt has taken the run over, or the run was removed; nothing may be written."""


class Lease:
    """The right to work on one run; made by :meth:`take`, ended by :meth:`release`."""

    def __init__(self, folder: Path, spec: RunSpec, lock: int) -> None:
        self.folder, self.spec = folder, spec
        self._lock = lock
        self.attempt = _attempt(folder) + 1
        # Two that cannot see each other's locks may count to the same number.
        self._mark = f"{self.attempt} {secrets.token_hex(6)}\n".encode()

    @classmethod
    def take(cls, folder: Path, spec: RunSpec) -> Lease | None:
        """Leases the run; None if another process holds it or it is done.

        Raises:
            DiskError: the folder cannot be written to, or has no locks.
        """
        with disk(folder / "lock"):
            make_folder(folder)
        lock = hold(folder)
        if lock is None:
            return None
        result = folder / "result.json"
        try:
            if not result.exists():
                lease = cls(folder, spec, lock)
                lease._begin()
                # From here on no other process publishes; one whose lock we do not see may have.
                if not result.exists():
                    return lease
        except Fenced:
            pass
        except BaseException:
            os.close(lock)
            raise
        os.close(lock)
        return None

    def _begin(self) -> None:
        with _fenced(self.folder):
            write_atomic(self.folder / "attempt", self._mark)
        for leftover in self.folder.glob(f"{TEMPORARY}*"):
            leftover.unlink(missing_ok=True)
        self._write("spec.json", json_bytes(to_json(self.spec)))
        (self.folder / "failure.txt").unlink(missing_ok=True)

    def log(self, points: list[dict[str, float]]) -> bool:
        """Makes ``points`` the whole log; a resumed run may go back behind what was logged.

        Returns:
            Whether the log ended in half a line, which is gone now.
        """
        path = self.folder / "log.jsonl"
        known = path.read_bytes() if path.exists() else b""
        lines = b"".join(json.dumps(point).encode() + b"\n" for point in points)
        if known != lines:
            self._write("log.jsonl", lines)
        return bool(known) and not known.endswith(b"\n")

    def save(self, step: int, content: bytes) -> None:
        """Makes ``content`` the newest checkpoint and keeps the one before it.

        Raises:
            Fenced: a newer attempt has the run.
            DiskError: the disk is full or not writable; older checkpoints are untouched.
        """
        self._write(f"checkpoint-{step:09d}.ckpt", self._digest(content) + content)
        for old in checkpoints(self.folder)[:-_GENERATIONS]:
            old.unlink(missing_ok=True)

    def restore(self) -> tuple[bytes | None, list[Path]]:
        """The newest checkpoint that is whole, or None, and the damaged ones removed."""
        damaged: list[Path] = []
        for path in reversed(checkpoints(self.folder)):
            content = self._content(path)
            if content is not None:
                return content, damaged
            damaged.append(path)
            path.unlink(missing_ok=True)
        return None, damaged

    def _content(self, path: Path) -> bytes | None:
        try:
            stored = path.read_bytes()
        except OSError:
            return None
        digest, content = stored[:_DIGEST], stored[_DIGEST:]
        return content if self._digest(content) == digest else None

    def _digest(self, content: bytes) -> bytes:
        # With the id, so that another run's checkpoint is not taken for one of this run.
        sha = hashlib.sha256(self.spec.id.encode())
        sha.update(content)
        return sha.digest()

    def reads_test(self) -> int:
        """To be called before each read of the test split, which informs no choice but is counted.

        Returns:
            How often it was read by anybody for this run, with this time.

        Raises:
            Fenced: a newer attempt has the run.
            DiskError: the disk is full or not writable.
        """
        self._check()
        with _fenced(self.folder):
            return tally(self.folder / TEST_READS)

    def publish(self, record: RunRecord, weights: bytes | None) -> bool:
        """Writes the result, whose presence means done; the first one stands.

        A diverged run keeps its last checkpoint, which is its last good one.

        Returns:
            Whether this record is the one that stands.

        Raises:
            Fenced: a newer attempt has the run.
            DiskError: the disk is full or not writable.
        """
        if weights is not None:
            assert record.weights_sha == hashlib.sha256(weights).hexdigest()
            self._write("weights.safetensors", weights)
        path = self.folder / "result.json"
        with _fenced(self.folder):
            first = publish_once(path, json_bytes(record.to_json()), self._check)
        for old in checkpoints(self.folder)[: -1 if record.status == "diverged" else None]:
            old.unlink(missing_ok=True)
        (self.folder / TEST_READS).unlink(missing_ok=True)
        return first

    def fail(self, reason: str) -> None:
        """Keeps why this attempt failed."""
        self._write("failure.txt", reason.encode())

    def release(self) -> None:
        os.close(self._lock)

    def _write(self, name: str, content: bytes) -> None:
        with _fenced(self.folder):
            write_atomic(self.folder / name, content, self._check)

    def _check(self) -> None:
        try:
            mark = (self.folder / "attempt").read_bytes()
        except FileNotFoundError:
            mark = b""
        if mark != self._mark:
            raise Fenced(f"{self.folder.name}: attempt {self.attempt} was taken over")


def hold(folder: Path) -> int | None:
    """Locks a run; None if a process has it or it was removed meanwhile.

    Returns:
        A descriptor; closing it frees the run.

    Raises:
        DiskError: no permission, or a file system without locks.
    """
    with disk(folder / "lock"):
        try:
            lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except FileNotFoundError:
            return None
    try:
        if not _locked(lock):
            os.close(lock)
            return None
    except OSError as error:
        os.close(lock)
        raise DiskError(
            f"{folder} cannot be locked: {error.strerror}.",
            "Choose a folder on a file system with locks with --out DIR.",
        ) from error
    # The folder may have been removed between opening the lock and getting it.
    if os.fstat(lock).st_nlink == 0:
        os.close(lock)
        return None
    return lock


def _locked(lock: int) -> bool:
    """Locks unless another process has an exclusive lock; whether it did."""
    while not _flock(lock, fcntl.LOCK_EX):
        if not _flock(lock, fcntl.LOCK_SH):
            return False
        # Whoever is in the way only looks whether the run is leased.
        fcntl.flock(lock, fcntl.LOCK_UN)
        time.sleep(_A_LOOK)
    return True


def _flock(lock: int, kind: int) -> bool:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False


@contextmanager
def alone(
    folder: Path, waiting: Callable[[], object] = lambda: time.sleep(A_WHILE)
) -> Iterator[None]:
    """Has a folder, a run's or one like it, as soon as nobody else does.

    Args:
        waiting: called until then, again and again; what it raises ends the wait.

    Raises:
        DiskError: no permission, or a file system without locks.
        VitexpError: it was removed meanwhile.
    """
    while (lock := hold(folder)) is None:
        if not folder.is_dir():
            raise VitexpError(f"{folder} was removed meanwhile.", "Repeat the command.")
        waiting()
    try:
        yield
    finally:
        os.close(lock)


def is_leased(folder: Path) -> bool:
    """Whether a process of this machine, or of one that shares its locks, works on the run."""
    try:
        lock = os.open(folder / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        # A shared lock is refused only while a process works, and hinders no other reader.
        return not _flock(lock, fcntl.LOCK_SH)
    finally:
        os.close(lock)


def checkpoints(folder: Path) -> list[Path]:
    """A run's checkpoints, oldest first."""
    return sorted(path for path in folder.glob("*.ckpt") if is_checkpoint(path.name))


def is_checkpoint(name: str) -> bool:
    """Whether a file of this name is a checkpoint."""
    return re.fullmatch(r"checkpoint-[0-9]{9}\.ckpt", name) is not None


@contextmanager
def _fenced(folder: Path) -> Iterator[None]:
    """An unfinished file that is gone was removed by the process that took the run over."""
    try:
        yield
    except FileNotFoundError as error:
        raise Fenced(f"{folder.name} was taken over or removed") from error


def _attempt(folder: Path) -> int:
    path = folder / "attempt"
    try:
        return int(path.read_text().split()[0])
    except FileNotFoundError:
        return 0
    except (ValueError, IndexError) as error:
        raise VitexpError(
            f"{path} is damaged.", f"Remove the run with `vitexp runs rm {folder.name}`."
        ) from error
