"""Runs sent to trackers as they go on, or afterwards, by a process for each tracker.

Nothing here waits for a tracker while runs run: events go into a queue, and a thread hands them to
the process one by one. What it does not take within :data:`PATIENCE` ends it, and that is said.
Up to there the tracker has the runs without a gap; an export sends the rest.
"""

from __future__ import annotations

import json
import os
import queue
import select
import shlex
import subprocess
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from vitexp.errors import VitexpError
from vitexp.launch.events import Event
from vitexp.launch.pool import python
from vitexp.runs.record import RunRecord
from vitexp.trackers import Destination

PATIENCE = 30.0
"""Seconds that a tracker has for one event, and for all that is left when the runs have ended."""

WAITING = 1_000
"""Events that may wait for a tracker."""

_PAUSE = 0.5
"""Seconds between two tries of what failed."""

_TOLD = ("start", "progress", "done", "diverged", "failed", "stopped")
_QUIET = {"WANDB_SILENT": "true", "DO_NOT_TRACK": "true", "MLFLOW_DISABLE_TELEMETRY": "true"}
"""Variables of a tracker's process, unless they are set: packages report on their own use."""


class Process:
    """The process of one tracker, which alone imports its package."""

    def __init__(self, to: Destination, out: Path) -> None:
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")
        self._process = subprocess.Popen(
            [*python("vitexp.trackers"), str(to), "--out", str(out)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            bufsize=0,
            start_new_session=True,
            env=_QUIET | os.environ,
        )

    def send(self, event: Event, seconds: float) -> str | None:
        """Why it did not take an event within so many seconds; None where it did."""
        assert self._process.stdin is not None and self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(event.line().encode())
        if not select.select([self._process.stdout], [], [], max(0.0, seconds))[0]:
            return "no answer"
        if not (line := self._process.stdout.readline()):
            return self._last_words()
        why: str | None = json.loads(line)
        return why

    def _last_words(self) -> str:
        self._process.wait()
        self._errors.seek(0)
        return "".join(deque(self._errors, maxlen=1)).strip() or "its process ended"

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def end(self, seconds: float) -> None:
        """Lets it finish what it has begun, and kills it if that takes longer."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        self.kill()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


class Sink:
    """A tracker that follows runs.

    Attributes:
        lost: why nothing more is sent to it; None while something is.
    """

    def __init__(self, to: Destination, out: Path) -> None:
        self.to, self._out = to, out
        self.lost: str | None = None
        self._process: Process | None = None
        self._evaluated: dict[str, int | None] = {}
        self._events: queue.Queue[Event | None] = queue.Queue()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def __call__(self, event: Event) -> None:
        """Takes note of what happened, at once."""
        if self.lost or event.kind not in _TOLD:
            return
        if event.kind == "progress" and event.evaluated == self._evaluated.get(event.run_id):
            return
        self._evaluated[event.run_id] = event.evaluated
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, daemon=True)
            self._thread.start()
        if self._events.qsize() >= WAITING:
            self.lost = f"{WAITING} events wait for it"
        else:
            self._events.put(event)

    def _work(self) -> None:
        while not self.lost and (event := self._events.get()) is not None:
            until, pause = time.monotonic() + PATIENCE, _PAUSE
            while not self.lost and (why := self._sent(event, until - time.monotonic())):
                pause *= 2
                if time.monotonic() + pause > until or self._closing.wait(pause):
                    self.lost = why
        if self._process is not None:
            self._process.end(0.0 if self.lost else PATIENCE)

    def _sent(self, event: Event, seconds: float) -> str | None:
        if self._process is None or not self._process.running:
            self._process = Process(self.to, self._out)
        return self._process.send(event, seconds)

    def finish(self) -> None:
        """Tells it that nothing more will come."""
        self._closing.set()
        self._events.put(None)

    def close(self, seconds: float) -> None:
        """Waits so long at most until all is sent; then its process is gone."""
        try:
            if self._thread is not None:
                self._thread.join(max(0.0, seconds))
        finally:
            if self._thread is not None and self._thread.is_alive():
                self.lost = self.lost or "no answer"
                if self._process is not None:
                    self._process.kill()


class Sinks:
    """All trackers that follow the runs of one command."""

    def __init__(self, to: Iterable[Destination], out: Path) -> None:
        self._out = out
        self._sinks = [Sink(each, out) for each in to]
        self._said: set[Sink] = set()

    def __call__(self, event: Event) -> None:
        """Takes note of what happened, at once."""
        for sink in self._sinks:
            sink(event)

    def news(self) -> list[str]:
        """A line for each tracker that was given up since this was last asked."""
        lost = [sink for sink in self._sinks if sink.lost and sink not in self._said]
        self._said |= set(lost)
        return [
            f"The tracker {sink.to} was given up ({sink.lost}); the runs go on, and "
            f"`{export_command(sink.to, self._out)}` sends it what is missing."
            for sink in lost
        ]

    def close(self) -> None:
        """Waits until all is sent, :data:`PATIENCE` at most; then no process is left."""
        until = time.monotonic() + PATIENCE
        for sink in self._sinks:
            sink.finish()
        for sink in self._sinks:
            sink.close(until - time.monotonic())


@contextmanager
def following(to: Iterable[Destination], out: Path, say: Callable[[str], None]) -> Iterator[Sinks]:
    """Trackers that are told of runs; what is left to be said of them in the end, ``say`` takes."""
    sinks = Sinks(to, out)
    try:
        yield sinks
    finally:
        sinks.close()
        for line in sinks.news():
            say(line)


def export_command(to: Destination, out: Path) -> str:
    """What sends the finished runs below ``out`` to a tracker."""
    more = [] if out == Path(".") else ["--out", str(out)]
    return shlex.join(["vitexp", "runs", "export", "--to", str(to), *more])


def send(to: Destination, out: Path, runs: Sequence[RunRecord]) -> Iterator[int]:
    """Sends finished runs to a tracker; those that it has already stay as they are.

    Yields:
        How many it has, after each.

    Raises:
        VitexpError: it does not take one within :data:`PATIENCE`.
    """
    process = Process(to, out)
    try:
        for count, run in enumerate(runs):
            yield count
            if why := process.send(Event(run.status, run.id), PATIENCE):
                raise VitexpError(
                    f"{to} did not take run {run.id} ({why}); {count} of {len(runs)} are there.",
                    "Mend that and repeat the command: it sends what is missing.",
                )
        process.end(PATIENCE)
        yield len(runs)
    finally:
        process.kill()
