"""Several runs that share a device in turns: each is what it would be alone."""

from __future__ import annotations

import dataclasses
import io
import itertools
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.alone import CPU, Memory, comparable
from tests.conftest import model_spec
from tests.launch.test_launch import position_in, real_spec, weights
from tests.processes import HANG_SECONDS
from vitexp.errors import VitexpError
from vitexp.launch import devices, pool
from vitexp.launch.events import Event
from vitexp.launch.local import Outcome, launch
from vitexp.launch.machine import Machine
from vitexp.launch.orders import Resources, Train, line
from vitexp.runs.lease import Fenced, Lease, checkpoints
from vitexp.runs.options import DEFAULTS, ExecutionOptions
from vitexp.runs.store import Store
from vitexp.spec import RunSpec
from vitexp.training.determinism import set_deterministic
from vitexp.training.host import Waits
from vitexp.training.loop import train, training
from vitexp.training.sharing import ActiveRun, ActiveRuns, has_room, wanted
from vitexp.worker import worker as worker_module
from vitexp.worker.host import LeaseHost
from vitexp.worker.worker import Worker

__all__ = ["real_spec"]

Specs = list[RunSpec]


@pytest.fixture
def specs(real_spec: Callable[..., RunSpec]) -> Specs:
    return [real_spec(seed=seed, steps=300, evaluate_every=50, dropout=0.1) for seed in range(3)]


@pytest.fixture
def memory_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run with code of its own, whose memory nobody knows, need not wait for the others."""
    monkeypatch.setattr(devices, "memory", lambda device: None)


@pytest.fixture
def room_for_three(monkeypatch: pytest.MonkeyPatch) -> None:
    """The launcher gives a worker three runs from the start: a CPU's would not ask for them."""
    monkeypatch.setattr(devices, "cores", lambda: 1)

    class Roomy(pool.Worker):
        def __init__(self, *args: object) -> None:
            super().__init__(*args)  # type: ignore[arg-type]
            self.capacity = 3

    monkeypatch.setattr(pool, "Worker", Roomy)


@dataclasses.dataclass(frozen=True)
class Shared(Machine):
    """A machine on which so many runs share a device, whichever it is."""

    most: int = 1

    @property
    def together(self) -> int:
        return self.most


def launched(
    specs: Specs,
    out: Path,
    together: int,
    on_event: Callable[[Event], None] = lambda event: None,
    checkpoint_seconds: float = 60.0,
) -> tuple[Outcome, list[Event]]:
    events: list[Event] = []

    def note(event: Event) -> None:
        events.append(event)
        on_event(event)

    outcome = launch(specs, Shared(out, checkpoint_seconds=0.2, most=together), 1, note)
    return outcome, events


def same_as_alone(out: Path, alone: Path, specs: Specs) -> bool:
    found, expected = Store(out).results(), Store(alone).results()
    return all(
        comparable(found[spec.id]) == comparable(expected[spec.id])
        and weights(out, spec) == weights(alone, spec)
        for spec in specs
    )


def in_turns(events: list[Event]) -> bool:
    """Whether the runs went on side by side: another one's progress lies between two of one."""
    told = [event.run_id for event in events if event.kind == "progress"]
    changes = sum(a != b for a, b in itertools.pairwise(told))
    return changes >= len(set(told))


def test_runs_in_turns_end_with_the_bits_that_they_have_alone(tmp_path, specs, room_for_three):
    outcome, events = launched(specs, tmp_path / "three", together=3)
    assert sorted(outcome.done) == sorted(spec.id for spec in specs)
    assert in_turns(events)
    launched(specs, tmp_path / "alone", together=1)
    assert same_as_alone(tmp_path / "three", tmp_path / "alone", specs)
    results = Store(tmp_path / "three").results()
    assert max(results[spec.id].execution["together"] for spec in specs) == 3


def test_a_signal_checkpoints_all_runs_of_a_worker_and_they_go_on(tmp_path, specs, room_for_three):
    running: set[str] = set()

    def interrupt(event: Event) -> None:
        running.update({event.run_id} if event.kind == "progress" else ())
        if len(running) == 3:
            os.kill(os.getpid(), signal.SIGTERM)
            running.clear()

    outcome, events = launched(specs, tmp_path / "cut", 3, interrupt)
    assert outcome.signal == signal.SIGTERM
    stopped = {event.run_id: event.step for event in events if event.kind == "stopped"}
    left = [spec for spec in specs if spec.id not in outcome.done]
    assert left
    assert stopped.keys() == {spec.id for spec in left}
    for spec in left:
        assert Store(tmp_path / "cut").find(spec.id).step == stopped[spec.id] > 0
    launched(specs, tmp_path / "cut", together=3)
    launched(specs, tmp_path / "alone", together=1)
    assert same_as_alone(tmp_path / "cut", tmp_path / "alone", specs)


