"""This program beside its peers, in rounds that take turns, so that all meet the same weather."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from statistics import median
from typing import Any

from tools.bench.contenders import OURS, PEERS, STACKED, TOGETHER
from vitexp.launch import pool
from vitexp.launch.devices import cores
from vitexp.spec import ModelSpec, to_json


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
        self.process.stdin.write(f"{seconds}\n")
        self.process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        self._errors.seek(0)
        words = self._errors.read().strip().splitlines()
        return {"missing": words[-1] if words else "it ended without a word"}

    def leave(self) -> int | None:
        """Ends the process; the bytes that it took at most."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        memory = self.answer().get("memory")
        self.process.wait()
        return memory


def race(course: Course, device: str) -> dict[str, Any]:
    """Images a second of every entry in every round, and what ours is ahead by.

    Returns:
        JSON: the course; ``entries``, each with ``images_per_s`` (of all its models together;
        median), ``rounds``, ``ready`` (seconds), ``memory`` (bytes of a process) and ``ratio``:
        the median over rounds of ours over theirs; ``core_ratio``: of theirs over ours in seconds
        of a core that an image takes, which other programs on the machine disturb less;
        ``best``: peer -> its entry that ours is ahead of by least; ``missing``: name -> why it
        could not take part.
    """
    several = "" if course.seeds is None else f", seeds: {course.seeds}"
    say(f"{course.name}, batch {course.batch}, {course.precision}{several}, on {device}")
    running: list[tuple[Entry, list[Contender], float]] = []
    missing: dict[str, str] = {}
    with _ended(running):
        for entry in entries(course, device):
            if entry.who in missing:
                continue
            group, start = [Contender(entry, course, device) for _ in range(entry.processes)], 0.0
            start = time.perf_counter()
            running.append((entry, group, start))
            said = [contender.answer() for contender in group]
            if why := next((answer["missing"] for answer in said if "missing" in answer), None):
                running.pop()
                missing[entry.who if not entry.compiled else entry.name] = why
                say(f"  {entry.name} does not take part: {why}")
                continue
            running[-1] = (entry, group, time.perf_counter() - start)
        rounds = [_round(course, running) for _ in range(course.rounds)]
        memory = [max(c.leave() or 0 for c in group) for _, group, _ in running]
    found = [
        _result(entry, ready, [r[i] for r in rounds], [r[0] for r in rounds], memory[i])
        for i, (entry, _, ready) in enumerate(running)
    ]
    for (entry, *_), one in zip(running, found, strict=True):
        say(
            f"  {entry.name:22} {one['processes']} x {one['threads']} thread"
            f" {one['images_per_s']:10.1f} images/s   ours is {one['ratio']:.2f} x"
            f" ({one['core_ratio']:.2f} x by core seconds)"
        )
    return {
        "course": course.name,
        "seeds": course.seeds,
        "model": to_json(course.model),
        "batch": course.batch,
        "precision": course.precision,
        "entries": found,
        "best": best(found),
        "missing": missing,
    }


def best(entries: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Of each peer's entries the fastest, by the turns that it took beside ours."""
    peers = [entry for entry in entries if entry["who"] in PEERS]
    slow_to_fast = sorted(peers, key=lambda entry: -entry["ratio"])
    return {entry["who"]: entry for entry in slow_to_fast}


@dataclass(frozen=True)
class Turn:
    """What an entry's processes did in one round: all together a second, and of a core."""

    images_per_s: float
    core_seconds_an_image: float


def _round(course: Course, running: list[tuple[Entry, list[Contender], float]]) -> list[Turn]:
    """Each entry's turn, one after the other."""
    turns = []
    for entry, group, _ in running:
        for contender in group:
            contender.go(course.seconds)
        told, step = [contender.answer() for contender in group], course.batch * entry.seeds
        rate = sum(step * one["steps"] / one["seconds"] for one in told)
        images = step * sum(one["steps"] for one in told)
        turns.append(Turn(rate, sum(one["core_seconds"] for one in told) / images))
    return turns


def _result(
    entry: Entry, ready: float, turns: list[Turn], ours: list[Turn], memory: int
) -> dict[str, Any]:
    rates = [turn.images_per_s for turn in turns]
    pairs = list(zip(ours, turns, strict=True))
    return {
        "who": entry.who,
        "compiled": entry.compiled,
        "version": _version(entry.who),
        "seeds": entry.seeds,
        "processes": entry.processes,
        "threads": entry.threads,
        "images_per_s": median(rates),
        "rounds": rates,
        "ratio": median(a.images_per_s / b.images_per_s for a, b in pairs),
        "core_seconds_an_image": median(turn.core_seconds_an_image for turn in turns),
        "core_ratio": median(b.core_seconds_an_image / a.core_seconds_an_image for a, b in pairs),
        "ready": ready,
        "memory": memory,
    }


def _version(who: str) -> str | None:
    try:
        return version(PEERS[who][0] if who in PEERS else who.partition(",")[0])
    except PackageNotFoundError:
        return None


@contextmanager
def _ended(running: list[tuple[Entry, list[Contender], float]]) -> Iterator[None]:
    try:
        yield
    finally:
        for _, group, _ in running:
            for contender in group:
                if contender.process.poll() is None:
                    contender.process.kill()


def say(text: str) -> None:
    print(text, flush=True)
