"""Real worker processes: they train, are told to stop, are killed, and fail."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import platform
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.alone import finished
from tests.processes import Slowly, wait_until_gone, workers_of
from vitexp.datasets.image_set import ImageSet
from vitexp.errors import VitexpError
from vitexp.launch import devices, local, pool
from vitexp.launch.events import Event
from vitexp.launch.local import Outcome, launch, pace
from vitexp.launch.machine import Machine
from vitexp.launch.orders import Resources, Train
from vitexp.launch.pool import Assignment
from vitexp.positions import position_spec
from vitexp.runs.files import DiskError
from vitexp.runs.lease import Lease, checkpoints
from vitexp.runs.removal import garbage
from vitexp.runs.store import Store
from vitexp.runs.times import Times
from vitexp.spec import DataSpec, PositionSpec, RunSpec, to_json
from vitexp.training import loop
from vitexp.training.execution import Execution


@pytest.fixture
def real_spec(digits: ImageSet, run_spec: Callable[..., RunSpec]) -> Callable[..., RunSpec]:
    """Like ``run_spec``, on the whole digits, which a worker finds by name."""
    train, val, test = len(digits.train), len(digits.val), len(digits.test)
    data = DataSpec(digits.fingerprint, 8, train, val, test, name="digits", source="digits")

    def make(*args: Any, **kwargs: Any) -> RunSpec:
        return dataclasses.replace(run_spec(*args, **kwargs), data=data)

    return make


@pytest.fixture
def slowly(tmp_path: Path) -> Slowly:
    return Slowly(tmp_path)


@pytest.fixture
def slow_spec(real_spec: Callable[..., RunSpec], slowly: Slowly) -> RunSpec:
    """A run that, as long as ``slowly`` says so, is under way when a test acts on its progress."""
    return real_spec(position_spec(slowly.position, "stem", 0.5), steps=300)


def launched(
    specs: list[RunSpec],
    out: Path,
    jobs: int = 2,
    on_event: Callable[[Event], None] | None = None,
    checkpoint_seconds: float = 60.0,
) -> tuple[Outcome, list[Event]]:
    events: list[Event] = []

    def note(event: Event) -> None:
        events.append(event)
        if on_event is not None:
            on_event(event)

    outcome = launch(specs, Machine(out, checkpoint_seconds=checkpoint_seconds), jobs, note)
    return outcome, events


def weights(out: Path, spec: RunSpec) -> bytes:
    return (Store(out).folder(spec.id) / "weights.safetensors").read_bytes()


def test_runs_are_trained_and_come_out_the_same_whoever_trains_them(tmp_path, real_spec):
    specs = [real_spec(seed=seed) for seed in range(3)]
    outcome, events = launched(specs, tmp_path / "two")
    assert sorted(outcome.done) == sorted(spec.id for spec in specs)
    assert (outcome.failed, outcome.stopped) == ({}, False)
    last = {event.run_id: event for event in events if event.kind == "done"}
    results = Store(tmp_path / "two").results()
    for spec in specs:
        assert last[spec.id].test_top1 == results[spec.id].metrics["test_top1"]
        told = {e.evaluated: e.val_top1 for e in events if e.run_id == spec.id and e.evaluated}
        assert told == {p["step"]: p["val_top1"] for p in results[spec.id].curve}
    launched([specs[1]], tmp_path / "one")
    assert weights(tmp_path / "one", specs[1]) == weights(tmp_path / "two", specs[1])
    kept = {path.name for path in Store(tmp_path / "two").folder(specs[0].id).iterdir()}
    assert kept == {
        "spec.json", "lock", "attempt", "log.jsonl", "result.json", "weights.safetensors",
    }  # fmt: skip


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_checkpoints_and_the_next_launch_goes_on_to_the_same_bits(
    tmp_path, slow_spec, slowly, how
):
    spec = slow_spec
    launched([spec], tmp_path / "whole")
    slowly.begin()

    def interrupt(event: Event) -> None:
        if event.kind == "progress":
            os.kill(os.getpid(), how)

    outcome, events = launched([spec], tmp_path / "cut", on_event=interrupt)
    assert outcome.signal == how
    stopped = [event for event in events if event.kind == "stopped"]
    assert [event.run_id for event in stopped] == [spec.id]
    entry = Store(tmp_path / "cut").find(spec.id)
    assert (entry.state, entry.step) == ("stopped", stopped[0].step)
    assert 0 < entry.step < 300
    slowly.end()
    outcome, _ = launched([spec], tmp_path / "cut")
    assert outcome.done == [spec.id]
    assert weights(tmp_path / "cut", spec) == weights(tmp_path / "whole", spec)
    one, two = (Store(tmp_path / name).results()[spec.id] for name in ("cut", "whole"))
    assert (one.curve, one.correct) == (two.curve, two.correct)


@pytest.mark.skipif(not Path("/proc").exists(), reason="finds the worker through /proc")
def test_a_worker_that_is_killed_is_replaced_and_its_run_finishes(tmp_path, slow_spec, slowly):
    spec = slow_spec
    killed: list[int] = []

    def kill(event: Event) -> None:
        if event.kind == "progress" and not killed:
            killed.extend(workers_of(tmp_path))
            os.kill(killed[0], signal.SIGKILL)
            slowly.end()

    slowly.begin()
    outcome, events = launched([spec], tmp_path, on_event=kill)
    assert killed
    assert outcome.done == [spec.id]
    assert any(event.kind == "note" and "once more" in event.message for event in events)


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks for processes in /proc")
def test_workers_do_not_outlive_a_launcher_that_is_killed(tmp_path, real_spec):
    code = textwrap.dedent(
        """
        import sys, json
        from pathlib import Path
        from vitexp.launch.local import launch
        from vitexp.launch.machine import Machine
        from vitexp.spec import RunSpec, from_json
        spec = from_json(RunSpec, json.loads(sys.stdin.read()))
        launch([spec], Machine(Path(sys.argv[1])), 1, lambda e: print(e.kind, flush=True))
        """
    )
    spec = real_spec(steps=100_000)
    runner = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert runner.stdin and runner.stdout
    runner.stdin.write(json.dumps(to_json(spec)))
    runner.stdin.close()
    while runner.stdout.readline().strip() != "progress":
        assert runner.poll() is None
    assert len(workers_of(tmp_path)) == 1
    runner.kill()
    runner.wait()
    wait_until_gone(tmp_path)
    entry = Store(tmp_path).find(spec.id)
    assert entry.state == "stopped"
    assert entry.step > 0


def test_a_run_that_fails_twice_is_listed_with_its_reason_and_the_others_go_on(tmp_path, real_spec):
    file = tmp_path / "broken.py"
    file.write_text(
        "from vitexp.positions.none import NoPosition\n"
        "class Broken(NoPosition):\n"
        "    def table(self, block):\n"
        "        raise RuntimeError('no table today')\n"
    )
    bad, good = real_spec(position_spec(f"{file}:Broken", "stem", 0.5)), real_spec()
    outcome, events = launched([bad, good], tmp_path / "out")
    assert outcome.done == [good.id]
    assert outcome.failed == {bad.id: "RuntimeError: no table today"}
    assert [e.kind for e in events if e.run_id == bad.id].count("note") == 1
    entry = Store(tmp_path / "out").find(bad.id)
    assert entry.state == "failed"
    log = (Store(tmp_path / "out").folder(bad.id) / "failure.txt").read_text()
    assert "no table today" in log and "broken.py" in log


def position_in(file: Path, body: str) -> PositionSpec:
    """A position of a user's own whose table does what ``body`` says."""
    file.write_text(
        "import os, signal, torch\n"
        "from vitexp.positions.none import NoPosition\n"
        f"class Own(NoPosition):\n    def table(self, block):\n        {body}\n"
    )
    return position_spec(f"{file}:Own", "stem", 0.5)


