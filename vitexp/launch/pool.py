"""The worker processes of one launch: started, listened to, and none left at the end."""

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
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitexp.launch.events import LESS_MEMORY, Event

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


def environment(device: str) -> dict[str, str]:
    """The variables that a worker on ``device`` is given, which none can set once it runs."""
    return _ENVIRONMENT | (_KEEPING if device == "cpu" else {})


@dataclass
class Order:
    """What a worker is told to do.

    Attributes:
        id: of the run, or of whatever else it is about; events carry it.
        body: see ``launch/events.py``.
        failures: how often it was tried in vain.
        shared: whether the worker that has it, or had it last, had others at the same time.
        alone: whether no worker may have it with others.
    """

    id: str
    body: dict[str, Any]
    failures: int = 0
    shared: bool = False
    alone: bool = False


class Worker:
    """A worker process and the orders that it is working on.

    Attributes:
        orders: by id.
        room: how many it works best on at once; it says so itself.
        crashed: whether it has told of what will end it.
    """

    def __init__(
        self,
        out: Path,
        device: str,
        checkpoint_seconds: float,
        together: int,
        told: queue.Queue[tuple[Worker, str]],
    ) -> None:
        command = [sys.executable, "-m", "vitexp.worker", "--out", str(out), "--device", device]
        command += ["--checkpoint-seconds", str(checkpoint_seconds), "--together", str(together)]
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
        self.orders: dict[str, Order] = {}
        self.room = 1
        self.leaving = self.crashed = False
        threading.Thread(target=self._listen, args=(told,), daemon=True).start()

    def _listen(self, told: queue.Queue[tuple[Worker, str]]) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            # What is cut short was said by a worker that was killed while it said it.
            if line.endswith("\n"):
                told.put((self, line))
        told.put((self, ""))

    def takes(self, order: Order) -> bool:
        """Whether it has room for one more."""
        if self.leaving or self.crashed:
            return False
        alone = order.alone or any(one.alone for one in self.orders.values())
        return len(self.orders) < (1 if alone else self.room)

    def give(self, order: Order) -> None:
        assert order.id not in self.orders and self.process.stdin is not None
        for other in self.orders.values():
            other.shared = True
        order.shared = bool(self.orders)
        self.orders[order.id] = order
        # A worker that has died cannot be written to; its listener says so.
        with suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(order.body) + "\n")
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
        out: the folder that holds runs/.
        devices: worker i works on device i modulo their number.
        jobs: workers.
        checkpoint_seconds: between two checkpoints of a run.
        caught: the signals that have come in.
        together: how many runs a worker may take at once, where it finds that this pays.
    """

    def __init__(
        self,
        out: Path,
        devices: tuple[str, ...],
        jobs: int,
        checkpoint_seconds: float,
        caught: list[int],
        together: int = 1,
    ) -> None:
        self.out, self._together = out, together
        self._checkpoint_seconds = checkpoint_seconds
        self._caught = caught
        self._devices = itertools.cycle(devices)
        self._jobs = jobs
        self._workers: list[Worker] = []
        self._told: queue.Queue[tuple[Worker, str]] = queue.Queue()

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        for _ in self.finish():
            pass

    @property
    def working(self) -> bool:
        return any(worker.orders for worker in self._workers)

    def free(self, order: Order) -> Worker | None:
        """The worker with the fewest orders that takes one more, started if there are not enough
        yet."""
        fewest = min(self._workers, key=lambda worker: len(worker.orders), default=None)
        if len(self._workers) < self._jobs and (fewest is None or fewest.orders):
            device, every = next(self._devices), self._checkpoint_seconds
            self._workers.append(Worker(self.out, device, every, self._together, self._told))
            return self._workers[-1]
        free = [worker for worker in self._workers if worker.takes(order)]
        return min(free, key=lambda worker: len(worker.orders), default=None)

    def events(self) -> Iterator[tuple[Order, Event]]:
        """What has been told since the last call; waits a moment if that is nothing."""
        try:
            told = [self._told.get(timeout=_TICK_SECONDS)]
        except queue.Empty:
            return
        while not self._told.empty():
            told.append(self._told.get())
        for worker, line in told:
            if not line:
                yield from self._died(worker)
                continue
            event = Event.parse(line)
            if event.kind == "room":
                worker.room = event.room
            if (order := worker.orders.get(event.run_id)) is None:
                continue
            if event.kind not in ("start", "progress", "note"):
                del worker.orders[order.id]
            if event.kind == "stopped":
                worker.leaving = True
            worker.crashed |= event.crashed
            yield order, event

    def _died(self, worker: Worker) -> Iterator[tuple[Order, Event]]:
        self._workers.remove(worker)
        code = worker.process.wait()
        message = f"{_ended(code)}\n{worker.last_words()}".strip()
        # Others than the one that it told of are not to blame.
        crashed = code not in (0, -signal.SIGKILL, -signal.SIGTERM) and not worker.crashed
        for order in worker.orders.values():
            if worker.leaving:
                yield order, Event("stopped", order.id)
            else:
                yield order, Event("failed", order.id, message=message, crashed=crashed)

    def finish(self) -> Iterator[tuple[Order, Event]]:
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