def test_a_killed_worker_takes_all_its_runs_along_and_they_go_on(tmp_path, specs, room_for_three):
    killed: list[int] = []

    def kill(event: Event) -> None:
        saved = [s for s in specs if checkpoints(Store(tmp_path / "cut").folder(s.id))]
        if len(saved) >= 2 and not killed:
            killed.extend(_workers(tmp_path / "cut"))
            for process in killed:
                os.kill(process, signal.SIGKILL)

    outcome, events = launched(specs, tmp_path / "cut", 3, kill, checkpoint_seconds=0.2)
    assert killed
    assert sum(event.kind == "note" and "once more" in event.message for event in events) >= 2
    assert sorted(outcome.done) == sorted(spec.id for spec in specs)
    launched(specs, tmp_path / "alone", together=1)
    assert same_as_alone(tmp_path / "cut", tmp_path / "alone", specs)


def _workers(out: Path) -> list[int]:
    """Worker processes on ``out``."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                words = (folder / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"vitexp.worker" in words and os.fsencode(out) in words:
                found.append(int(folder.name))
    return found


def test_a_run_that_fails_leaves_the_others_of_its_worker_alone(tmp_path, specs, room_for_three):
    other = dataclasses.replace(specs[0].data, fingerprint="another", fraction=None)
    wrong = dataclasses.replace(specs[0], data=other)
    outcome, _ = launched([specs[0], wrong, specs[1]], tmp_path / "out", together=3)
    assert sorted(outcome.done) == sorted([specs[0].id, specs[1].id])
    assert list(outcome.failed) == [wrong.id]


def failing(
    specs: Specs, tmp_path: Path, error: str, mended: str, options: ExecutionOptions = DEFAULTS
) -> tuple[RunSpec, Outcome, list[str]]:
    """A run that raises ``error``, among ``specs``, until ``mended`` is said; and what is said."""
    mark, said = tmp_path / "mark", list[str]()
    body = f"if os.path.exists({str(mark)!r}): raise {error}"
    position = position_in(tmp_path / "own.py", f"{body}\n        return None")
    bad = dataclasses.replace(specs[0], model=model_spec(position=position), recipe=specs[0].recipe)
    mark.touch()

    def note(event: Event) -> None:
        if event.kind == "note":
            said.append(event.message)
            if mended in event.message:
                mark.unlink(missing_ok=True)

    todo = [specs[0], bad, specs[1]]
    outcome = launch(todo, Shared(tmp_path / "out", options=options, most=3), 1, note)
    return bad, outcome, said


@pytest.mark.usefixtures("room_for_three", "memory_for_all")
def test_a_run_that_fails_among_others_is_tried_again_alone(tmp_path, specs):
    bad, outcome, said = failing(specs, tmp_path, "RuntimeError('crowded')", "alone")
    assert said == [f"Run {bad.id} failed (RuntimeError: crowded); once more, alone"]
    assert sorted(outcome.done) == sorted([specs[0].id, bad.id, specs[1].id])
    results = Store(tmp_path / "out").results()
    together = {run: results[run].execution["together"] for run in outcome.done}
    assert together.pop(bad.id) == 1
    assert max(together.values()) > 1
    assert all("fell_back" not in record.execution for record in results)


@pytest.mark.usefixtures("room_for_three", "memory_for_all")
def test_a_strict_run_that_fails_among_others_is_not_tried_again(tmp_path, specs):
    error, options = "RuntimeError('crowded')", ExecutionOptions(strict=True)
    bad, outcome, said = failing(specs, tmp_path, error, "alone", options)
    assert said == []
    assert outcome.failed == {bad.id: "RuntimeError: crowded"}
    assert sorted(outcome.done) == sorted([specs[0].id, specs[1].id])


@pytest.mark.usefixtures("room_for_three", "memory_for_all")
def test_a_run_that_ends_its_worker_goes_on_plainly_and_the_others_as_they_began(tmp_path, specs):
    error = "torch.AcceleratorError('CUDA error: an illegal memory access was encountered')"
    bad, outcome, said = failing(specs, tmp_path, error, "plain path")
    why = f"Accelerator{error.partition('Accelerator')[2]}".replace("('", ": ").replace("')", "")
    of_bad = [line for line in said if bad.id in line]
    assert of_bad == [
        f"Run {bad.id} failed ({why}); once more, alone",
        f"Run {bad.id} failed ({why}); once more, by the plain path",
        f"Run {bad.id} goes on without fused kernels, since that failed: {why}",
    ]
    assert all("once more, alone" in line for line in said if bad.id not in line)
    assert sorted(outcome.done) == sorted([specs[0].id, bad.id, specs[1].id])
    results = Store(tmp_path / "out").results()
    fused = {run: results[run].execution["fused"] for run in outcome.done}
    assert fused == {specs[0].id: True, specs[1].id: True, bad.id: False}
    assert results[bad.id].execution["fell_back"] == [{"from": ["fused"], "error": why}]
    launched(specs[:2], tmp_path / "alone", together=1)
    assert same_as_alone(tmp_path / "out", tmp_path / "alone", specs[:2])


@pytest.mark.cuda
@pytest.mark.skipif(not devices.cuda_devices(), reason="needs a CUDA device")
@pytest.mark.parametrize("dropout", [0.0, 0.1], ids=["captured", "launched"])
def test_on_cuda_runs_in_turns_have_streams_of_their_own_and_end_with_the_same_bits(
    tmp_path, real_spec, room_for_three, dropout
):
    specs = [real_spec(seed=seed, steps=300, dropout=dropout) for seed in range(3)]
    found = []
    for together in (3, 1):
        out = tmp_path / str(together)
        options = ExecutionOptions(deterministic=True)
        machine = Shared(out, ("cuda:0",), options=options, most=together)
        outcome = launch(specs, machine, 1, print)
        assert sorted(outcome.done) == sorted(spec.id for spec in specs)
        found.append([weights(out, spec) for spec in specs])
    assert found[0] == found[1]
    results = Store(tmp_path / "3").results()
    executions = [results[spec.id].execution for spec in specs]
    assert max(execution["together"] for execution in executions) == 3
    assert all(execution["captured"] == (not dropout) for execution in executions)


@pytest.mark.parametrize(
    ("speedups", "runs"),
    [
        ({1: 1.0}, 2),
        ({1: 1.0, 2: 1.04}, 1),
        ({1: 1.0, 2: 1.9}, 3),
        ({1: 1.0, 2: 1.9, 3: 1.95}, 2),
        ({1: 1.0, 2: 1.9, 3: 2.8, 4: 3.5}, 4),
        ({1: 0.9, 2: 0.93}, 1),
    ],
)
def test_one_run_more_is_tried_as_long_as_it_pays(speedups, runs):
    assert wanted(speedups, most=4) == runs


class Device:
    """A simulated one, on which up to ``wide`` runs cost no more time than one."""

    def __init__(self, wide: int) -> None:
        self.wide, self.now, self.running = wide, 0.0, 0

    def run(self, steps: int) -> Waits:
        for _ in range(steps):
            self.now += 0.01 / min(self.wide, max(1, self.running))
            yield None


@pytest.mark.parametrize("wide", [1, 3, 8])
def test_a_device_gets_as_many_runs_as_it_computes_side_by_side(monkeypatch, wide):
    device = Device(wide)
    monkeypatch.setattr(time, "perf_counter", lambda: device.now)
    asked: list[int] = []
    active = ActiveRuns(CPU, devices.TOGETHER, asked.append)

    def start() -> None:
        device.running = 1
        active.start("any", lambda one: device.run(100_000))
        device.running = len(active)

    start()
    for _ in range(30_000):
        active.turn()
        if len(active) < active.capacity:
            start()
    tried = list(range(2, min(wide + 1, devices.TOGETHER) + 1))
    assert asked == tried + [wide] * (wide < devices.TOGETHER)


def test_the_time_of_a_device_is_divided_among_its_runs(monkeypatch):
    device = Device(1)
    monkeypatch.setattr(time, "perf_counter", lambda: device.now)
    active, seen = ActiveRuns(CPU, 1, lambda capacity: None), {}

    def run(name: str, steps: int) -> Callable[[ActiveRun], Waits]:
        def begin(one: ActiveRun) -> Waits:
            yield from device.run(steps)
            seen[name] = active.seconds(one)

        return begin

    active.start("any", run("short", 100))
    active.start("any", run("long", 300))
    while active:
        active.turn()
    # While both run, each turn of both is paid by both.
    assert seen == pytest.approx({"short": 1.0, "long": 3.0}, abs=0.02)
    assert sum(seen.values()) == pytest.approx(device.now)


def test_each_run_is_as_deterministic_as_it_began():
    active, seen = (
        ActiveRuns(CPU, 1, lambda capacity: None),
        {True: set[bool](), False: set[bool]()},
    )

    def run(deterministic: bool) -> Callable[[ActiveRun], Waits]:
        def begin(one: ActiveRun) -> Waits:
            set_deterministic(deterministic)
            for _ in range(5):
                seen[deterministic].add(torch.backends.cudnn.deterministic)
                yield None

        return begin

    for deterministic in (True, False):
        active.start("any", run(deterministic))
    while active:
        active.turn()
    set_deterministic(False)
    assert seen == {True: {True}, False: {False}}


def test_runs_of_one_kind_have_one_model_whatever_it_is_called(tmp_path, run_spec, monkeypatch):
    worker = Worker(tmp_path, "cpu", 60, io.StringIO())
    kinds: list[object] = []
    monkeypatch.setattr(worker.active, "start", lambda kind, _: kinds.append(kind))
    plain = run_spec()
    named = dataclasses.replace(plain, model=dataclasses.replace(plain.model, name="another"))
    vit = dataclasses.replace(plain.model.transformer, depth=7)
    deeper = dataclasses.replace(plain, model=dataclasses.replace(plain.model, vit=vit))
    for spec in (plain, named, deeper):
        worker.carry_out(Train(spec, Resources(1)))
    assert kinds[0] == kinds[1] != kinds[2]


def test_a_run_waits_for_memory_that_others_have(run_spec):
    spec = run_spec()
    assert has_room(spec, CPU, memory=None)
    assert has_room(spec, CPU, memory=1 << 30)
    assert not has_room(spec, CPU, memory=1 << 10)


def test_a_checkpoint_written_in_a_thread_is_that_of_its_moment(
    tmp_path, real_spec, digits, monkeypatch
):
    """Training changes the weights in place while they are written."""
    spec, may_write = real_spec(steps=60), threading.Event()
    lease = Store(tmp_path).lease(spec)
    assert lease is not None
    save = Lease.save

    def slow(*args: object) -> None:
        assert may_write.wait(HANG_SECONDS)
        save(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(Lease, "save", slow)
    went_on = False
    with LeaseHost(lease, lambda event: None, lambda: False, 1e9, in_thread=True) as host:
        monkeypatch.setattr(host, "checkpoint_due", lambda: host.step == 20)
        turns = training(spec, digits, host, CPU, threads=1)
        for _ in turns:
            went_on |= host.step == 60 and not checkpoints(lease.folder)
        assert went_on
        may_write.set()
        host.settle()
        content, _ = lease.restore()
    assert content is not None
    state = host.restore()
    assert state is not None
    assert state["step"] == 20
    other = Memory(stop_after=20)
    assert train(spec, digits, other, CPU, threads=1) is None
    alone = other.restore()
    assert alone is not None
    assert all(torch.equal(state["model"][name], value) for name, value in alone["model"].items())
    assert state["curve"] == alone["curve"]


@pytest.mark.parametrize("told_at", ["images_of", "usable"])
def test_a_worker_ends_where_its_device_does_nothing_more(
    tmp_path, real_spec, monkeypatch, told_at
):
    """After an illegal access, say, every later run of the process would fail, too."""
    spec = real_spec()
    missing = dataclasses.replace(spec, data=dataclasses.replace(spec.data, fingerprint="other"))

    def broken(*_: object) -> None:
        raise torch.AcceleratorError("an illegal memory access was encountered")

    monkeypatch.setattr(
        worker_module, told_at, broken if told_at == "images_of" else lambda _: False
    )
    reads, writes = os.pipe()
    with open(reads) as told, open(writes, "w") as tells, open(tmp_path / "events", "w+") as events:
        tells.write(line(Train(missing, Resources(1))))
        tells.flush()
        worker = Worker(tmp_path, "cpu", 60.0, events)
        with pytest.raises((torch.AcceleratorError, VitexpError)):
            worker.serve(told)
        events.seek(0)
        told_of = [Event.parse(text) for text in events]
        assert [(event.kind, event.crashed) for event in told_of] == [("failed", True)]
    assert Store(tmp_path).lease(missing) is not None


def test_what_stops_a_writing_thread_stops_its_run(tmp_path, real_spec, digits):
    spec = real_spec(steps=40)
    lease = Store(tmp_path).lease(spec)
    assert lease is not None
    (lease.folder / "attempt").write_text("7 somebody else\n")
    with (
        pytest.raises(Fenced),
        LeaseHost(lease, lambda event: None, lambda: False, 0.0, in_thread=True) as host,
    ):
        for _ in training(spec, digits, host, CPU, threads=1):
            pass
