"""Runs worker processes on this machine and hands them what is to be done."""

from __future__ import annotations

import dataclasses
import itertools
import math
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from vitexp.errors import VitexpError
from vitexp.launch.events import Event
from vitexp.launch.machine import Machine
from vitexp.launch.orders import Average, Bench, Measure, Order, Pace, Predict, Train
from vitexp.launch.pool import Assignment, Pool
from vitexp.runs.store import Store
from vitexp.runs.times import Times
from vitexp.spec import Checkpoint, ProbeSpec, RunSpec, Shown, SoupSpec

PACE_SECONDS = 19.0
"""How long the pace of runs is measured, at most."""

_STARTING = 4.0
"""Of these, about what workers need to start."""

_LEAST = 3.0
"""Seconds without which the pace of a run is not worth measuring."""

ATTEMPTS = 2
"""A run that fails is tried once more, then given up; not counted is a failure among others."""

PATIENCE = 5
"""Checkpoint intervals without a change after which a run that was taken over counts as left."""


@dataclass
class Outcome:
    """How a launch ended.

    Attributes:
        done: ids of runs that have a result now, also from other processes.
        diverged: ids of runs whose loss stopped being finite.
        failed: id -> the last attempt's message.
        refused: whether the disk ended the launch.
        signal: the signal that stopped the launch, or None.
    """

    done: list[str] = field(default_factory=list)
    diverged: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    refused: bool = False
    signal: int | None = None

    @property
    def stopped(self) -> bool:
        return self.signal is not None


@dataclass
class Paces:
    """How fast runs go, as far as it was measured.

    Attributes:
        start: seconds until a worker is there.
        times: run id -> what its parts take.
    """

    start: float = 0.0
    times: dict[str, Times] = field(default_factory=dict)


def launch(
    specs: list[RunSpec], machine: Machine, jobs: int, on_event: Callable[[Event], None]
) -> Outcome:
    """Trains ``specs`` with ``jobs`` workers; returns when all are done, failed or stopped.

    SIGINT and SIGTERM let every worker checkpoint and end; a second one kills them. A disk that
    refuses ends the launch, too.
    """
    resources = machine.resources(jobs)
    todo = deque(Assignment(Train(spec, resources, machine.keep)) for spec in specs)
    outcome, by_id = Outcome(), {spec.id: spec for spec in specs}
    store = Store(machine.out)
    elsewhere = _Elsewhere(store, PATIENCE * machine.checkpoint_seconds, on_event)

    def tell(event: Event) -> None:
        _count(outcome, event)
        on_event(event)

    with _signals() as caught, Pool(machine, jobs, caught, machine.together) as pool:
        while (todo or elsewhere.waiting or pool.working) and not (caught or outcome.refused):
            todo += elsewhere.given_up(outcome)
            while todo and (worker := pool.free(todo[0])):
                worker.give(todo.popleft())
            for assignment, event in pool.events():
                if event.kind == "failed":
                    why = event.message.partition("\n")[0]
                    strict = machine.options.strict
                    if not strict and (how := _again(assignment, why, event.crashed)):
                        said = f"Run {assignment.id} failed ({why}); {how}"
                        on_event(Event("note", assignment.id, message=said))
                        todo.append(assignment)
                        continue
                    _keep_reason(store, by_id[assignment.id], event.message)
                if event.kind == "stopped":
                    todo.append(assignment)
                if event.kind in ("busy", "lost"):
                    elsewhere.add(assignment, event)
                tell(event)
        for _, event in pool.finish():
            tell(event)
    outcome.signal = next(iter(caught), None)
    return outcome


