"""Decoded sets on disk: ``sets/FINGERPRINT/`` holds arrays, ``known/KEY.json`` finds them.

A set is written aside and renamed into place, so one that is there is whole; of several
processes that build the same one the first to finish provides it. Everything here can be deleted
at any time.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vitexp.datasets.census import Census
from vitexp.datasets.image_set import Split
from vitexp.datasets.split import PARTS, Part
from vitexp.errors import VitexpError
from vitexp.spec import Skipped, from_json, to_json

_DAY = 86_400.0
_BUFFER = 1 << 22
"""Bytes gathered before a write: each lets go of the interpreter to the decoding threads."""


@dataclass(frozen=True)
class Known:
    """What was found when a source was last decoded.

    Attributes:
        stamp: of the source then.
        fingerprint: which set it gave.
        names: class names.
        duplicates, near_duplicates, broken, skipped, notes, census: as in ImageSet.
    """

    stamp: str
    fingerprint: str
    names: tuple[str, ...]
    duplicates: int = 0
    near_duplicates: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()
    census: Census | None = None


def default_cache() -> Path:
    """``$VITEXP_CACHE``, or ``vitexp`` in the user's cache folder."""
    if own := os.environ.get("VITEXP_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "vitexp")


class Cache:
    """The cache in one folder, which need not exist yet."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def known(self, key: str) -> Known | None:
        """What is known under ``key``, if it can be read."""
        try:
            return from_json(Known, json.loads(self._known(key).read_text()))
        except (OSError, ValueError, VitexpError):
            return None

    def made(self, fingerprint: str) -> Known | None:
        """What is known of a stored set, wherever its images came from."""
        keys = (path.stem for path in sorted(self.folder.glob("known/*.json")))
        found = (known for key in keys if (known := self.known(key)))
        return next((known for known in found if known.fingerprint == fingerprint), None)

    def remember(self, key: str, known: Known) -> None:
        """Store ``known`` under ``key``.

        Raises:
            VitexpError: the folder cannot be written.
        """
        path = self._known(key)
        with self.building(0) as folder, self.writing():
            written = folder / path.name
            written.write_text(json.dumps(to_json(known)))
            path.parent.mkdir(exist_ok=True)
            os.replace(written, path)

    def splits(self, fingerprint: str) -> dict[Part, Split] | None:
        """The splits of a stored set, mapped from disk; None where it is absent or damaged."""
        folder = self._set(fingerprint)
        try:
            return written(folder)
        except (OSError, ValueError, EOFError):
            return None

    def publish(self, building: Path, fingerprint: str) -> None:
        """Move a finished folder to its place, unless the same set is there already.

        Raises:
            VitexpError: the folder cannot be written.
        """
        target = self._set(fingerprint)
        with self.writing():
            target.parent.mkdir(exist_ok=True)
            try:
                building.rename(target)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
                self._replace(building, fingerprint)

    def _replace(self, building: Path, fingerprint: str) -> None:
        """One at a time: what looks damaged may be whole the moment after."""
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if self.splits(fingerprint) is not None:
                return
            shutil.rmtree(self._set(fingerprint), ignore_errors=True)
            try:
                building.rename(self._set(fingerprint))
            except OSError:
                if self.splits(fingerprint) is None:
                    raise

    @contextmanager
    def building(self, needed: int) -> Iterator[Path]:
        """An empty folder for a set in the making; removed at the end if still there.

        Args:
            needed: bytes that will be written.

        Raises:
            VitexpError: the disk has no room, or the folder cannot be written.
        """
        with self.writing():
            self.folder.mkdir(parents=True, exist_ok=True)
            self._sweep()
            free = shutil.disk_usage(self.folder).free
            if free < needed:
                raise VitexpError(
                    f"The decoded images need {needed / 1e9:.1f} GB; {self.folder} has "
                    f"{free / 1e9:.1f} GB free.",
                    "Make room, set VITEXP_CACHE to a folder elsewhere, or ask for a smaller "
                    "--image-size.",
                )
            folder = Path(tempfile.mkdtemp(prefix="building-", dir=self.folder))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Say in the user's terms why the folder cannot be written."""
        try:
            yield
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            reason = "is full" if full else f"cannot be written ({error.strerror})"
            raise VitexpError(
                f"The cache folder {self.folder} {reason}.",
                "Set VITEXP_CACHE to a folder that can be written and has room.",
            ) from error

    def _sweep(self) -> None:
        # What a killed process left behind; a living one writes at least once a day.
        for folder in self.folder.glob("building-*"):
            try:
                newest = max(path.stat().st_mtime for path in (folder, *folder.iterdir()))
            except FileNotFoundError:
                continue  # Its process just moved it into place.
            if newest < time.time() - _DAY:
                shutil.rmtree(folder, ignore_errors=True)

    def _set(self, fingerprint: str) -> Path:
        return self.folder / "sets" / fingerprint

    def _known(self, key: str) -> Path:
        return self.folder / "known" / f"{key}.json"


class SplitWriter:
    """Appends images of one part to ``PART.images.npy``; their number need not be known."""

    def __init__(self, folder: Path, part: Part, side: int, channels: int) -> None:
        self._shape = (side, side, channels)
        self._labels: list[int] = []
        self._labels_path = folder / f"{part}.labels.npy"
        self._file = (folder / f"{part}.images.npy").open("wb", buffering=_BUFFER)
        self._write_header()
        self._start = self._file.tell()

    def add(self, image: np.ndarray, label: int) -> None:
        self._file.write(image.tobytes())
        self._labels.append(label)

    def close(self) -> None:
        """Write the number of images where it belongs, and everything to the disk."""
        self._file.seek(0)
        self._write_header()
        # numpy pads a header so that its first axis can grow.
        assert self._file.tell() == self._start
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        np.save(self._labels_path, np.array(self._labels, dtype=np.int64))

    def _write_header(self) -> None:
        header: dict[str, Any] = {
            "descr": "|u1",
            "fortran_order": False,
            "shape": (len(self._labels), *self._shape),
        }
        np.lib.format.write_array_header_1_0(self._file, header)


def written(folder: Path) -> dict[Part, Split]:
    """The splits that were written into a folder, mapped from disk.

    Raises:
        OSError, ValueError, EOFError: they are absent or damaged.
    """
    return {part: _open(folder, part) for part in PARTS}


def _open(folder: Path, part: Part) -> Split:
    images = np.load(folder / f"{part}.images.npy", mmap_mode="r", allow_pickle=False)
    labels = np.load(folder / f"{part}.labels.npy", allow_pickle=False)
    if len(images) != len(labels):
        raise ValueError(f"{folder}: {len(images)} images and {len(labels)} labels")
    return Split(images, labels)