def test_a_run_whose_process_crashes_is_tried_once_more_by_the_plain_path(
    tmp_path, real_spec, digits, monkeypatch
):
    """A kernel may end a process without a word; the bits are those of a run that began so."""
    mark = tmp_path / "mark"
    body = f"if os.path.exists({str(mark)!r}): os.abort()\n        return None"
    spec, said = real_spec(position_in(tmp_path / "own.py", body)), list[str]()
    mark.touch()

    def note(event: Event) -> None:
        if event.kind == "note":
            said.append(event.message)
            mark.unlink(missing_ok=True)

    outcome, _ = launched([spec], tmp_path / "out", on_event=note)
    why = "The worker process was ended by SIGABRT."
    assert outcome.done == [spec.id]
    assert said == [
        f"Run {spec.id} failed ({why}); once more, by the plain path",
        f"Run {spec.id} goes on without fused kernels, since that failed: {why}",
    ]
    record = Store(tmp_path / "out").results()[spec.id]
    assert record.execution["fell_back"] == [{"from": ["fused"], "error": why}]
    plain = dataclasses.replace(Execution.recorded(record.execution), fused=False)
    monkeypatch.setattr(loop, "choose", lambda *_: plain)
    expected, expected_weights = finished(spec, digits)
    assert record.curve == expected.curve
    kept = load_file(Store(tmp_path / "out").folder(spec.id) / "weights.safetensors")
    assert all(torch.equal(kept[name], value) for name, value in expected_weights.items())


