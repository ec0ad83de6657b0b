"""One run's folder: what it says, how large it is, and what in it nothing needs any more."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vitexp.errors import VitexpError
from vitexp.runs.files import TEMPORARY
from vitexp.runs.lease import TEST_READS, checkpoints, is_leased
from vitexp.runs.measurement import READS
from vitexp.runs.record import RunRecord
from vitexp.spec import RunSpec, from_json

State = Literal["done", "diverged", "failed", "running", "stopped", "unreadable"]


@dataclass(frozen=True)
class Entry:
    """One run's folder.

    Attributes:
        spec: None where the folder is unreadable.
        step: steps done, as far as the last checkpoint tells.
        bytes: what the folder takes on disk.
        record: the result, if there is one.
        problem: why the folder is unreadable and what to do about it.
    """

    id: str
    spec: RunSpec | None
    state: State
    step: int
    bytes: int
    record: RunRecord | None
    problem: VitexpError | None = None

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


def read_entry(folder: Path) -> Entry:
    """A run's folder as it is now, however damaged."""
    try:
        record = read_record(folder)
        spec = record.spec if record else _read_spec(folder)
    except VitexpError as error:
        return Entry(folder.name, None, "unreadable", 0, size(folder), None, error)
    state: State = "stopped"
    if record is not None:
        state = record.status
    elif is_leased(folder):
        state = "running"
    elif (folder / "failure.txt").exists():
        state = "failed"
    kept = checkpoints(folder)
    step = spec.recipe.steps if state == "done" else int(kept[-1].stem[11:]) if kept else 0
    return Entry(folder.name, spec, state, step, size(folder), record)


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


def leftovers(folder: Path, record: RunRecord | None) -> Iterator[Path]:
    """Files that nothing needs of a run that nobody works on; ``record`` is its result, if any."""
    yield from folder.glob(f"{TEMPORARY}*")
    if record is not None and record.status == "done":
        yield from checkpoints(folder)
        yield from folder.glob(TEST_READS)
        yield from (p for p in folder.glob(f"*{READS}") if p.with_suffix(".json").is_file())
    if record is not None and record.weights_sha is None:
        yield from folder.glob("weights.safetensors")


def stats(folder: Path) -> dict[str, os.stat_result]:
    """What is known of a run's files; files may go while one looks."""
    found = {}
    with suppress(FileNotFoundError):
        for item in os.scandir(folder):
            with suppress(FileNotFoundError):
                found[item.name] = item.stat(follow_symlinks=False)
    return found


def size(folder: Path) -> int:
    """Bytes that a run's files take."""
    return sum(stat.st_size for stat in stats(folder).values())
