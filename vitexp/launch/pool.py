"""The worker processes of one launch: started, listened to, and none left at the end."""

from __future__ import annotations

import itertools
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from vitexp.launch import orders
from vitexp.launch.events import LESS_MEMORY, Event
from vitexp.launch.machine import Machine
from vitexp.launch.orders import Order

GRACE_SECONDS = 30.0
"""How long a worker may take to checkpoint before it is killed."""

_TICK_SECONDS = 0.2

_ENVIRONMENT = {
    # Threads that wait by spinning slow everybody down where a core is shared.
    "OMP_WAIT_POLICY": "PASSIVE",
    # Without a fixed workspace cuBLAS does not promise the same bits again.
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
}

_KEEPING = {
    # A step's activations go back to the system at its end and come again, page by page and each
    # set to zero, unless glibc keeps what it once had. Other C libraries do not read this.
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(1 << 40),
    "MALLOC_TOP_PAD_": str(1 << 26),
}
"""For workers whose activations are in the host's memory."""

_HOME = Path(__file__).parents[2]
"""The folder that holds the package."""


def environment(device: str) -> dict[str, str]:
    """The variables that a worker on ``device`` is given, which none can set once it runs."""
    return _ENVIRONMENT | (_KEEPING if device == "cpu" else {})


def python(module: str) -> list[str]:
    """The command that runs a module of this package in a process of its own."""
    # A folder called vitexp where the program was called from is not this package.
    safe = [] if Path.cwd() == _HOME else ["-P"]
    return [sys.executable, *safe, "-m", module]


@dataclass
class Assignment:
    """An order, and how it has fared.

    Attributes:
        failures: how often it failed.
        shared: whether the worker that has it, or had it last, had others at the same time.
        alone: whether no worker may have it with others.
    """

    order: Order
    failures: int = 0
    shared: bool = False
    alone: bool = False

    @property
    def id(self) -> str:
        """Of the run, or of whatever else it is about; events carry it."""
        return self.order.spec.id


class Worker:
    """A worker process and what it is working on.

    Attributes:
        assigned: by id.
        capacity: how many it works best on at once; it says so itself.
        crashed: whether it has reported what will end it.
    """

    def __init__(
        self,
        machine: Machine,
        device: str,
        together: int,
        messages: queue.Queue[tuple[Worker, str]],
    ) -> None:
        command = [*python("vitexp.worker"), "--device", device]
        command += ["--out", str(machine.out), "--together", str(together)]
        command += ["--checkpoint-seconds", str(machine.checkpoint_seconds)]
        self.errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            encoding="utf-8",
            start_new_session=True,
            env={**os.environ, **environment(device)},
        )
        self.assigned: dict[str, Assignment] = {}
        self.capacity = 1
        self.leaving = self.crashed = False
        threading.Thread(target=self._listen, args=(messages,), daemon=True).start()

    def _listen(self, messages: queue.Queue[tuple[Worker, str]]) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            # What is cut short was said by a worker that was killed while it said it.
            if line.endswith("\n"):
                messages.put((self, line))
        messages.put((self, ""))

    def takes(self, assignment: Assignment) -> bool:
        """Whether it has room for one more."""
        if self.leaving or self.crashed:
            return False
        alone = assignment.alone or any(other.alone for other in self.assigned.values())
        return len(self.assigned) < (1 if alone else self.capacity)

    def give(self, assignment: Assignment) -> None:
        assert assignment.id not in self.assigned and self.process.stdin is not None
        for other in self.assigned.values():
            other.shared = True
        assignment.shared = bool(self.assigned)
        self.assigned[assignment.id] = assignment
        # A worker that has died cannot be written to; its listener says so.
        with suppress(BrokenPipeError):
            self.process.stdin.write(orders.line(assignment.order))
            self.process.stdin.flush()

    def close(self) -> None:
        """Asks it to checkpoint and end."""
        self.leaving = True
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.close()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def last_words(self) -> str:
        self.errors.seek(0)
        return "".join(deque(self.errors, maxlen=20)).strip()


class Pool:
    """The workers of one launch. On leaving it no process is left.

    Args:
        jobs: workers.
        caught: the signals that have come in.
        together: how many runs a worker may take at once, where it finds that this is faster.
    """

    def __init__(self, machine: Machine, jobs: int, caught: list[int], together: int = 1) -> None:
        self._machine, self._together = machine, together
        self._caught = caught
        self._devices = itertools.cycle(machine.devices)
        self._jobs = jobs
        self._workers: list[Worker] = []
        self._messages: queue.Queue[tuple[Worker, str]] = queue.Queue()

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        for _ in self.finish():
            pass

    @property
    def working(self) -> bool:
        return any(worker.assigned for worker in self._workers)

    def free(self, assignment: Assignment) -> Worker | None:
        """The worker with the least to do that takes one more, started if there are not enough
        yet."""
        least = min(self._workers, key=lambda worker: len(worker.assigned), default=None)
        if len(self._workers) < self._jobs and (least is None or least.assigned):
            device = next(self._devices)
            self._workers.append(Worker(self._machine, device, self._together, self._messages))
            return self._workers[-1]
        free = [worker for worker in self._workers if worker.takes(assignment)]
        return min(free, key=lambda worker: len(worker.assigned), default=None)

    def events(self) -> Iterator[tuple[Assignment, Event]]:
        """What workers said since the last call; waits a moment if that is nothing."""
        try:
            lines = [self._messages.get(timeout=_TICK_SECONDS)]
        except queue.Empty:
            return
        while not self._messages.empty():
            lines.append(self._messages.get())
        for worker, line in lines:
            if not line:
                yield from self._died(worker)
                continue
            event = Event.parse(line)
            if event.kind == "capacity":
                worker.capacity = event.capacity
            if (assignment := worker.assigned.get(event.run_id)) is None:
                continue
            if event.kind not in ("start", "progress", "note"):
                del worker.assigned[assignment.id]
            if event.kind == "stopped":
                worker.leaving = True
            worker.crashed |= event.crashed
            yield assignment, event

    def _died(self, worker: Worker) -> Iterator[tuple[Assignment, Event]]:
        self._workers.remove(worker)
        code = worker.process.wait()
        message = f"{_ended(code)}\n{worker.last_words()}".strip()
        # Others than the one that it reported are not to blame.
        crashed = code not in (0, -signal.SIGKILL, -signal.SIGTERM) and not worker.crashed
        for assignment in worker.assigned.values():
            if worker.leaving:
                yield assignment, Event("stopped", assignment.id)
            else:
                yield assignment, Event("failed", assignment.id, message=message, crashed=crashed)

    def kill(self) -> None:
        """Ends the workers at once, for work of which nothing is kept."""
        for worker in self._workers:
            worker.leaving = True
            worker.kill()

    def finish(self) -> Iterator[tuple[Assignment, Event]]:
        """Lets the workers checkpoint; kills them after the grace time or at a second signal."""
        for worker in self._workers:
            worker.close()
        before, deadline = len(self._caught[:1]), time.monotonic() + GRACE_SECONDS
        while self._workers:
            if len(self._caught) > before or time.monotonic() > deadline:
                for worker in self._workers:
                    worker.kill()
            yield from self.events()


def _ended(code: int) -> str:
    """What a worker's exit status means."""
    if code == -signal.SIGKILL:
        return (
            "The worker process was killed, perhaps by the system for want of memory.\n"
            + LESS_MEMORY
        )
    if code < 0:
        return f"The worker process was ended by {signal.Signals(-code).name}."
    return f"The worker process ended with status {code}."
