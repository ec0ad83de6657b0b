"""Runs worker processes on this machine and hands them what is to be done."""

from __future__ import annotations

import dataclasses
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vitexp.errors import VitexpError
from vitexp.launch.devices import cores, memory
from vitexp.launch.events import Event
from vitexp.launch.pool import Order, Pool
from vitexp.runs.options import DEFAULTS, ExecutionOptions
from vitexp.runs.store import Store
from vitexp.spec import Checkpoint, ProbeSpec, RunSpec, SoupSpec, to_json

ATTEMPTS = 2
"""A run that fails is tried once more, then given up; not counted is a failure among others."""

CHECKPOINT_SECONDS = 60.0
"""Between two checkpoints of a run."""

PATIENCE = 5
"""Checkpoint intervals without a change after which a run that was taken over counts as left."""


@dataclass
class Outcome:
    """How a launch ended.

    Attributes:
        done: ids of runs that have a result now, whoever made it.
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


def launch(
    specs: list[RunSpec],
    out: Path,
    devices: tuple[str, ...],
    jobs: int,
    on_event: Callable[[Event], None],
    keep: bool = True,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    options: ExecutionOptions = DEFAULTS,
    together: int = 1,
) -> Outcome:
    """Trains ``specs`` with ``jobs`` workers; returns when all are done, failed or stopped.

    SIGINT and SIGTERM let every worker checkpoint and end; a second one kills them. A disk that
    refuses ends the launch, too.

    Args:
        devices: worker i works on device i modulo their number.
        keep: whether final weights are kept.
        checkpoint_seconds: how much work a kill may cost.
        options: how to compute.
        together: how many runs a worker may take at once, where it finds that this pays.
    """
    common = {"keep": keep, **_means(devices, jobs, options)}
    orders = deque(Order(spec.id, {"run": to_json(spec), **common}) for spec in specs)
    outcome, by_id = Outcome(), {spec.id: spec for spec in specs}
    store = Store(out)
    elsewhere = _Elsewhere(store, PATIENCE * checkpoint_seconds, on_event)

    def tell(event: Event) -> None:
        _count(outcome, event)
        on_event(event)

    with (
        _signals() as caught,
        Pool(out, devices, jobs, checkpoint_seconds, caught, together) as pool,
    ):
        while (orders or elsewhere.orders or pool.working) and not (caught or outcome.refused):
            orders += elsewhere.given_up(outcome)
            while orders and (worker := pool.free(orders[0])):
                worker.give(orders.popleft())
            for order, event in pool.events():
                if event.kind == "failed":
                    why = event.message.partition("\n")[0]
                    if not options.strict and (how := _again(order, why, event.crashed)):
                        said = f"Run {order.id} failed ({why}); {how}"
                        on_event(Event("note", order.id, message=said))
                        orders.append(order)
                        continue
                    _keep_reason(store, by_id[order.id], event.message)
                if event.kind == "stopped":
                    orders.append(order)
                if event.kind in ("busy", "lost"):
                    elsewhere.add(order, event)
                tell(event)
        for _, event in pool.finish():
            tell(event)
    outcome.signal = next(iter(caught), None)
    return outcome


def probe(
    specs: list[RunSpec],
    out: Path,
    devices: tuple[str, ...],
    jobs: int,
    options: ExecutionOptions = DEFAULTS,
) -> dict[str, float]:
    """Run id -> seconds a training step takes, measured with ``jobs`` workers side by side.

    Raises:
        KeyboardInterrupt: a signal came in.
    """
    orders = [Order(s.id, {"probe": to_json(s), **_means(devices, jobs, options)}) for s in specs]
    told = _answers(orders, out, devices, jobs)
    return {e.run_id: e.seconds_per_step for e in told if e.seconds_per_step is not None}


def bench(
    spec: RunSpec,
    out: Path,
    devices: tuple[str, ...],
    jobs: int,
    seconds: float,
    options: ExecutionOptions = DEFAULTS,
    on_event: Callable[[Event], None] = lambda event: None,
) -> list[dict[str, Any]]:
    """What ``jobs`` workers say that train ``spec`` side by side for some seconds.

    Args:
        on_event: takes what they say meanwhile.

    Raises:
        VitexpError: one of them could not.
        KeyboardInterrupt: a signal came in.
    """
    body = {"bench": to_json(spec), "seconds": seconds, **_means(devices, jobs, options)}
    told = _answers([Order(spec.id, body) for _ in range(jobs)], out, devices, jobs, on_event)
    for event in told:
        if event.kind in ("failed", "refused"):
            problem, _, remedy = event.message.partition("\n")
            raise VitexpError(problem, remedy)
    return [event.details for event in told if event.details is not None]


def measure(
    todo: list[tuple[RunSpec | Checkpoint, ProbeSpec]],
    out: Path,
    devices: tuple[str, ...],
    jobs: int,
    options: ExecutionOptions = DEFAULTS,
) -> dict[str, str]:
    """Makes these measurements of finished runs and of files; they are in the store afterwards.

    Returns:
        Id of the run or file -> why it could not be measured, for those that could not.

    Raises:
        KeyboardInterrupt: a signal came in.
    """
    common = _means(devices, jobs, options)
    orders = [
        Order(s.id, {"measure": to_json(p), _called(s): to_json(s), **common}) for s, p in todo
    ]
    told = _answers(orders, out, devices, jobs)
    return {e.run_id: e.message for e in told if e.kind in ("failed", "refused")}


def _called(subject: RunSpec | Checkpoint) -> str:
    return "file" if isinstance(subject, Checkpoint) else "of"


def soup(specs: list[SoupSpec], out: Path, devices: tuple[str, ...]) -> dict[str, str]:
    """Makes these soups, one after the other; they are in the store afterwards.

    Returns:
        Soup id -> why it could not be made, for those that could not.

    Raises:
        KeyboardInterrupt: a signal came in.
    """
    common = _means(devices[:1], 1, DEFAULTS)
    orders = [Order(s.id, {"soup": to_json(s), **common}) for s in specs]
    told = _answers(orders, out, devices[:1], 1)
    return {e.run_id: e.message for e in told if e.kind in ("failed", "refused")}


def _means(devices: tuple[str, ...], jobs: int, options: ExecutionOptions) -> dict[str, Any]:
    """What is the same in each of a launch's orders: how to compute, and with how much."""
    each = [size for device in devices if (size := memory(device)) is not None]
    return {
        "threads": max(1, cores() // jobs),
        "memory": min(each) // -(-jobs // len(devices)) if each else None,
        "options": dataclasses.asdict(options),
    }


def _answers(
    orders: list[Order],
    out: Path,
    devices: tuple[str, ...],
    jobs: int,
    on_event: Callable[[Event], None] = lambda event: None,
) -> list[Event]:
    """What workers say to orders that each have one answer, and until then."""
    todo, told = deque(orders), []
    with (
        _signals() as caught,
        Pool(out, devices, min(jobs, len(todo)), CHECKPOINT_SECONDS, caught) as pool,
    ):
        while (todo or pool.working) and not caught:
            while todo and (worker := pool.free(todo[0])):
                worker.give(todo.popleft())
            for _, event in pool.events():
                told.append(event)
                on_event(event)
    if caught:
        raise KeyboardInterrupt
    return told


def _count(outcome: Outcome, event: Event) -> None:
    if event.kind == "done":
        outcome.done.append(event.run_id)
    elif event.kind == "diverged":
        outcome.diverged.append(event.run_id)
    elif event.kind in ("failed", "refused"):
        outcome.failed[event.run_id] = event.message
        outcome.refused |= event.kind == "refused"


def _again(order: Order, why: str, crashed: bool) -> str | None:
    """How an order that failed is tried again; None where it is given up."""
    if order.shared:
        # It may have failed for what the others did, or for the memory that they took.
        order.alone = True
        return "once more, alone"
    order.failures += 1
    if order.failures == ATTEMPTS:
        return None
    if crashed:
        order.body["crash"] = why
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
        self.orders: list[Order] = []
        self._store, self._patience, self._on_event = store, patience, on_event
        self._told: set[str] = set()
        # Of runs whose holder cannot be seen by its lock: what changes as it works, and since
        # when, by our own clock, it has not.
        self._pulses: dict[str, tuple[dict[str, int], float]] = {}

    def add(self, order: Order, event: Event) -> None:
        self.orders.append(order)
        if event.kind == "lost":
            self._pulses[order.id] = {}, time.monotonic()

    def given_up(self, outcome: Outcome) -> list[Order]:
        """The runs that are free again; those that are done are counted in ``outcome``."""
        orders, self.orders, free = self.orders, [], []
        for order in orders:
            run = order.id
            if self._store.is_done(run):
                outcome.done.append(run)
            elif self._store.is_leased(run) or self._alive(run):
                self.orders.append(order)
                self._tell(run)
            else:
                free.append(order)
        return free

    def _alive(self, run: str) -> bool:
        if run not in self._pulses:
            return False
        pulse, now = self._store.pulse(run), time.monotonic()
        if pulse != self._pulses[run][0]:
            self._pulses[run] = pulse, now
        return now - self._pulses[run][1] < self._patience

    def _tell(self, run: str) -> None:
        if run not in self._told:
            self._told.add(run)
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
