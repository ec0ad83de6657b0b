"""Runs in trackers, read back by the trackers' own packages; what is sent twice is there once."""

from __future__ import annotations

import importlib
import re
import resource
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.commands import call
from tests.commands import read as read_json
from tests.trackers.stored import READERS, STEPS, begin, end, evaluated, finished
from vitexp.launch.events import Event
from vitexp.runs.record import RunRecord
from vitexp.runs.store import Store
from vitexp.trackers import TRACKERS, Destination, destinations, sink
from vitexp.trackers.mirror import Mirror
from vitexp.trackers.sink import Sink, following


@pytest.fixture(params=READERS)
def kind(request: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A tracker whose package is here, with all its files below the test's folder."""
    pytest.importorskip(request.param)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    if request.param == "trackio":
        storage = pytest.importorskip("trackio.sqlite_storage")
        monkeypatch.setattr(storage, "TRACKIO_DIR", tmp_path)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "WANDB_DIR", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    return str(request.param)


@pytest.fixture
def record(run_spec: Any) -> RunRecord:
    return finished(run_spec())


def mirror(kind: str, out: Path) -> Mirror:
    return Mirror(Store(out), TRACKERS.load(kind)("", out))


def expected(record: RunRecord) -> Counter[tuple[str, int, float]]:
    curve = [
        (name, int(point["step"]), round(value, 5))
        for point in record.curve
        for name, value in point.items()
        if name != "step"
    ]
    results = [(f"final/{name}", STEPS, round(v, 5)) for name, v in record.metrics.items()]
    return Counter([*curve, *results])


def read(kind: str, out: Path, record: RunRecord) -> tuple[Counter[Any], str]:
    """Its points but for the rates, and its state."""
    found = READERS[kind](out, record.id)
    assert found["lr"] == record.spec.recipe.lr
    assert b"somebody" not in found["text"] and b"secret" not in found["text"]
    assert b"\x1b[31m" not in found["text"]
    points = Counter((name, step, round(value, 5)) for name, step, value in found["points"])
    rates = Counter(step for name, step, _ in points.elements() if name == "learning_rate")
    assert set(rates.values()) <= {1}
    evaluations = {step for name, step, _ in points if name == "train_loss"}
    assert set(rates) == evaluations
    rest = {key: n for key, n in points.items() if key[0] != "learning_rate"}
    return Counter(rest), found["state"]


def test_a_run_is_followed_cut_short_and_completed_without_doubles(kind, record, tmp_path):
    """The first process dies in the middle, a second is told what follows, a third of the end."""
    begin(tmp_path, record)
    first = mirror(kind, tmp_path)
    for event in evaluated(record, 3):
        first.take(event)
    # W&B writes when it likes.
    if kind != "wandb":
        part = Counter({key: 1 for key in expected(record) if key[1] <= 30})
        assert read(kind, tmp_path, record) == (part, "running")
    else:
        importlib.import_module("wandb").teardown()
    second = mirror(kind, tmp_path)
    for event in list(evaluated(record, 4))[-2:]:
        second.take(event)
    second.take(end(tmp_path, record))
    whole = read(kind, tmp_path, record)
    assert whole == (expected(record), "done")
    mirror(kind, tmp_path).take(Event("done", record.id))
    assert read(kind, tmp_path, record) == whole


def test_what_a_full_disk_refused_is_whole_once_there_is_room(record, tmp_path):
    pytest.importorskip("tensorboard")
    begin(tmp_path, record)
    follower, events = mirror("tensorboard", tmp_path), list(evaluated(record, 3))
    follower.take(events[0])
    (file,) = (tmp_path / "tensorboard" / record.id).iterdir()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file.stat().st_size + 50, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            follower.take(events[1])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    for event in events[1:]:
        follower.take(event)
    follower.take(end(tmp_path, record))
    assert read("tensorboard", tmp_path, record) == (expected(record), "done")


TRACKERS_OF_A_USER = """
import os, time
from vitexp.trackers.base import Tracker

class Kept(Tracker):
    def open(self, run):
        return True
    def log(self, run, points):
        self.write(run, [point["step"] for point in points])
    def close(self, run):
        self.write(run, run.state)
    def write(self, run, what):
        with (self.out / "kept.txt").open("a") as file:
            print(run.id, what, file=file)

class Hangs(Kept):
    def log(self, run, points):
        time.sleep(3600)

class Full(Kept):
    def log(self, run, points):
        raise OSError(28, "No space left on device")

class Dies(Kept):
    def log(self, run, points):
        print("out of luck")
        os._exit(3)

class Slow(Kept):
    def close(self, run):
        time.sleep(3600)
"""


@pytest.fixture
def mine(tmp_path: Path) -> str:
    """A user's file of trackers."""
    (tmp_path / "mine.py").write_text(TRACKERS_OF_A_USER)
    return str(tmp_path / "mine.py")


def launched(record: RunRecord, out: Path, *trackers: str) -> list[str]:
    """What is said of trackers that follow a run."""
    said: list[str] = []
    with following(destinations(trackers), out, said.append) as sinks:
        begin(out, record)
        for event in (*evaluated(record, 6), end(out, record)):
            sinks(event)
    return said


def given_up(tracker: str, why: str, out: Path) -> str:
    return (
        f"The tracker {tracker} was given up ({why}); the runs go on, and `vitexp runs export "
        f"--to {tracker} --out {out}` sends it what is missing."
    )


@pytest.mark.parametrize("bad", ["Hangs", "Slow"])
def test_a_tracker_that_hangs_is_given_up(bad, record, tmp_path, mine, monkeypatch):
    monkeypatch.setattr(sink, "PATIENCE", 1.0)
    tracker = f"{mine}:{bad}"
    assert launched(record, tmp_path, tracker) == [given_up(tracker, "no answer", tmp_path)]


def test_trackers_that_fail_are_given_up_and_the_others_have_all(record, tmp_path, mine):
    full, dies = f"{mine}:Full", f"{mine}:Dies"
    assert launched(record, tmp_path, full, f"{mine}:Kept", dies) == [
        given_up(full, "OSError: [Errno 28] No space left on device", tmp_path),
        given_up(dies, "out of luck", tmp_path),
    ]
    kept = (tmp_path / "kept.txt").read_text().splitlines()
    steps = [float(step) for line in kept[:-1] for step in re.findall(r"(\d+)\.0", line)]
    assert (steps, kept[-1]) == ([*range(10, STEPS + 1, 10)], f"{record.id} done")


def test_a_tracker_that_takes_too_long_is_not_waited_for(record, tmp_path, monkeypatch):
    """What waits is bounded: up to there it has all, and is told of nothing after that."""
    monkeypatch.setattr(sink, "WAITING", 3)
    monkeypatch.setattr(Sink, "_work", lambda self: None)
    slow = Sink(Destination("mlflow"), tmp_path)
    for event in evaluated(record, 4):
        slow(event)
    assert slow.lost == "3 events wait for it"


def test_finished_runs_are_sent_by_a_command(record, tmp_path, mine, capsys):
    begin(tmp_path, record)
    end(tmp_path, record)
    words = ["runs", "export", record.id[:6], "--out", tmp_path, "--to"]
    sent = read_json(capsys, *words, f"{mine}:Kept")
    assert sent == {"trackers": [f"{mine}:Kept"], "runs": [record.id]}
    assert f"{record.id} done" in (tmp_path / "kept.txt").read_text()
    code, _, err = call(capsys, *words, f"{mine}:Full")
    assert code == 2
    assert f"did not take run {record.id} (OSError" in err and "0 of 1 are there" in err


def test_a_destination_is_a_tracker_that_is_installed(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    config = tmp_path / "c.toml"
    config.write_text('track = ["mlflow:http://localhost:5000"]\n')
    words = ["train", "--config", config, "--out", tmp_path / "out"]
    code, _, err = call(capsys, *words)
    assert code == 2
    assert err.endswith("Install it: pip install 'vitexp[mlflow]'.\n")
    assert "Did you mean 'wandb'" in call(capsys, *words, "--track", "wandbb")[2]
    assert "Where are the runs to go" in call(capsys, "runs", "export")[2]
    assert not (tmp_path / "out").exists()
