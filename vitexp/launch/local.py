"""Runs worker processes on this machine and hands them what is to be done."""

from __future__ import annotations

import itertools
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vitexp.launch.devices import cores
from vitexp.launch.events import Event
from vitexp.runs.store import Store
from vitexp.spec import RunSpec, to_json

ATTEMPTS = 2
"""A run that fails is tried once more, then given up."""

GRACE_SECONDS = 30.0
"""How long a worker may take to checkpoint before it is killed."""

_TICK_SECONDS = 0.2


@dataclass
class Outcome:
    """How a launch ended.

    Attributes:
        done: ids of runs that have a result now, whoever made it.
        diverged: ids of runs whose loss stopped being finite.
        failed: id -> the last attempt's message.
        signal: the signal that stopped the launch, or None.
    """

    done: list[str] = field(default_factory=list)
    diverged: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
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
) -> Outcome:
    """Trains ``specs``, ``jobs`` at a time, and returns when all are done, failed or stopped.

    SIGINT and SIGTERM let every worker checkpoint and end; a second one kills them.

    Args:
        devices: worker i works on device i modulo their number.
        keep: whether final weights are kept.
    """
    threads = max(1, cores() // jobs)
    orders = deque(
        _Order(spec, {"run": to_json(spec), "threads": threads, "keep": keep}) for spec in specs
    )
    outcome = Outcome()
    store = Store(out)

    def tell(event: Event) -> None:
        _count(outcome, event)
        on_event(event)

    with _signals() as caught, _Pool(out, devices, jobs) as pool:
        busy: deque[_Order] = deque()
        while orders or busy or pool.working:
            if caught:
                outcome.signal = caught[0]
                pool.finish(caught, tell)
                break
            _requeue(busy, orders, store, outcome)
            while orders and (worker := pool.idle()):
                worker.give(orders.popleft())
            for order, event in pool.events():
                if event.kind == "failed" and order.tries < ATTEMPTS:
                    first = event.message.splitlines()[0] if event.message else "no reason given"
                    on_event(Event("note", event.run_id, message=f"failed ({first}); once more"))
                    orders.append(order)
                    continue
                if event.kind == "busy":
                    busy.append(order)
                tell(event)
    return outcome


def probe(specs: list[RunSpec], out: Path, devices: tuple[str, ...], jobs: int) -> dict[str, float]:
    """Run id -> seconds a training step takes, measured with ``jobs`` workers side by side."""
    threads = max(1, cores() // jobs)
    orders = deque(_Order(s, {"probe": to_json(s), "threads": threads}) for s in specs)
    found: dict[str, float] = {}
    with _signals() as caught, _Pool(out, devices, min(jobs, len(specs))) as pool:
        while (orders or pool.working) and not caught:
            while orders and (worker := pool.idle()):
                worker.give(orders.popleft())
            for _, event in pool.events():
                if event.seconds_per_step is not None:
                    found[event.run_id] = event.seconds_per_step
    return found


def _count(outcome: Outcome, event: Event) -> None:
    if event.kind == "done":
        outcome.done.append(event.run_id)
    elif event.kind == "diverged":
        outcome.diverged.append(event.run_id)
    elif event.kind == "failed":
        outcome.failed[event.run_id] = event.message


def _requeue(busy: deque[_Order], orders: deque[_Order], store: Store, outcome: Outcome) -> None:
    """Runs that another process has: done once it is, ours again if it gives up."""
    for _ in range(len(busy)):
        order = busy.popleft()
        if not store.missing([order.spec]):
            outcome.done.append(order.spec.id)
        elif store.is_leased(order.spec.id):
            busy.append(order)
        else:
            orders.append(order)


@dataclass
class _Order:
    spec: RunSpec
    body: dict[str, Any]
    tries: int = 0


class _Worker:
    """A worker process and the order that it is working on."""

    def __init__(self, out: Path, device: str, told: queue.Queue[tuple[_Worker, str]]) -> None:
        command = [sys.executable, "-m", "vitexp.worker", "--out", str(out), "--device", device]
        self.errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            encoding="utf-8",
            start_new_session=True,
            # Threads that wait by spinning slow everybody down where a core is shared.
            env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE"},
        )
        self.order: _Order | None = None
        threading.Thread(target=self._listen, args=(told,), daemon=True).start()

    def _listen(self, told: queue.Queue[tuple[_Worker, str]]) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            told.put((self, line))
        told.put((self, ""))

    def give(self, order: _Order) -> None:
        assert self.order is None and self.process.stdin is not None
        self.order = order
        order.tries += 1
        # A worker that has died cannot be written to; its listener says so.
        with suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(order.body) + "\n")
            self.process.stdin.flush()

    def close(self) -> None:
        """Asks it to checkpoint and end."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.close()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def last_words(self) -> str:
        self.errors.seek(0)
        return "".join(deque(self.errors, maxlen=20)).strip()


class _Pool:
    """The workers of one launch. On leaving it no process is left."""

    def __init__(self, out: Path, devices: tuple[str, ...], jobs: int) -> None:
        self.out = out
        self._devices = itertools.cycle(devices)
        self._jobs = jobs
        self._workers: list[_Worker] = []
        self._told: queue.Queue[tuple[_Worker, str]] = queue.Queue()

    def __enter__(self) -> _Pool:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.close()
        for worker in self._workers:
            try:
                worker.process.wait(timeout=GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                worker.kill()

    @property
    def working(self) -> bool:
        return any(worker.order for worker in self._workers)

    def idle(self) -> _Worker | None:
        """A worker without an order, started if there are not enough yet."""
        for worker in self._workers:
            if worker.order is None:
                return worker
        if len(self._workers) == self._jobs:
            return None
        self._workers.append(_Worker(self.out, next(self._devices), self._told))
        return self._workers[-1]

    def events(self) -> Iterator[tuple[_Order, Event]]:
        """What has been told since the last call; waits a moment if that is nothing."""
        try:
            told = [self._told.get(timeout=_TICK_SECONDS)]
        except queue.Empty:
            return
        while not self._told.empty():
            told.append(self._told.get())
        for worker, line in told:
            order = worker.order
            event = Event.parse(line) if line else self._died(worker)
            if order is None or event is None:
                continue
            if event.kind not in ("start", "progress", "note"):
                worker.order = None
            yield order, event

    def _died(self, worker: _Worker) -> Event | None:
        self._workers.remove(worker)
        code = worker.process.wait()
        if worker.order is None:
            return None
        words = worker.last_words()
        message = f"The worker process ended with status {code}.\n{words}"
        return Event("failed", worker.order.spec.id, message=message)

    def finish(self, caught: list[int], on_event: Callable[[Event], None]) -> None:
        """Lets the workers checkpoint; kills them at a second signal or after the grace time."""
        for worker in self._workers:
            worker.close()
        deadline = time.monotonic() + GRACE_SECONDS
        while any(worker.process.poll() is None for worker in self._workers):
            if len(caught) > 1 or time.monotonic() > deadline:
                for worker in self._workers:
                    worker.kill()
            for _, event in self.events():
                on_event(event)


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