def pace(
    specs: list[RunSpec],
    machine: Machine,
    jobs: int,
    news: Callable[[Paces], None] = lambda paces: None,
) -> Paces:
    """Measures what the parts of runs take, with ``jobs`` workers side by side.

    It ends within :data:`PACE_SECONDS`: of those that come late there may be few steps, a guess
    from a forward pass, or nothing.

    Args:
        specs: those that matter most first.
        news: called with what is known so far, again and again.

    Raises:
        KeyboardInterrupt: a signal came in.
    """
    resources, began, found = machine.resources(jobs), time.monotonic(), Paces()
    steps: dict[str, int] = {}
    # All workers are busy to the end, as they will be.
    rounds = -(-len(specs) // jobs)
    each = max(_LEAST, (PACE_SECONDS - _STARTING) / rounds)
    busy = itertools.islice(itertools.cycle(specs), rounds * jobs)

    def heard(event: Event) -> None:
        if event.kind == "start":
            found.start = found.start or time.monotonic() - began
        elif event.details and event.step >= steps.get(event.run_id, 0):
            steps[event.run_id] = event.step
            found.times[event.run_id] = Times(**event.details)
            news(found)

    orders = [Pace(spec, resources, each) for spec in busy]
    _answers(orders, machine, jobs, heard, PACE_SECONDS)
    return found


def bench(
    spec: RunSpec,
    machine: Machine,
    jobs: int,
    seconds: float,
    on_event: Callable[[Event], None] = lambda event: None,
) -> list[dict[str, Any]]:
    """What ``jobs`` workers say that train ``spec`` side by side for some seconds.

    Args:
        on_event: takes what they say meanwhile.

    Raises:
        VitexpError: one of them could not.
        KeyboardInterrupt: a signal came in.
    """
    order = Bench(spec, machine.resources(jobs), seconds)
    events = _answers([order] * jobs, machine, jobs, on_event)
    for event in events:
        if event.kind in ("failed", "refused"):
            problem, _, remedy = event.message.partition("\n")
            raise VitexpError(problem, remedy)
    return [event.details for event in events if event.details is not None]


def measure(todo: list[tuple[RunSpec | Checkpoint, ProbeSpec]], machine: Machine) -> dict[str, str]:
    """Makes these measurements of finished runs and of files; they are in the store afterwards.

    Returns:
        Id of the run or file -> why it could not be measured, for those that could not.

    Raises:
        KeyboardInterrupt: a signal came in.
    """
    jobs = machine.jobs(len(todo))
    resources = machine.resources(jobs)
    return _failures(_answers([Measure(of, resources, p) for of, p in todo], machine, jobs))


def predict(
    todo: list[tuple[RunSpec | Checkpoint, Shown]],
    machine: Machine,
    on_event: Callable[[Event], None],
) -> dict[str, str]:
    """Predicts these images with finished runs and files; then each :attr:`Shown.to` is there.

    Args:
        on_event: takes how many images of a run or file are done.

    Returns:
        Id of the run or file -> why there are no predictions, for those that have none.

    Raises:
        KeyboardInterrupt: a signal came in.
    """
    jobs = machine.jobs(len(todo))
    resources = machine.resources(jobs)
    orders = [Predict(of, resources, shown) for of, shown in todo]
    return _failures(_answers(orders, machine, jobs, on_event))


def soup(specs: list[SoupSpec], machine: Machine) -> dict[str, str]:
    """Makes these soups, one after the other; they are in the store afterwards.

    Returns:
        Soup id -> why it could not be made, for those that could not.

    Raises:
        KeyboardInterrupt: a signal came in.
    """
    resources = machine.resources(1)
    return _failures(_answers([Average(spec, resources) for spec in specs], machine, 1))


def _failures(events: list[Event]) -> dict[str, str]:
    return {e.run_id: e.message for e in events if e.kind in ("failed", "refused")}


def _answers(
    orders: Sequence[Order],
    machine: Machine,
    jobs: int,
    on_event: Callable[[Event], None] = lambda event: None,
    limit: float = math.inf,
) -> list[Event]:
    """What workers say to orders that each have one answer, and until then.

    Args:
        limit: seconds after which they are ended at once, with nothing to be kept.
    """
    until = time.monotonic() + limit
    todo, events = deque(map(Assignment, orders)), []
    with _signals() as caught, Pool(machine, min(jobs, len(todo)), caught) as pool:
        while (todo or pool.working) and not caught and time.monotonic() < until:
            while todo and (worker := pool.free(todo[0])):
                worker.give(todo.popleft())
            for _, event in pool.events():
                events.append(event)
                on_event(event)
        if limit < math.inf:
            pool.kill()
    if caught:
        raise KeyboardInterrupt
    return events


def _count(outcome: Outcome, event: Event) -> None:
    if event.kind == "done":
        outcome.done.append(event.run_id)
    elif event.kind == "diverged":
        outcome.diverged.append(event.run_id)
    elif event.kind in ("failed", "refused"):
        outcome.failed[event.run_id] = event.message
        outcome.refused |= event.kind == "refused"


def _again(assignment: Assignment, why: str, crashed: bool) -> str | None:
    """How an order that failed is tried again; None where it is given up."""
    if assignment.shared:
        # It may have failed for what the others did, or for the memory that they took.
        assignment.alone = True
        return "once more, alone"
    assignment.failures += 1
    if assignment.failures == ATTEMPTS:
        return None
    if crashed:
        assert isinstance(assignment.order, Train)
        assignment.order = dataclasses.replace(assignment.order, crash=why)
        return "once more, by the plain path"
    return "once more"


def _keep_reason(store: Store, spec: RunSpec, reason: str) -> None:
    """Writes what a worker that died could not write itself."""
    with suppress(VitexpError):
        if not store.failure(spec.id).exists() and (lease := store.lease(spec)):
            try:
                lease.fail(reason)
            finally:
                lease.release()


class _Elsewhere:
    """Runs that another process has: done once it is, ours again if it gives up."""

    def __init__(self, store: Store, patience: float, on_event: Callable[[Event], None]) -> None:
        self.waiting: list[Assignment] = []
        self._store, self._patience, self._on_event = store, patience, on_event
        self._announced: set[str] = set()
        # Of runs whose holder cannot be seen by its lock: what changes as it works, and since
        # when, by our own clock, it has not.
        self._pulses: dict[str, tuple[dict[str, int], float]] = {}

    def add(self, assignment: Assignment, event: Event) -> None:
        self.waiting.append(assignment)
        if event.kind == "lost":
            self._pulses[assignment.id] = {}, time.monotonic()

    def given_up(self, outcome: Outcome) -> list[Assignment]:
        """The runs that are free again; those that are done are counted in ``outcome``."""
        before, self.waiting, free = self.waiting, [], []
        for assignment in before:
            run = assignment.id
            if self._store.is_done(run):
                outcome.done.append(run)
            elif self._store.is_leased(run) or self._alive(run):
                self.waiting.append(assignment)
                self._announce(run)
            else:
                free.append(assignment)
        return free

    def _alive(self, run: str) -> bool:
        if run not in self._pulses:
            return False
        pulse, now = self._store.pulse(run), time.monotonic()
        if pulse != self._pulses[run][0]:
            self._pulses[run] = pulse, now
        return now - self._pulses[run][1] < self._patience

    def _announce(self, run: str) -> None:
        if run not in self._announced:
            self._announced.add(run)
            self._on_event(Event("note", run, message=f"another process has run {run}; waiting"))


@contextmanager
def _signals() -> Iterator[list[int]]:
    """The SIGINT and SIGTERM signals that have come in, in place of their usual effect."""
    caught: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield caught
        return
    kinds = (signal.SIGINT, signal.SIGTERM)
    before = {kind: signal.signal(kind, lambda number, _: caught.append(number)) for kind in kinds}
    try:
        yield caught
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