def test_a_reason_that_cannot_be_kept_leaves_the_run_free(tmp_path, run_spec, monkeypatch):
    def full(*_: object) -> None:
        raise DiskError("The disk is full.", "Make room.")

    store, spec = Store(tmp_path), run_spec()
    monkeypatch.setattr(Lease, "fail", full)
    local._keep_reason(store, spec, "why")
    assert store.lease(spec) is not None


def test_what_a_dead_or_starving_worker_says_is_kept_and_has_advice(tmp_path, real_spec):
    bodies = {
        "killed": "os.kill(os.getpid(), signal.SIGKILL)",
        "memory": "return torch.empty(1 << 60, dtype=torch.uint8)",
    }
    specs = {
        name: real_spec(position_in(tmp_path / f"{name}.py", body)) for name, body in bodies.items()
    }
    outcome, _ = launched([*specs.values(), real_spec()], tmp_path / "out", jobs=2)
    assert outcome.done == [real_spec().id]
    store = Store(tmp_path / "out")
    said = {name: outcome.failed[spec.id] for name, spec in specs.items()}
    assert said["killed"].startswith("The worker process was killed")
    assert "smaller --batch" in said["killed"]
    assert said["memory"].startswith("The machine ran out of memory.")
    assert "smaller --batch" in said["memory"]
    for spec in specs.values():
        assert store.find(spec.id).state == "failed"
        assert store.failure(spec.id).read_text()


@pytest.mark.skipif(not Path("/proc").exists(), reason="finds the worker through /proc")
@pytest.mark.parametrize("signals", [1, 2])
def test_a_worker_that_hangs_does_not_survive_ctrl_c(tmp_path, real_spec, monkeypatch, signals):
    """After the time of grace, or, where a second signal comes, without it."""
    monkeypatch.setattr(pool, "GRACE_SECONDS", 0.5 if signals == 1 else 1e9)
    spec = real_spec(steps=100_000)
    hung: list[int] = []

    def hang(event: Event) -> None:
        if event.kind == "progress" and not hung:
            hung.extend(workers_of(tmp_path))
            os.kill(hung[0], signal.SIGSTOP)
            os.kill(os.getpid(), signal.SIGINT)
            if signals == 2:
                again = threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGTERM))
                again.start()

    outcome, events = launched([spec], tmp_path, on_event=hang)
    assert outcome.signal == signal.SIGINT
    assert len(hung) == 1
    assert not workers_of(tmp_path)
    assert outcome.failed == {}
    assert events[-1].kind == "stopped"
    assert Store(tmp_path).find(spec.id).state == "stopped"


