"""One run's folder: what it says, how large it is, and what in it nothing needs any more."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from vitexp.errors import VitexpError
from vitexp.runs.files import TEMPORARY, disk
from vitexp.runs.lease import TEST_READS, hold, is_checkpoint, is_leased
from vitexp.runs.measurement import READS
from vitexp.runs.record import RunRecord
from vitexp.spec import RunSpec, from_json

_TELLING = ("spec.json", "result.json")
"""The files that make a folder one of a run."""

State = Literal["done", "diverged", "failed", "running", "stopped", "unreadable"]


@dataclass(frozen=True)
class Entry:
    """One run's folder.

    Attributes:
        spec: None where the folder is unreadable.
        step: steps done, as far as the last checkpoint tells.
        bytes: what the folder takes on disk.
        record: the result, if there is one.
        changed: when something was last written there, seconds since 1970.
        problem: why the folder is unreadable and what to do about it.
    """

    id: str
    spec: RunSpec | None
    state: State
    step: int
    bytes: int
    record: RunRecord | None
    changed: float = 0.0
    problem: VitexpError | None = None

    @property
    def date(self) -> datetime:
        """When it ended, or was last written to where it did not; in the local time zone."""
        if self.record is not None:
            with suppress(KeyError, ValueError, TypeError):
                return datetime.fromisoformat(self.record.execution["ended"]).astimezone()
        return datetime.fromtimestamp(self.changed).astimezone()

    def readable(self) -> RunSpec:
        """The spec.

        Raises:
            VitexpError: the folder is unreadable.
        """
        if self.problem is not None:
            raise self.problem
        assert self.spec is not None
        return self.spec


def read_record(folder: Path) -> RunRecord | None:
    """The record in a run's folder, or None before it is published.

    Raises:
        VitexpError: it is damaged or in another format.
    """
    try:
        with open(f"{folder}/result.json", "rb") as file:
            text = file.read()
    except (FileNotFoundError, NotADirectoryError):
        return None
    remedy = _again(folder)
    try:
        record = RunRecord.from_json(json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise VitexpError(f"{folder / 'result.json'} is damaged: {error}.", remedy) from error
    if record.id != folder.name:
        raise VitexpError(f"{folder} holds the result of another run, {record.id}.", remedy)
    return record


def is_run(folder: Path) -> bool:
    """Whether a folder is one of a run."""
    return any((folder / file).is_file() for file in _TELLING)


def read_entry(folder: Path) -> Entry | None:
    """A run's folder as it is now, however damaged; None if it was removed meanwhile."""
    try:
        record, leased = read_record(folder), False
        if record is None and not (leased := is_leased(folder)):
            # Whoever works on a run publishes it, then lets it go: perhaps just now.
            record = read_record(folder)
        spec = record.spec if record else _read_spec(folder)
    except VitexpError as error:
        if not is_run(folder):
            return None
        files = stats(folder)
        return Entry(
            folder.name, None, "unreadable", 0, _bytes(files), None, _changed(files), error
        )
    files = stats(folder)
    state: State = "stopped"
    if record is not None:
        state = record.status
    elif leased:
        state = "running"
    elif "failure.txt" in files:
        state = "failed"
    kept = max(filter(is_checkpoint, files), default=None)
    step = spec.recipe.steps if state == "done" else int(Path(kept).stem[11:]) if kept else 0
    return Entry(folder.name, spec, state, step, _bytes(files), record, _changed(files))


def _read_spec(folder: Path) -> RunSpec:
    path = folder / "spec.json"
    remedy = _again(folder)
    try:
        spec = from_json(RunSpec, json.loads(path.read_bytes()))
    except (OSError, ValueError) as error:
        raise VitexpError(f"{path} is damaged: {error}.", remedy) from error
    if spec.id != folder.name:
        raise VitexpError(f"{path} is of another run, or in another format.", remedy)
    return spec


def _again(folder: Path) -> str:
    return f"Remove it with `vitexp runs rm {folder.name}` and run the command again."


def leftovers(folder: Path, record: RunRecord | None) -> dict[Path, int]:
    """Files that nothing needs of a run, a soup or a probed file that nobody works on, and their
    bytes.

    Args:
        record: the run's result, if any.
    """
    files = stats(folder)
    return {
        folder / name: stat.st_size
        for name, stat in files.items()
        if name.startswith(TEMPORARY)
        or (name.endswith(READS) and f"{name.removesuffix(READS)}.json" in files)
        or (record and _outlived(name, record))
    }


def _outlived(name: str, record: RunRecord) -> bool:
    """Whether the result made a file superfluous."""
    if name == "weights.safetensors":
        return record.weights_sha is None
    return record.status == "done" and (name == TEST_READS or is_checkpoint(name))


def sweep(folder: Path) -> dict[Path, int]:
    """Removes the leftovers of a folder, if nobody works there.

    Returns:
        What is gone, and how many bytes it had.

    Raises:
        VitexpError: the result is damaged, or the disk refuses.
    """
    lock = hold(folder)
    if lock is None:
        return {}
    try:
        found = leftovers(folder, read_record(folder))
        with disk(folder):
            for path in found:
                path.unlink(missing_ok=True)
        return found
    finally:
        os.close(lock)


def stats(folder: Path) -> dict[str, os.stat_result]:
    """What is known of a run's files; files may go while one looks."""
    found = {}
    with suppress(FileNotFoundError):
        for item in os.scandir(folder):
            with suppress(FileNotFoundError):
                found[item.name] = item.stat(follow_symlinks=False)
    return found


def _changed(files: Mapping[str, os.stat_result]) -> float:
    return max((stat.st_mtime for stat in files.values()), default=0.0)


def size(folder: Path) -> int:
    """Bytes that a run's files take."""
    return _bytes(stats(folder))


def _bytes(files: Mapping[str, os.stat_result]) -> int:
    return sum(stat.st_size for stat in files.values())
