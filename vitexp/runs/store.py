"""The store: one folder a run, and nothing else is the truth.

runs/<id>/spec.json            the resolved spec
runs/<id>/lock                 held by the process that works on the run
runs/<id>/attempt              number of the newest lease
runs/<id>/log.jsonl            evaluations, appended as they happen
runs/<id>/checkpoint-*.ckpt    the last two checkpoints, each with its SHA-256
runs/<id>/weights.safetensors  final weights, if kept
runs/<id>/failure.txt          why the last attempt failed
runs/<id>/result.json          the record; its presence means that the run is done
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vitexp.errors import VitexpError
from vitexp.runs.files import TEMPORARY, disk
from vitexp.runs.lease import Lease, checkpoints, is_leased
from vitexp.runs.record import Results, RunRecord
from vitexp.spec import RunSpec, from_json

State = Literal["done", "diverged", "failed", "running", "stopped"]


@dataclass(frozen=True)
class Entry:
    """One run's folder.

    Attributes:
        step: steps done, as far as the last checkpoint tells.
        bytes: what the folder takes on disk.
        record: the result, if there is one.
    """

    id: str
    spec: RunSpec
    state: State
    step: int
    bytes: int
    record: RunRecord | None


class Store:
    """The runs below ``out``. Opening it creates nothing."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.root = out / "runs"

    def folder(self, run_id: str) -> Path:
        return self.root / run_id

    def results(self) -> Results:
        """All published records.

        Raises:
            VitexpError: a result that is damaged or in another format.
        """
        return Results(record for path in self._folders() if (record := read_record(path)))

    def missing(self, specs: Iterable[RunSpec]) -> list[RunSpec]:
        """The specs that have no result, each once, in order."""
        unique = {spec.id: spec for spec in specs}
        return [s for i, s in unique.items() if not (self.folder(i) / "result.json").exists()]

    def lease(self, spec: RunSpec) -> Lease | None:
        """The right to work on a run; None if another process has it or the run is done.

        Raises:
            VitexpError: the folder cannot be written to.
        """
        return Lease.take(self.folder(spec.id), spec)

    def is_leased(self, run_id: str) -> bool:
        """Whether a process is working on the run."""
        return is_leased(self.folder(run_id))

    def entries(self) -> list[Entry]:
        """Every run, finished or not, in the order of their ids."""
        return [entry for path in self._folders() if (entry := _entry(path))]

    def find(self, prefix: str) -> Entry:
        """The one run whose id begins with ``prefix``.

        Raises:
            VitexpError: none does, or more than one.
        """
        found = [path for path in self._folders() if path.name.startswith(prefix)]
        entry = _entry(found[0]) if len(found) == 1 else None
        if entry is None:
            how_many = f"{len(found)} runs begin" if found else "No run's id begins"
            raise VitexpError(
                f"{how_many} with {prefix!r} in {self.root}.",
                "`vitexp runs list` shows the ids.",
            )
        return entry

    def remove(self, run_id: str) -> int:
        """Deletes a run.

        Returns:
            Bytes freed.

        Raises:
            VitexpError: a process is working on it.
        """
        folder = self.folder(run_id)
        if self.is_leased(run_id):
            raise VitexpError(
                f"Run {run_id} is being worked on.",
                "Stop that command first (Ctrl-C), then remove the run.",
            )
        size = _size(folder)
        with disk(folder):
            # The result goes first: a half-deleted run must not count as done.
            (folder / "result.json").unlink(missing_ok=True)
            shutil.rmtree(folder)
        return size

    def garbage(self) -> list[Path]:
        """Files that nothing needs: temporary files, and checkpoints of finished runs."""
        found: list[Path] = []
        for folder in self._folders():
            if is_leased(folder):
                continue
            found += folder.glob(f"{TEMPORARY}*")
            if (folder / "result.json").exists():
                found += checkpoints(folder)
        return sorted(found)

    def _folders(self) -> list[Path]:
        if not self.root.is_dir():
            return []
        return sorted(path for path in self.root.iterdir() if (path / "spec.json").is_file())


def read_record(folder: Path) -> RunRecord | None:
    """The record in a run's folder, or None before it is published.

    Raises:
        VitexpError: it is damaged or in another format.
    """
    try:
        text = (folder / "result.json").read_bytes()
    except FileNotFoundError:
        return None
    try:
        return RunRecord.from_json(json.loads(text))
    except (ValueError, KeyError, TypeError) as error:
        raise VitexpError(
            f"{folder / 'result.json'} is damaged: {error}.",
            f"Remove it with `vitexp runs rm {folder.name}` and run the command again.",
        ) from error


def _entry(folder: Path) -> Entry | None:
    try:
        spec = from_json(RunSpec, json.loads((folder / "spec.json").read_bytes()))
    except (ValueError, VitexpError):
        return None
    record = read_record(folder)
    state: State = "stopped"
    if record is not None:
        state = record.status
    elif is_leased(folder):
        state = "running"
    elif (folder / "failure.txt").exists():
        state = "failed"
    kept = checkpoints(folder)
    step = spec.recipe.steps if state == "done" else int(kept[-1].stem[11:]) if kept else 0
    return Entry(folder.name, spec, state, step, _size(folder), record)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
