"""Runs in one file, to take elsewhere: a gzipped tar of the folders of finished runs, of what
they are called and of what studies asked for.

An archive may come from anybody, so it is read entry by entry: plain files with the names below
and nothing else, each run's record checked against its spec and its weights against the record.
"""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import json
import re
import tarfile
import zlib
from collections.abc import Collection
from pathlib import Path

from vitexp.errors import VitexpError
from vitexp.registry import is_reference
from vitexp.runs import notes, plans
from vitexp.runs.files import json_bytes
from vitexp.runs.folder import read_record
from vitexp.runs.lease import alone
from vitexp.runs.measurement import Measurement
from vitexp.runs.notes import NO_NOTE, Note
from vitexp.runs.record import RunRecord
from vitexp.runs.store import Store

_FILES = ("result.json", "log.jsonl", "weights.safetensors")
_MEASUREMENT = r"measurement-[0-9a-f]{16}\.json"
_NAME = re.compile(
    r"runs/([0-9a-f]{16})/(" + "|".join([*map(re.escape, _FILES), _MEASUREMENT]) + ")"
)
_NOTE = re.compile(re.escape(notes.FOLDER) + r"/([0-9a-f]{16})\.json")
_QUESTION = re.compile(re.escape(plans.FOLDER) + r"/([\w-]{1,80}-[0-9a-f]{16})\.json")
_NOTED = "note"
"""What that file is called here, among those of its run."""
_LARGEST_TEXT = 64 * 2**20
"""Bytes of a result or a log; a larger one was not written by this program."""


def packed(store: Store, ids: Collection[str]) -> bytes:
    """The finished runs ``ids`` as an archive, the same bytes for the same runs.

    Raises:
        VitexpError: one was removed meanwhile.
    """
    content = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=content, mode="wb", mtime=0) as squeezed,
        tarfile.open(fileobj=squeezed, mode="w") as archive,
    ):
        for run in ids:
            for name, stored in _stored(store.folder(run)).items():
                _add(archive, f"runs/{run}/{name}", stored)
            if (note := notes.noted(store.out, run)) != NO_NOTE:
                _add(archive, f"{notes.FOLDER}/{run}.json", json_bytes(note.to_json()))
        for asked in plans.kept(store.out):
            if any(run in asked for run in ids):
                name = f"{plans.FOLDER}/{asked.name}.json"
                _add(archive, name, json_bytes(asked.to_json()))
    return content.getvalue()


def _stored(folder: Path) -> dict[str, bytes]:
    """The files of a finished run, by name."""
    result, *others = _FILES
    try:
        measured = sorted(p.name for p in folder.glob("measurement-*.json"))
        names = [name for name in (*others, *measured) if (folder / name).is_file()]
        found = {name: (folder / name).read_bytes() for name in names}
        # A removal takes the result first: where it is still there, so was all the rest.
        return {result: (folder / result).read_bytes(), **found}
    except FileNotFoundError as error:
        raise VitexpError(
            f"Run {folder.name} was removed while it was read.", "Repeat the command."
        ) from error


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))


def unpacked(store: Store, path: Path) -> tuple[list[str], list[str]]:
    """Add the runs of the archive ``path`` to the store; a run that is there stays as it is, but
    for what probes found out about this very result; it keeps its name and has the tags of both.

    Everything is checked before anything is written.

    Returns:
        ids of the runs that were added, and of those that were there already.

    Raises:
        VitexpError: no archive, an entry that does not belong in one, or a run that does not
            agree with itself.
    """
    read = _read(path)
    questions = [_asked(path, name, content) for name, content in read.pop("", {}).items()]
    called = {run: _note(path, run, files) for run, files in read.items()}
    runs = {run: _checked(path, run, files) for run, files in read.items()}
    added, known = [], []
    for run, (record, files) in runs.items():
        lease = store.lease(record.spec)
        if lease is None:
            known.append(run)
        else:
            try:
                lease.log(record.curve)
                lease.publish(record, files.get("weights.safetensors"))
                added.append(run)
            finally:
                lease.release()
        # Also of a run that was here: an earlier import may have been stopped just before this.
        measurements = _measurements(path, run, files)
        if measurements and read_record(store.folder(run)) == record:
            with alone(store.folder(run)):
                for measurement in measurements:
                    store.keep(record.spec, measurement)
    for run, note in called.items():
        name = notes.noted(store.out, run).name or note.name
        notes.note(store.out, [run], name, note.tags)
    for asked in questions:
        # A study in a file is code, and the file of that name here is another.
        if not is_reference(asked.study):
            plans.keep(store.out, asked)
    return added, known