@pytest.mark.skipif(not Path("/proc").exists(), reason="finds the worker through /proc")
def test_a_run_whose_worker_was_told_to_stop_goes_on_in_another(tmp_path, slow_spec, slowly):
    spec = slow_spec
    told: list[int] = []

    def stop(event: Event) -> None:
        if event.kind == "progress" and not told:
            told.extend(workers_of(tmp_path))
            os.kill(told[0], signal.SIGTERM)
            slowly.end()

    slowly.begin()
    outcome, events = launched([spec], tmp_path, on_event=stop)
    assert told
    assert outcome.done == [spec.id]
    kinds = [event.kind for event in events]
    assert kinds.count("start") == 2
    assert "failed" not in kinds and "note" not in kinds


def test_a_run_that_was_taken_over_unseen_is_waited_for_and_then_taken_back(
    tmp_path, slow_spec, slowly
):
    """Another machine, whose locks are not seen from here, has raised the attempt."""
    spec = slow_spec
    raised: list[int] = []

    def take_over(event: Event) -> None:
        if event.kind == "progress" and not raised:
            raised.append(event.step)
            (Store(tmp_path).folder(spec.id) / "attempt").write_text("7 another")
            slowly.end()

    slowly.begin()
    outcome, events = launched([spec], tmp_path, on_event=take_over, checkpoint_seconds=0.1)
    assert outcome.done == [spec.id]
    kinds = [event.kind for event in events if event.kind != "progress"]
    assert kinds == ["start", "lost", "note", "start", "done"]
    assert (Store(tmp_path).folder(spec.id) / "attempt").read_text().split()[0] == "8"


def test_a_run_that_another_machine_works_on_is_left_alone(tmp_path, run_spec, monkeypatch):
    """Its lock is not seen, but its files change; our own clock alone says for how long not."""
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    store, spec = Store(tmp_path), run_spec()
    lease = store.lease(spec)
    assert lease is not None
    lease.release()
    elsewhere = local._Elsewhere(store, 300, lambda event: None)
    elsewhere.add(Assignment(Train(spec, Resources(1))), Event("lost", spec.id))
    for step in range(1, 5):
        clock[0] += 200
        lease.save(step, b"at work")
        assert elsewhere.given_up(Outcome()) == []
    clock[0] += 299
    assert elsewhere.given_up(Outcome()) == []
    clock[0] += 2
    (one,) = elsewhere.given_up(Outcome())
    assert one.id == spec.id
    assert elsewhere.waiting == []


def test_numbers_gone_wrong_keep_the_last_good_checkpoint_and_the_grid_goes_on(tmp_path, real_spec):
    bad = real_spec(lr=30.0, clip=None, optimizer="sgd", warmup=20, steps=60)
    outcome, _ = launched([bad, real_spec()], tmp_path, checkpoint_seconds=1e-6)
    assert (outcome.diverged, outcome.done) == ([bad.id], [real_spec().id])
    store = Store(tmp_path)
    found = store.results()[bad.id]
    good, first_bad = (found.execution[name] for name in ("last_good_step", "diverged_at_step"))
    assert 1 < good <= first_bad
    store.tidy([found])
    assert not garbage(store)
    (path,) = checkpoints(store.folder(bad.id))
    assert path.name == f"checkpoint-{good:09d}.ckpt"
    state = torch.load(io.BytesIO(path.read_bytes()[32:]), weights_only=True)
    assert state["step"] == good
    assert all(bool(torch.isfinite(value).all()) for value in state["model"].values())


def test_a_data_set_that_changed_since_the_plan_is_refused(tmp_path, real_spec):
    spec = real_spec()
    spec = dataclasses.replace(spec, data=dataclasses.replace(spec.data, fingerprint="other"))
    outcome, _ = launched([spec], tmp_path)
    assert "changed while runs on it were planned" in outcome.failed[spec.id]


