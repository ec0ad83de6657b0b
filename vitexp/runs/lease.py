"""Who works on a run: one process at a time, fenced by an attempt number.

The lock is the kernel's, so it is gone when its holder is, however it ended. The attempt number
guards the case that a lock was lost while its holder slept (a network file system): whoever
finds a newer number than its own may write nothing more.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from vitexp.errors import VitexpError
from vitexp.runs.files import TEMPORARY, disk, publish_once, write_atomic
from vitexp.runs.record import RunRecord
from vitexp.spec import RunSpec, to_json

_DIGEST = 32
_GENERATIONS = 2


class Fenced(Exception):
    """A newer attempt has taken the run over; this one must end without writing."""


class Lease:
    """The right to work on one run; made by :meth:`take`, ended by :meth:`release`."""

    def __init__(self, folder: Path, spec: RunSpec, lock: int, attempt: int) -> None:
        self.folder, self.spec, self.attempt = folder, spec, attempt
        self._lock = lock

    @classmethod
    def take(cls, folder: Path, spec: RunSpec) -> Lease | None:
        """Leases the run; None if another process holds it or it is done."""
        with disk(folder / "lock"):
            folder.mkdir(parents=True, exist_ok=True)
            lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return None
        # The folder may have been removed between opening the lock and getting it.
        gone = os.fstat(lock).st_nlink == 0
        if gone or (folder / "result.json").exists():
            os.close(lock)
            return None
        lease = cls(folder, spec, lock, _attempt(folder) + 1)
        lease._begin()
        return lease

    def _begin(self) -> None:
        write_atomic(self.folder / "attempt", str(self.attempt).encode())
        write_atomic(self.folder / "spec.json", _json(to_json(self.spec)))
        for leftover in self.folder.glob(f"{TEMPORARY}*"):
            leftover.unlink(missing_ok=True)
        (self.folder / "failure.txt").unlink(missing_ok=True)

    def log(self, points: list[dict[str, float]]) -> None:
        """Replaces the log by ``points`` if it is not a prefix of them, else appends the rest.

        A resumed run may go back behind evaluations that were already logged.
        """
        path = self.folder / "log.jsonl"
        lines = [json.dumps(point).encode() + b"\n" for point in points]
        self._check()
        with disk(path):
            known = path.read_bytes().splitlines(keepends=True) if path.exists() else []
            if known != lines[: len(known)]:
                write_atomic(path, b"".join(lines))
            elif lines[len(known) :]:
                with open(path, "ab") as file:
                    file.write(b"".join(lines[len(known) :]))

    def save(self, step: int, content: bytes) -> None:
        """Makes ``content`` the newest checkpoint and keeps the one before it.

        Raises:
            Fenced: a newer attempt has the run.
            VitexpError: the disk is full or not writable; older checkpoints are untouched.
        """
        self._check()
        path = self.folder / f"checkpoint-{step:09d}.ckpt"
        write_atomic(path, hashlib.sha256(content).digest() + content)
        for old in checkpoints(self.folder)[:-_GENERATIONS]:
            old.unlink(missing_ok=True)

    def restore(self) -> tuple[bytes | None, list[Path]]:
        """The newest checkpoint that is whole, or None, and the damaged ones removed."""
        damaged: list[Path] = []
        for path in reversed(checkpoints(self.folder)):
            stored = path.read_bytes()
            digest, content = stored[:_DIGEST], stored[_DIGEST:]
            if hashlib.sha256(content).digest() == digest:
                return content, damaged
            damaged.append(path)
            path.unlink()
        return None, damaged

    def publish(self, record: RunRecord, weights: bytes | None) -> bool:
        """Writes the result, whose presence means done; the first one stands.

        Returns:
            Whether this record is the one that stands.

        Raises:
            Fenced: a newer attempt has the run.
            VitexpError: the disk is full or not writable.
        """
        self._check()
        if weights is not None:
            assert record.weights_sha == hashlib.sha256(weights).hexdigest()
            write_atomic(self.folder / "weights.safetensors", weights)
        self._check()
        first = publish_once(self.folder / "result.json", _json(record.to_json()))
        for path in checkpoints(self.folder):
            path.unlink(missing_ok=True)
        return first

    def fail(self, reason: str) -> None:
        """Keeps why this attempt failed."""
        self._check()
        write_atomic(self.folder / "failure.txt", reason.encode())

    def release(self) -> None:
        os.close(self._lock)

    def _check(self) -> None:
        if _attempt(self.folder) != self.attempt:
            raise Fenced(f"{self.folder.name}: attempt {self.attempt} was taken over")


def is_leased(folder: Path) -> bool:
    """Whether a process of this machine, or of one that shares its locks, works on the run."""
    try:
        lock = os.open(folder / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        # A shared lock is refused only while somebody works, and hinders no other reader.
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(lock)


def checkpoints(folder: Path) -> list[Path]:
    """A run's checkpoints, oldest first."""
    return sorted(folder.glob("checkpoint-*.ckpt"))


def _attempt(folder: Path) -> int:
    path = folder / "attempt"
    try:
        return int(path.read_text())
    except FileNotFoundError:
        return 0
    except ValueError as error:
        raise VitexpError(
            f"{path} is damaged.", f"Remove the run with `vitexp runs rm {folder.name}`."
        ) from error


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=1, allow_nan=False).encode() + b"\n"
