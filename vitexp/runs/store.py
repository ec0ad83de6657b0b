"""The store: one folder a run, and nothing else is the truth.

runs/<id>/spec.json            the resolved spec
runs/<id>/lock                 held by the process that works on the run
runs/<id>/attempt              number and token of the newest lease
runs/<id>/log.jsonl            evaluations, as far as the last checkpoint
runs/<id>/checkpoint-*.ckpt    the last two checkpoints, each with its SHA-256
runs/<id>/test-reads           a stroke for each read of the test split, until the record has them
runs/<id>/test-looks           a stroke for each time that a finished run saw its test again
runs/<id>/weights.safetensors  final weights, if kept
runs/<id>/failure.txt          why the last attempt failed
runs/<id>/result.json          the record; its presence means that the run is done
runs/<id>/measurement-*.json   what probes found out about it since, one file a question
probes/<id>/                   the same of a file with weights, by its SHA-256 and its model
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from vitexp.errors import VitexpError
from vitexp.runs.files import disk, file_hash, json_bytes, make_folder, publish_once, tally
from vitexp.runs.folder import (
    Entry,
    is_run,
    leftovers,
    read_entry,
    read_record,
    stats,
    sweep,
)
from vitexp.runs.lease import Lease, is_leased
from vitexp.runs.measurement import READS, Measurement, measurement_id
from vitexp.runs.record import Results, RunRecord
from vitexp.spec import Checkpoint, ProbeSpec, RunSpec

LOOKS = "test-looks"
"""The file in a run's folder that counts how often its test images were predicted since."""
PROBES = "probes"
"""The folder of what was measured of files, a folder for each file."""


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

    def curve(self, entry: Entry) -> list[dict[str, float]]:
        """A run's evaluations so far, in order."""
        if entry.record is not None:
            return entry.record.curve
        try:
            text = (self.folder(entry.id) / "log.jsonl").read_text()
        except FileNotFoundError:
            return []
        # Somebody may be writing the last line just now.
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]

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

    def folder_for(self, of: RunSpec | Checkpoint) -> Path:
        """Where the measurements of a run or a file are or will be, made if need be.

        Raises:
            VitexpError: it cannot be made.
        """
        folder = self._measured(of)
        if isinstance(of, Checkpoint):
            with disk(folder):
                make_folder(folder)
        return folder

    def keep(self, of: RunSpec | Checkpoint, measurement: Measurement) -> None:
        """Writes a measurement into its run's folder, or its file's, which must be ours, so that
        nobody sweeps there; the first one stands.

        Raises:
            VitexpError: the disk is full or not writable.
        """
        path = self._measurement(of, measurement.probe)
        publish_once(path, json_bytes(measurement.to_json()))
        path.with_suffix(READS).unlink(missing_ok=True)

    def reads_test(self, of: RunSpec | Checkpoint, probe: ProbeSpec) -> int:
        """As :meth:`Lease.reads_test`, for a probe of a finished run or of a file; to be called
        before :meth:`keep`, with the folder ours."""
        return tally(self._measurement(of, probe).with_suffix(READS))

    def looks_at_test(self, run_id: str) -> int:
        """Notes for good that a finished run's test images are predicted once more; how often
        by now. Nothing is chosen by it, and its record stays as it is.

        Raises:
            DiskError: the folder cannot be written to.
        """
        return tally(self.folder(run_id) / LOOKS)

    def _measurement(self, of: RunSpec | Checkpoint, probe: ProbeSpec) -> Path:
        return self._measured(of) / f"measurement-{measurement_id(of.id, probe)}.json"

    def _measured(self, of: RunSpec | Checkpoint) -> Path:
        return self.folder(of.id) if isinstance(of, RunSpec) else self.out / PROBES / of.id

    def is_leased(self, run_id: str) -> bool:
        """Whether a process is working on the run."""
        return is_leased(self.folder(run_id))

    def entries(self) -> list[Entry]:
        """Every run, finished or not, in the order of their ids."""
        return [entry for path in self._folders() if (entry := read_entry(path))]

    def find(self, prefix: str) -> Entry:
        """The one run whose id begins with ``prefix``.

        Raises:
            VitexpError: none does, or more than one.
        """
        found = [path for path in self._folders() if path.name.startswith(prefix)]
        if len(found) == 1 and (entry := read_entry(found[0])):
            return entry
        how_many = f"{len(found)} runs begin" if found[1:] else "No run's id begins"
        raise VitexpError(
            f"{how_many} with {prefix!r} in {self.root}.", "`vitexp runs list` shows the ids."
        )

    def tidy(self, done: Iterable[RunRecord]) -> None:
        """Removes what processes that were killed while they published left behind."""
        for record in done:
            folder = self.folder(record.id)
            if leftovers(folder, record):
                sweep(folder)

    def pulse(self, run_id: str) -> dict[str, int]:
        """Something that changes while anybody, on any machine, works on the run."""
        found = stats(self.folder(run_id))
        return {name: stat.st_mtime_ns for name, stat in found.items()}

    def _folders(self) -> list[Path]:
        return [path for path in self._inside() if is_run(path)]

    def _inside(self) -> list[Path]:
        """Whatever lies in ``runs/``, by name."""
        names = sorted(os.listdir(self.root)) if self.root.is_dir() else []
        return [self.root / name for name in names]


def ready(todo: Sequence[RunSpec]) -> list[RunSpec]:
    """Those of ``todo`` that start from none of the others."""
    ids = {spec.id for spec in todo}
    return [spec for spec in todo if spec.parent not in ids]


def _read_measurement(path: Path) -> Measurement:
    try:
        return Measurement.from_json(json.loads(path.read_bytes()))
    except (ValueError, TypeError, VitexpError) as error:
        raise VitexpError(f"{path} is damaged: {error}.", "Delete that file.") from error
