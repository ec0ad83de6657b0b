"""This program beside its peers, in rounds that take turns, so that all meet the same weather."""

from __future__ import annotations

import json
import math
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from statistics import median
from typing import Any

from tools.bench.contenders import OURS, PEERS, STACKED, TOGETHER
from vitexp.launch import pool
from vitexp.launch.devices import cores
from vitexp.models import count
from vitexp.models.count import TRAINING_FLOPS
from vitexp.spec import ModelSpec, to_json

HANGING, SLOW_STEPS = 10, 20.0
"""So many times its seconds, and seconds for steps under way, a turn may take."""


@dataclass(frozen=True)
class Course:
    """What is trained.

    Attributes:
        name: for the table.
        rounds, seconds: how often each contender's turn comes, and for how long.
        together: how many runs of ours also share one CUDA device, beside its peers.
        seeds: how many runs of ours one process trains, beside a stacked model of as many; None
            for one, beside its peers.
    """

    name: str
    model: ModelSpec
    batch: int
    precision: str
    rounds: int
    seconds: float
    together: int = 1
    seeds: int | None = None


@dataclass(frozen=True)
class Entry:
    """One contender and how its user runs it; ``seeds``: how many models a process trains."""

    who: str
    compiled: bool
    processes: int
    threads: int
    seeds: int = 1

    @property
    def name(self) -> str:
        return self.who + ", compiled" * self.compiled


def entries(course: Course, device: str) -> list[Entry]:
    """Ours as a grid of runs goes, and peers as their users run them and as ours goes.

    On a CPU that is one process a core with one thread, and one process with all threads.
    """
    if course.seeds is not None:
        several = ((TOGETHER, False), (STACKED, False), (STACKED, True))
        return [Entry(who, compiled, 1, 1, course.seeds) for who, compiled in several]
    alone = Entry("", False, 1, cores())
    ours = Entry("", False, cores(), 1) if device == "cpu" and cores() > 1 else alone
    found = [Entry(OURS, False, ours.processes, ours.threads)]
    if device != "cpu":
        found.append(Entry(OURS, True, ours.processes, ours.threads))
    if device != "cpu" and course.together > 1:
        found.append(Entry(TOGETHER, False, 1, 1, course.together))
    for who in PEERS:
        for compiled in (False, True):
            for way in sorted({alone, ours}, key=lambda way: way.processes):
                found.append(Entry(who, compiled, way.processes, way.threads))
    return found


class Contender:
    """One process of an entry."""

    def __init__(self, entry: Entry, course: Course, device: str) -> None:
        order = {
            "who": entry.who,
            "compiled": entry.compiled,
            "seeds": entry.seeds,
            "model": to_json(course.model),
            "batch": course.batch,
            "precision": course.precision,
            "device": device,
            "threads": entry.threads,
        }
        # As each one's user has it: the system's number of threads, and what our workers are given.
        environment = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
        if entry.who in (OURS, TOGETHER):
            environment |= pool.environment(device)
        self._errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tools.bench.contender", json.dumps(order)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=environment,
        )

    def go(self, seconds: float) -> None:
        assert self.process.stdin is not None
        # One that is gone says so by its answer.
        with suppress(BrokenPipeError):
            self.process.stdin.write(f"{seconds}\n")
            self.process.stdin.flush()

    def answer(self, deadline: float = math.inf) -> dict[str, Any]:
        """What it says next, or why it says nothing.

        Args:
            deadline: how long to wait, by :func:`time.monotonic`.
        """
        assert self.process.stdout is not None
        wait = None if deadline == math.inf else max(0.0, deadline - time.monotonic())
        if not select.select([self.process.stdout], [], [], wait)[0]:
            return {"missing": "it took too long"}
        line = self.process.stdout.readline()
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        self._errors.seek(0)
        said = self._errors.read()
        sys.stderr.write(said)
        words = said.strip().splitlines()
        return {"missing": words[-1] if words else "it ended without a word"}

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