def test_two_launchers_on_one_folder_share_the_work(tmp_path, real_spec):
    specs = [real_spec(seed=seed, steps=60) for seed in range(4)]
    found: dict[str, tuple[Outcome, list[Event]]] = {}

    def work(name: str) -> None:
        found[name] = launched(specs, tmp_path)

    other = threading.Thread(target=work, args=("other",))
    other.start()
    work("this")
    other.join()
    ids = sorted(spec.id for spec in specs)
    trained = []
    for outcome, events in found.values():
        assert sorted(outcome.done) == ids
        trained += [event.run_id for event in events if event.kind == "done"]
    assert sorted(trained) == ids


def test_the_pace_is_measured_without_writing(tmp_path, real_spec, monkeypatch):
    monkeypatch.setattr(local, "PACE_SECONDS", 120.0)
    specs = [real_spec(), real_spec(position_spec("relative", "shared", 0.5))]
    guesses: list[Times] = []
    found = pace(specs, Machine(tmp_path), 2, lambda paces: guesses.extend(paces.times.values()))
    assert found.times.keys() == {spec.id for spec in specs}
    assert all(times.step > 0 and times.image > 0 for times in found.times.values())
    assert found.start > 0
    # The first guess has nothing but the forward pass.
    assert guesses[0].step > 0 and guesses[0].begin == 0
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks for processes in /proc")
def test_when_the_time_for_the_pace_is_over_nobody_is_waited_for(tmp_path, real_spec, monkeypatch):
    monkeypatch.setattr(local, "PACE_SECONDS", 0.1)
    monkeypatch.setattr(pool, "GRACE_SECONDS", 1e9)
    assert pace([real_spec()], Machine(tmp_path), 1).times == {}
    assert not workers_of(tmp_path)


def test_devices_that_are_not_there_are_refused(monkeypatch):
    monkeypatch.setattr(devices, "cuda_devices", lambda: 0)
    monkeypatch.setattr(devices, "has_mps", lambda: False)
    assert devices.resolve("auto") == ("cpu",)
    for name in ("cuda", "cuda:0", "mps"):
        with pytest.raises(VitexpError, match=r"There is no"):
            devices.resolve(name)
    with pytest.raises(VitexpError, match=r"Unknown device 'cdua'\.\nDid you mean 'cuda'"):
        devices.resolve("cdua")
    monkeypatch.setattr(devices, "cuda_devices", lambda: 2)
    assert devices.resolve("auto") == devices.resolve("cuda") == ("cuda:0", "cuda:1")
    assert devices.resolve("cuda:1") == ("cuda:1",)
    with pytest.raises(VitexpError, match="Devices here: cuda:0, cuda:1, cpu"):
        devices.resolve("cuda:2")


def test_precision_and_jobs_follow_the_device(monkeypatch):
    monkeypatch.setattr(devices, "cpu_has_bf16", lambda: False)
    monkeypatch.setattr(devices, "cores", lambda: 8)
    assert devices.precision("auto", "cuda:0") == "bf16"
    assert devices.precision("auto", "cpu") == "fp32"
    assert devices.precision("bf16", "cpu") == "bf16"
    with pytest.raises(VitexpError, match="Unknown precision 'fp16'"):
        devices.precision("fp16", "cpu")
    assert devices.jobs(("cpu",), None, 30) == 8
    assert devices.jobs(("cpu",), None, 3) == 3
    assert devices.jobs(("cuda:0", "cuda:1"), None, 30) == 2
    with pytest.raises(VitexpError, match="--jobs 0"):
        devices.jobs(("cpu",), 0, 3)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_a_workers_memory_is_kept_from_step_to_step():
    """What a step frees is not given back page by page, to be asked for by the next one again."""
    code = """
        import resource, numpy
        def faults():
            return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        def step():
            kept = [numpy.ones(size << 18) for size in (1, 30, 5)]
        step()
        before = faults()
        for _ in range(5):
            step()
        print(faults() - before)
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]

    def counted(environment: dict[str, str]) -> int:
        given = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")}
        done = subprocess.run(
            command, env=given | environment, capture_output=True, text=True, check=True
        )
        return int(done.stdout)

    assert counted(pool.environment("cpu")) < counted({}) / 10
