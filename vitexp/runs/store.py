"""The store: one folder a run, and nothing else is the truth.

runs/<id>/spec.json            the resolved spec
runs/<id>/lock                 held by the process that works on the run
runs/<id>/attempt              number and token of the newest lease
runs/<id>/log.jsonl            evaluations, as far as the last checkpoint
runs/<id>/checkpoint-*.ckpt    the last two checkpoints, each with its SHA-256
runs/<id>/test-reads           a stroke for each read of the test split, until the record has them
runs/<id>/weights.safetensors  final weights, if kept
runs/<id>/failure.txt          why the last attempt failed
runs/<id>/result.json          the record; its presence means that the run is done
runs/<id>/measurement-*.json   what probes found out about it since, one file a question
probes/<id>/                   the same of a file with weights, by its SHA-256 and its model
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vitexp.errors import VitexpError
from vitexp.runs.files import (
    TEMPORARY,
    disk,
    file_hash,
    make_folder,
    publish_once,
    sync_folder,
    tally,
)
from vitexp.runs.lease import TEST_READS, Lease, checkpoints, hold, is_leased
from vitexp.runs.measurement import Measurement, measurement_id
from vitexp.runs.record import Results, RunRecord
from vitexp.spec import Checkpoint, ProbeSpec, RunSpec, from_json

_READS = ".reads"

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


class Store:
    """The runs below ``out``. Opening it creates nothing."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.root = out / "runs"

    def folder(self, run_id: str) -> Path:
        return self.root / run_id

    def failure(self, run_id: str) -> Path:
        """Where the reason of the last failed attempt is kept, if it failed."""
        return self.folder(run_id) / "failure.txt"

    def results(self) -> Results:
        """All published records.

        Raises:
            VitexpError: a result that is damaged or in another format.
        """
        return Results(record for path in self._inside() if (record := read_record(path)))

    def missing(self, specs: Iterable[RunSpec]) -> list[RunSpec]:
        """The specs that have no result, each once, in order."""
        unique = {spec.id: spec for spec in specs}
        return [spec for run, spec in unique.items() if not self.is_done(run)]

    def is_done(self, run_id: str) -> bool:
        """Whether the run has a result."""
        return (self.folder(run_id) / "result.json").exists()

    def lease(self, spec: RunSpec) -> Lease | None:
        """The right to work on a run; None if another process has it or the run is done.

        Raises:
            VitexpError: the folder cannot be written to.
        """
        folder = self.folder(spec.id)
        lease = Lease.take(folder, spec)
        if lease is None and (record := read_record(folder)):
            self.tidy([record])
        return lease

    def weights(self, run_id: str) -> Path:
        """The safetensors file with the final weights of a finished run.

        Raises:
            VitexpError: the run is not done, diverged, did not keep them, or they are damaged.
        """
        record = read_record(self.folder(run_id))
        again = "Remove it with `vitexp runs rm` and run it again."
        if record is None:
            raise VitexpError(f"Run {run_id} is not done.", "Repeat the command that began it.")
        if record.status == "diverged":
            raise VitexpError(f"Run {run_id} diverged: it has no weights.", "Choose another run.")
        if record.weights_sha is None:
            raise VitexpError(f"Run {run_id} did not keep its weights (--no-keep).", again)
        path = self.folder(run_id) / "weights.safetensors"
        if not path.is_file() or file_hash(path) != record.weights_sha:
            raise VitexpError(f"{path} is damaged.", again)
        return path

    def result(self, run_id: str) -> RunRecord:
        """The record of a run that is known to be done."""
        record = read_record(self.folder(run_id))
        assert record is not None
        return record

    def measurement(self, of: RunSpec | Checkpoint, probe: ProbeSpec) -> Measurement | None:
        """What ``probe`` found out about a run or a file; None before it was made.

        Raises:
            VitexpError: the file is damaged.
        """
        path = self._measurement(of, probe)
        if not path.is_file():
            return None
        return _read_measurement(path)

    def measurements(self, run_id: str) -> list[Measurement]:
        """What all probes found out about a run.

        Raises:
            VitexpError: a file is damaged.
        """
        found = sorted(self.folder(run_id).glob("measurement-*.json"))
        return [_read_measurement(path) for path in found]

    def keep(self, of: RunSpec | Checkpoint, measurement: Measurement) -> None:
        """Writes a measurement into its run's folder, or its file's; the first one stands.

        Raises:
            VitexpError: the disk is full or not writable.
        """
        path = self._measurement(of, measurement.probe)
        text = json.dumps(measurement.to_json(), indent=1, allow_nan=False)
        publish_once(path, text.encode() + b"\n")
        path.with_suffix(_READS).unlink(missing_ok=True)

    def reads_test(self, of: RunSpec | Checkpoint, probe: ProbeSpec) -> int:
        """As :meth:`Lease.reads_test`, for a probe of a finished run or of a file; to be called
        before :meth:`keep`."""
        path = self._measurement(of, probe).with_suffix(_READS)
        if isinstance(of, Checkpoint):
            with disk(path):
                make_folder(path.parent)
        return tally(path)

    def _measurement(self, of: RunSpec | Checkpoint, probe: ProbeSpec) -> Path:
        folder = self.folder(of.id) if isinstance(of, RunSpec) else self.out / "probes" / of.id
        return folder / f"measurement-{measurement_id(of.id, probe)}.json"

    def is_leased(self, run_id: str) -> bool:
        """Whether a process is working on the run."""
        return is_leased(self.folder(run_id))

    def entries(self) -> list[Entry]:
        """Every run, finished or not, in the order of their ids."""
        return [_entry(path) for path in self._folders()]

    def find(self, prefix: str) -> Entry:
        """The one run whose id begins with ``prefix``.

        Raises:
            VitexpError: none does, or more than one.
        """
        found = [path for path in self._folders() if path.name.startswith(prefix)]
        if len(found) == 1:
            return _entry(found[0])
        how_many = f"{len(found)} runs begin" if found else "No run's id begins"
        raise VitexpError(
            f"{how_many} with {prefix!r} in {self.root}.", "`vitexp runs list` shows the ids."
        )

    def check_unneeded(self, doomed: Collection[str]) -> None:
        """Refuse to part a run from one that started from its weights.

        Args:
            doomed: ids of the runs that are to go, all together.

        Raises:
            VitexpError: another run starts from one of them.
        """
        for entry in self.entries():
            parent = entry.spec.parent if entry.spec else None
            if parent in doomed and entry.id not in doomed:
                raise VitexpError(
                    f"Run {entry.id} starts from run {parent}.",
                    f"Remove both, with `vitexp runs rm {parent} {entry.id}`, or neither.",
                )

    def remove(self, run_id: str) -> int:
        """Deletes a run.

        Returns:
            Bytes freed.

        Raises:
            VitexpError: a process is working on it.
        """
        folder = self.folder(run_id)
        lock = hold(folder)
        if lock is None:
            raise VitexpError(
                f"Run {run_id} is being worked on.",
                "Stop that command first (Ctrl-C), then remove the run.",
            )
        size = _size(folder)
        try:
            with disk(folder):
                # The result goes first: a half-deleted run must not count as done.
                (folder / "result.json").unlink(missing_ok=True)
                sync_folder(folder)
                shutil.rmtree(folder)
        finally:
            os.close(lock)
        return size

    def garbage(self) -> list[Path]:
        """Files that nothing needs: temporary files, and checkpoints of finished runs."""
        found: list[Path] = []
        for entry in self.entries():
            if entry.problem is None and not self.is_leased(entry.id):
                found += _leftovers(self.folder(entry.id), entry.record)
        return sorted(found)

    def tidy(self, done: Iterable[RunRecord]) -> None:
        """Removes what processes that were killed while they published left behind."""
        for record in done:
            folder = self.folder(record.id)
            with disk(folder):
                for path in _leftovers(folder, record):
                    path.unlink(missing_ok=True)

    def pulse(self, run_id: str) -> dict[str, int]:
        """Something that changes while anybody, on any machine, works on the run."""
        found = _stats(self.folder(run_id))
        return {name: stat.st_mtime_ns for name, stat in found.items()}

    def _folders(self) -> list[Path]:
        files = ("spec.json", "result.json")
        return [p for p in self._inside() if any((p / file).is_file() for file in files)]

    def _inside(self) -> list[Path]:
        """Whatever lies in ``runs/``, by name."""
        names = sorted(os.listdir(self.root)) if self.root.is_dir() else []
        return [self.root / name for name in names]