def _asked(path: Path, name: str, content: bytes) -> plans.Asked:
    try:
        return plans.Asked.from_json(name, json.loads(content))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise VitexpError(
            f"{name} in {path} is damaged: {error}.", "Nothing was imported."
        ) from error


def _note(path: Path, run: str, files: dict[str, bytes]) -> Note:
    """What a run is called."""
    if _NOTED not in files:
        return NO_NOTE
    try:
        return Note.from_json(json.loads(files[_NOTED]))
    except (ValueError, TypeError, KeyError, VitexpError) as error:
        raise _damaged(path, run, f"what it is called: {error}") from error


def _measurements(path: Path, run: str, files: dict[str, bytes]) -> list[Measurement]:
    """What probes found out about a run."""
    found = []
    for name in (name for name in files if re.fullmatch(_MEASUREMENT, name)):
        try:
            measurement = Measurement.from_json(json.loads(files[name]))
        except (ValueError, TypeError, AttributeError, VitexpError) as error:
            raise _damaged(path, run, f"{name}: {error}") from error
        if measurement.run_id != run or name != f"measurement-{measurement.id}.json":
            raise _damaged(path, run, f"{name} is of another run or question")
        found.append(measurement)
    return found


def _damaged(path: Path, run: str, why: str) -> VitexpError:
    return VitexpError(f"The run {run} in {path} is damaged: {why}.", "Nothing was imported.")


def _read(path: Path) -> dict[str, dict[str, bytes]]:
    """Run id -> name -> content."""
    found: dict[str, dict[str, bytes]] = {}
    try:
        with tarfile.open(path, "r:gz") as archive:
            for entry in archive:
                run, name = _named(path, entry)
                file = archive.extractfile(entry)
                assert file is not None
                found.setdefault(run, {})[name] = file.read()
    except (OSError, tarfile.TarError, EOFError, zlib.error) as error:
        raise VitexpError(
            f"{path} cannot be read as an archive of runs: {error}.",
            "Give a file that `vitexp runs export FILE.tar.gz` wrote.",
        ) from error
    return found


def _named(path: Path, entry: tarfile.TarInfo) -> tuple[str, str]:
    """The run and the name of the file; no run where it says what a study asked for."""
    too_large = not entry.name.endswith(".safetensors") and entry.size > _LARGEST_TEXT
    if entry.isreg() and not too_large:
        if question := _QUESTION.fullmatch(entry.name):
            return "", question[1]
        if note := _NOTE.fullmatch(entry.name):
            return note[1], _NOTED
    form = _NAME.fullmatch(entry.name)
    if form is None or not entry.isreg() or too_large:
        raise VitexpError(
            f"{path} holds {entry.name!r}, which is no plain file of a run.",
            "Nothing was imported. Take only archives that `vitexp runs export` wrote.",
        )
    return form[1], form[2]


def _checked(path: Path, run: str, files: dict[str, bytes]) -> tuple[RunRecord, dict[str, bytes]]:
    try:
        record = RunRecord.from_json(json.loads(files["result.json"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(path, run, str(error)) from error
    _measurements(path, run, files)
    weights = files.get("weights.safetensors")
    sha = None if weights is None else hashlib.sha256(weights).hexdigest()
    if record.id != run or sha not in (None, record.weights_sha):
        raise VitexpError(
            f"The run {run} in {path} does not agree with its record.", "Nothing was imported."
        )
    # The record of a run that comes without its weights must not name them.
    return dataclasses.replace(record, weights_sha=sha), files