def best(entries: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Of each peer's entries the fastest, by the turns that it took beside ours."""
    peers = [entry for entry in entries if entry["who"] in PEERS]
    slow_to_fast = sorted(peers, key=lambda entry: -entry["ratio"])
    return {entry["who"]: entry for entry in slow_to_fast}


@dataclass(frozen=True)
class Turn:
    """What an entry's processes did in one round.

    Attributes:
        images_per_s: of all together.
        core_seconds_an_image: of a core.
        memory: bytes of a process, at most.
    """

    images_per_s: float
    core_seconds_an_image: float
    memory: int


class Running:
    """An entry and its processes.

    Attributes:
        ready: seconds until all could train; None before.
        said: what they had to tell by then.
        turns: one a round.
    """

    def __init__(self, entry: Entry, group: Sequence[Contender]) -> None:
        self.entry, self.group = entry, group
        self.ready: float | None = None
        self.said: list[str] = []
        self.turns: list[Turn] = []
        self._started = time.perf_counter()

    def wait(self, deadline: float) -> str | None:
        """Until they can train; or why they cannot."""
        said = [contender.answer(deadline) for contender in self.group]
        self.ready = time.perf_counter() - self._started
        self.said = [message for one in said for message in one.get("said", ())]
        return _missing(said)

    def turn(self, course: Course, deadline: float) -> str | None:
        """Trains for a round; or why that went wrong."""
        for contender in self.group:
            contender.go(course.seconds)
        told, step = [c.answer(deadline) for c in self.group], course.batch * self.entry.seeds
        if why := _missing(told):
            return why
        rate = sum(step * one["steps"] / one["seconds"] for one in told)
        cores = sum(one["core_seconds"] for one in told) / sum(step * one["steps"] for one in told)
        self.turns.append(Turn(rate, cores, max(one["memory"] for one in told)))
        return None

    def end(self) -> None:
        for contender in self.group:
            contender.end()


def _missing(said: Sequence[dict[str, Any]]) -> str | None:
    return next((answer["missing"] for answer in said if "missing" in answer), None)


class Race:
    """A course and who runs on it; as a context, at whose end their processes end.

    Attributes:
        missing: name -> why it does not take part.
    """

    def __init__(self, course: Course, device: str) -> None:
        self.course, self.device = course, device
        self.missing: dict[str, str] = {}
        self._all: list[Running] = []
        self._racing: list[Running] = []

    def __enter__(self) -> Race:
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._racing:
            one.end()

    def start(self, entry: Entry) -> None:
        """Starts an entry's processes, which make themselves ready."""
        group = [Contender(entry, self.course, self.device) for _ in range(entry.processes)]
        self._all.append(Running(entry, group))
        self._racing.append(self._all[-1])

    def wait(self, deadline: float = math.inf) -> None:
        """Until all who were started are ready, or out."""
        for one in [one for one in self._racing if one.ready is None]:
            if why := one.wait(deadline):
                self._leave(one, why)

    def round(self, deadline: float = math.inf) -> None:
        """Each entry's turn, one after the other."""
        for one in list(self._racing):
            # One that hangs must not take the turns of all others.
            patience = time.monotonic() + HANGING * self.course.seconds + SLOW_STEPS
            if why := one.turn(self.course, min(deadline, patience)):
                self._leave(one, why)

    def _leave(self, one: Running, why: str) -> None:
        one.end()
        self._racing.remove(one)
        entry = one.entry
        self.missing[entry.name if entry.compiled else entry.who] = why
        say(f"  {entry.name} does not take part: {why}")

    def result(self) -> dict[str, Any]:
        """What was measured so far, as JSON.

        The course; ``entries``, each with ``images_per_s`` (of all its models together; median),
        ``rounds``, ``flops_per_s`` (by the paper's count, whoever computes less), ``ready``
        (seconds), ``said`` (what it told meanwhile), ``memory`` (bytes of a process) and
        ``ratio``: the median over rounds of the first entry's over theirs; ``core_ratio``: of
        theirs over the first one's in seconds of a core that an image takes, which other programs
        on the machine disturb less; ``best``: peer -> its entry that the first is ahead of by
        least; ``missing``: name -> why it could not take part.
        """
        course, those = self.course, [one for one in self._all if one.turns]
        found = [_result(one, those[0].turns, course.model) for one in those]
        return {
            "course": course.name,
            "seeds": course.seeds,
            "model": to_json(course.model),
            "batch": course.batch,
            "precision": course.precision,
            "entries": found,
            "best": best(found),
            "missing": dict(self.missing),
        }


def race(course: Course, device: str) -> dict[str, Any]:
    """All entries of a course, made ready one after the other; :meth:`Race.result`."""
    several = "" if course.seeds is None else f", seeds: {course.seeds}"
    say(f"{course.name}, batch {course.batch}, {course.precision}{several}, on {device}")
    with Race(course, device) as running:
        for entry in entries(course, device):
            if entry.who not in running.missing:
                running.start(entry)
                running.wait()
        for _ in range(course.rounds):
            running.round()
        found = running.result()
    for one in found["entries"]:
        name = one["who"] + ", compiled" * one["compiled"]
        say(
            f"  {name:22} {one['processes']} x {one['threads']} thread"
            f" {one['images_per_s']:10.1f} images/s   ours is {one['ratio']:.2f} x"
            f" ({one['core_ratio']:.2f} x by core seconds)"
        )
    return found


def _result(one: Running, ours: Sequence[Turn], model: ModelSpec) -> dict[str, Any]:
    rates, pairs = (
        [turn.images_per_s for turn in one.turns],
        list(zip(ours, one.turns, strict=False)),
    )
    entry, rate = one.entry, median(rates)
    return {
        "who": entry.who,
        "compiled": entry.compiled,
        "version": _version(entry.who),
        "seeds": entry.seeds,
        "processes": entry.processes,
        "threads": entry.threads,
        "images_per_s": rate,
        "flops_per_s": TRAINING_FLOPS * (count.macs(model) or 0) * rate,
        "rounds": rates,
        "ratio": median(a.images_per_s / b.images_per_s for a, b in pairs),
        "core_seconds_an_image": median(turn.core_seconds_an_image for turn in one.turns),
        "core_ratio": median(b.core_seconds_an_image / a.core_seconds_an_image for a, b in pairs),
        "ready": one.ready,
        "said": one.said,
        "memory": max(turn.memory for turn in one.turns),
    }


def _version(who: str) -> str | None:
    try:
        return version(PEERS[who][0] if who in PEERS else who.partition(",")[0])
    except PackageNotFoundError:
        return None


def say(text: str) -> None:
    print(text, flush=True)
