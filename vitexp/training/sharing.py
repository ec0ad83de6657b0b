"""Several runs on one device, in turns: where a model is too small to keep it busy alone.

Each run has a stream of its own, so the device computes them side by side; each computes what it
would compute alone. How many there are is found out by trying: one more as long as that is faster.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Hashable, Mapping

import torch

from vitexp.models.memory import SLACK, training_bytes
from vitexp.spec import RunSpec
from vitexp.training.determinism import set_deterministic
from vitexp.training.host import Waits

FASTER = 1.05
"""A further run has to speed all of them together up by this factor."""

SETTLE_SECONDS, WINDOW_SECONDS = 0.5, 1.0
"""What is not measured after a run has joined, and what is."""

WINDOWS, WINDOW_TURNS = 4, 8
"""How a run is timed alone: the shortest of so many times so many turns."""

POLL_SECONDS = 1e-4


class ActiveRun:
    """A run among others.

    Attributes:
        kind: runs of one kind take about the same time.
        most: how many runs, itself included, shared the device at most.
        taken: turns so far.
        alone: seconds that a turn takes while the others rest; None before that is known.
        seconds_charged: seconds of the device; those of a shared one are divided.
    """

    def __init__(self, kind: Hashable, stream: torch.cuda.Stream | None) -> None:
        self.kind, self.stream = kind, stream
        self.most, self.taken, self.seconds_charged = 1, 0, 0.0
        self.alone: float | None = None
        self._waits: torch.cuda.Event | None = None
        self._deterministic = torch.are_deterministic_algorithms_enabled()

    def ready(self) -> bool:
        """Whether what the last turn said has happened."""
        return self._waits is None or bool(self._waits.query())  # type: ignore[no-untyped-call]

    def wait(self) -> None:
        """Until it has."""
        if self._waits is not None:
            self._waits.synchronize()

    def turn(self, turns: Waits) -> bool:
        """Takes a turn; whether there was one."""
        # The process's, which a neighbour may have changed meanwhile.
        if torch.are_deterministic_algorithms_enabled() != self._deterministic:
            set_deterministic(self._deterministic)
        with torch.cuda.stream(self.stream):
            try:
                self._waits = next(turns)
            except StopIteration:
                return False
        self._deterministic = torch.are_deterministic_algorithms_enabled()
        self.taken += 1
        return True


class ActiveRuns:
    """The runs that share a device.

    Args:
        device: which.
        most: how many there may be; with one nothing is measured.
        ask: called with how many runs there should be, whenever that changes.
    """

    def __init__(self, device: torch.device, most: int, ask: Callable[[int], None]) -> None:
        self.device, self.most, self._ask = device, most, ask
        self.capacity = 1
        self._turns: dict[ActiveRun, Waits] = {}
        self._charged: list[ActiveRun] = []
        self._read = time.perf_counter()
        # Streams that are used again: two runs at the same time never have the same.
        self._streams = [
            torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
            for _ in range(most if device.type == "cuda" and most > 1 else 0)
        ]
        self._speedups: dict[Hashable, dict[int, float]] = {}
        self._window: _Window | None = None

    def __len__(self) -> int:
        return len(self._turns)

    def start(self, kind: Hashable, begin: Callable[[ActiveRun], Waits]) -> None:
        """A run joins the others; they rest while it is made ready and timed alone."""
        run = ActiveRun(kind, self._streams.pop() if self._streams else None)
        self._turns[run] = begin(run)
        for each in self._turns:
            each.most = max(each.most, len(self))
        self._charge([run])
        if self.most > 1:
            self._time_alone(run)
        self._joined_or_left()

    def seconds(self, run: ActiveRun) -> float:
        """The seconds charged to ``run`` so far."""
        now = time.perf_counter()
        for charged in self._charged:
            charged.seconds_charged += (now - self._read) / len(self._charged)
        self._read = now
        return run.seconds_charged

    def turn(self) -> None:
        """A turn of each run that can take one."""
        ready = [run for run in self._turns if run.ready()]
        for run in ready:
            if not self._turn(run):
                self._joined_or_left()
        if not ready:
            self._rest()
        if self._window is not None and self._window.over():
            self._measured(self._window)

    def _rest(self) -> None:
        if len(self) == 1:
            next(iter(self._turns)).wait()
        else:
            time.sleep(POLL_SECONDS)

    def _turn(self, run: ActiveRun) -> bool:
        if run.turn(self._turns[run]):
            return True
        del self._turns[run]
        self._tidy()
        if run.stream is not None:
            self._streams.append(run.stream)
        return False

    def _tidy(self) -> None:
        """Models that ended may wait for the collector, their graphs and memory with them."""
        if self.device.type == "cuda":
            gc.collect()
            torch.cuda.empty_cache()

    def _charge(self, runs: list[ActiveRun]) -> None:
        """From now on these share what the device's time costs."""
        for run in self._charged[:1]:
            self.seconds(run)
        self._charged, self._read = runs, time.perf_counter()

    def _joined_or_left(self) -> None:
        self._charge(list(self._turns))
        self._window = _Window(self._charged) if self.most > 1 and self._turns else None

    def _time_alone(self, run: ActiveRun) -> None:
        """The first turns of a run, in which it is made ready, do not count."""
        times = []
        for window in range(WINDOWS + 1):
            self._finish()
            began = time.perf_counter()
            for _ in range(WINDOW_TURNS):
                run.wait()
                if not self._turn(run):
                    return
            self._finish()
            if window:
                times.append((time.perf_counter() - began) / WINDOW_TURNS)
        run.alone = min(times)

    def _finish(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def _measured(self, window: _Window) -> None:
        self._window = None
        speedup = window.speedup()
        if speedup is None:
            return
        known = self._speedups.setdefault(self._charged[-1].kind, {1: 1.0})
        known[len(self)] = speedup
        if (capacity := wanted(known, self.most)) != self.capacity:
            self.capacity = capacity
            self._ask(capacity)


class _Window:
    """How far some runs come in a while, in seconds that each would have taken alone."""

    def __init__(self, runs: list[ActiveRun]) -> None:
        self._runs = list(runs)
        self._begin = time.perf_counter() + SETTLE_SECONDS
        self._from: list[int] | None = None

    def over(self) -> bool:
        now = time.perf_counter()
        if self._from is None and now >= self._begin:
            self._begin, self._from = now, [run.taken for run in self._runs]
        return self._from is not None and now >= self._begin + WINDOW_SECONDS

    def speedup(self) -> float | None:
        """How much faster than one after the other; None where one was not timed alone."""
        assert self._from is not None
        seconds = time.perf_counter() - self._begin
        alone = [run.alone for run in self._runs]
        work = [
            (run.taken - before) * each
            for run, before, each in zip(self._runs, self._from, alone, strict=True)
            if each is not None
        ]
        return sum(work) / seconds if None not in alone else None


def wanted(speedups: Mapping[int, float], most: int) -> int:
    """How many runs to have at once.

    Args:
        speedups: so many runs at once -> how much faster than one after the other; 1 is in it.
        most: more are not tried.

    Returns:
        The first number after which one more was not faster, or has not been tried.
    """
    runs = 1
    while runs < most:
        if runs + 1 not in speedups:
            return runs + 1
        if speedups[runs + 1] < FASTER * speedups[runs]:
            break
        runs += 1
    return runs


def has_room(spec: RunSpec, device: torch.device, memory: int | None) -> bool:
    """Whether a run fits beside those that have their memory already.

    Args:
        memory: bytes for all of them; None where that is not known.
    """
    need = training_bytes(spec.model, spec.recipe.batch)
    taken = torch.cuda.memory_reserved(device) if device.type == "cuda" else 0
    return memory is None or (need is not None and SLACK * need <= memory - taken)
