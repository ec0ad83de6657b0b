"""How fast this program trains beside its peers, on one device and within some seconds.

    python -m tools.cuda_proof.speed DEVICE UNTIL COURSE...

In two legs: beside peers, and several seeds at once. All contenders of a leg make themselves ready
at the same time, since compiling takes most of it; then they take turns for as many rounds as the
time allows, and every round is told.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import torch

from tools.bench.__main__ import DIGITS, TI, B
from tools.bench.contenders import OURS
from tools.bench.race import Course, Entry, Race, entries
from tools.cuda_proof.answers import Answers
from vitexp.launch.devices import memory
from vitexp.models.memory import training_bytes
from vitexp.training.environment import synchronise
from vitexp.training.fallback import first_line
from vitexp.training.peak import peak

CEILINGS = "ceilings"
FIRST_SHARE = 0.65
"""Of the time, for the courses beside peers; the rest is for several seeds at once, since all of
them together would not fit the device."""

READY_SHARE = 0.55
"""Of a leg's time, at most, until the contenders are ready; who is not is left out."""

ROUNDS, MOST_ROUNDS = 3, 7
"""So many make a result; more are not run."""

MEMORY_SHARE, HALF = 0.8, 0.6
"""Of the device's memory, for all contenders of a leg; and what mixed precision takes of the
estimate for float32."""

CONTEXT = 0.6e9
"""Bytes of the device that a process has before it holds anything."""

LARGE = "ViT-B/16, 224 px"
COURSES: dict[str, Course] = {
    "ViT-Ti/4, 32 px": Course("ViT-Ti/4, 32 px", TI, 128, "bf16", ROUNDS, 0.5),
    LARGE: Course(LARGE, B, 128, "bf16", ROUNDS, 1.0),
    **{
        f"ViT-Ti/4, {seeds} seeds": Course(
            "ViT-Ti/4, 32 px", TI, 128, "bf16", ROUNDS, 0.7, seeds=seeds
        )
        for seeds in (1, 4, 8)
    },
}
QUICK: dict[str, Course] = {
    "quick": Course("quick", DIGITS, 8, "fp32", ROUNDS, 0.05),
    "too large": Course(LARGE, B, 2**30, "bf16", ROUNDS, 0.05),
}
"""To try the way through all this where there is no CUDA."""


def ceilings(device: torch.device) -> dict[str, Any]:
    """The best rates: FLOP/s of a matrix product, bytes that a copy reads and writes a second."""
    threads = torch.get_num_threads()
    products = {
        name: peak(device, dtype, threads).flops_per_s
        for name, dtype in (("bf16", torch.bfloat16), ("fp32", torch.float32))
    }
    found = {"flops_per_s": products, "copied_bytes_per_s": copied(device)}
    if device.type == "cuda":
        torch.cuda.empty_cache()
    return found


def copied(device: torch.device, times: int = 10) -> float:
    """The best of some copies that no cache holds."""
    source = torch.ones(2**28 if device.type == "cuda" else 2**26, device=device)
    target, best = torch.empty_like(source), 0.0
    for _ in range(times):
        synchronise(device)
        start = time.perf_counter()
        target.copy_(source)
        synchronise(device)
        best = max(best, 2 * source.nbytes / (time.perf_counter() - start))
    return best


def lineup(course: Course, device: str) -> list[Entry]:
    """Who takes part; where all this is only tried, few do."""
    everybody = entries(course, device)
    if device.startswith("cuda"):
        return everybody
    return [e for e in everybody if e.who in (OURS, "transformers") and not e.compiled][:2]


def fitted(course: Course, device: str, taken: float) -> tuple[Course, float] | str:
    """``course`` with the largest batch, halved at most twice, with which all its contenders fit
    the device beside what is ``taken``, and what they take, in bytes; or why there is none."""
    have, field, need = memory(device) or math.inf, lineup(course, device), 0.0
    for batch in (course.batch >> halvings for halvings in range(3)):
        models = sum(entry.seeds for entry in field)
        need = CONTEXT * len(field) + HALF * models * (training_bytes(course.model, batch) or 0)
        if taken + need <= MEMORY_SHARE * have:
            return replace(course, batch=batch), need
    there = (MEMORY_SHARE * have - taken) / 1e9
    return f"{len(field)} programs side by side need {need / 1e9:.0f} GB of {there:.0f} GB"


def run(device: str, until: float, names: Sequence[str], answers: Answers) -> None:
    """One leg after the other.

    Args:
        until: the end, by :func:`time.monotonic`.
    """
    known = {**COURSES, **QUICK}
    courses = {name: known[name] for name in names if name != CEILINGS}
    several = {name: course for name, course in courses.items() if course.seeds is not None}
    one = {name: course for name, course in courses.items() if name not in several}
    now = time.monotonic()
    half = now + (until - now) * (FIRST_SHARE if several else 1.0)
    if one or CEILINGS in names:
        leg(device, half, one, answers, measured=CEILINGS in names)
    if several:
        leg(device, until, several, answers)


def leg(
    device: str, until: float, courses: dict[str, Course], answers: Answers, measured: bool = False
) -> None:
    """Starts everybody, waits, and lets them take turns.

    Args:
        measured: whether the device's ceilings are, too, while all others still load.
    """
    began, taken = time.monotonic(), 0.0
    with ExitStack() as stack:
        races: dict[str, Race] = {}
        for name, course in courses.items():
            answers.say(name, "begun")
            found = fitted(course, device, taken)
            if isinstance(found, str):
                answers.say(name, "missing", error=found)
                continue
            races[name], taken = stack.enter_context(Race(found[0], device)), taken + found[1]
            for entry in lineup(course, device):
                races[name].start(entry)
        if measured:
            _measure_ceilings(torch.device(device), answers)
        for race in races.values():
            race.wait(began + READY_SHARE * (until - began))
        for number in range(1, MOST_ROUNDS + 1):
            started = time.monotonic()
            for name, race in races.items():
                race.round(until)
                answers.say(name, "so far", value=race.result())
            now = time.monotonic()
            if now >= until or (number >= ROUNDS and now + (now - started) > until):
                break
        for name, race in races.items():
            value = race.result()
            if value["entries"]:
                answers.say(name, "done", value=value)
            else:
                why = ", ".join(f"{who}: {why}" for who, why in value["missing"].items())
                answers.say(name, "failed", error=why)


def _measure_ceilings(device: torch.device, answers: Answers) -> None:
    answers.say(CEILINGS, "begun")
    try:
        answers.say(CEILINGS, "done", value=ceilings(device))
    except RuntimeError as error:
        answers.say(CEILINGS, "failed", error=first_line(error))


def main() -> None:
    run(sys.argv[1], float(sys.argv[2]), sys.argv[3:], Answers())


if __name__ == "__main__":
    main()