def ready(todo: Sequence[RunSpec]) -> list[RunSpec]:
    """Those of ``todo`` that start from none of the others."""
    ids = {spec.id for spec in todo}
    return [spec for spec in todo if spec.parent not in ids]


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
    remedy = f"Remove it with `vitexp runs rm {folder.name}` and run the command again."
    try:
        record = RunRecord.from_json(json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise VitexpError(f"{folder / 'result.json'} is damaged: {error}.", remedy) from error
    if record.id != folder.name:
        raise VitexpError(f"{folder} holds the result of another run, {record.id}.", remedy)
    return record


def _read_measurement(path: Path) -> Measurement:
    try:
        return Measurement.from_json(json.loads(path.read_bytes()))
    except (ValueError, TypeError, VitexpError) as error:
        raise VitexpError(f"{path} is damaged: {error}.", "Delete that file.") from error


def _entry(folder: Path) -> Entry:
    try:
        record = read_record(folder)
        spec = record.spec if record else _read_spec(folder)
    except VitexpError as error:
        return Entry(folder.name, None, "unreadable", 0, _size(folder), None, error)
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


def _read_spec(folder: Path) -> RunSpec:
    path = folder / "spec.json"
    remedy = f"Remove it with `vitexp runs rm {folder.name}` and run the command again."
    try:
        spec = from_json(RunSpec, json.loads(path.read_bytes()))
    except (OSError, ValueError) as error:
        raise VitexpError(f"{path} is damaged: {error}.", remedy) from error
    if spec.id != folder.name:
        raise VitexpError(f"{path} is of another run, or in another format.", remedy)
    return spec


def _leftovers(folder: Path, record: RunRecord | None) -> Iterator[Path]:
    yield from folder.glob(f"{TEMPORARY}*")
    if record is not None and record.status == "done":
        yield from checkpoints(folder)
        yield from folder.glob(TEST_READS)
        yield from (p for p in folder.glob(f"*{_READS}") if p.with_suffix(".json").is_file())
    if record is not None and record.weights_sha is None:
        yield from folder.glob("weights.safetensors")


def _stats(folder: Path) -> dict[str, os.stat_result]:
    """What is known of a run's files; files may go while one looks."""
    found = {}
    with suppress(FileNotFoundError):
        for item in os.scandir(folder):
            with suppress(FileNotFoundError):
                found[item.name] = item.stat(follow_symlinks=False)
    return found


def _size(folder: Path) -> int:
    return sum(stat.st_size for stat in _stats(folder).values())
