"""How fast this program trains beside its peers, on one device and within some seconds.

    python -m tools.cuda_proof.speed DEVICE SECONDS COURSE...

All contenders of all courses make themselves ready at the same time, since compiling takes most of
it; then they take turns for as many rounds as the time allows, and every round is told.
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
from vitexp.training.peak import peak

CEILINGS = "ceilings"
READY_SHARE = 0.55
"""Of the time, at most, until the contenders are ready; who is not is left out."""

ROUNDS, MOST_ROUNDS = 3, 7
"""So many make a result; more are not run."""

MEMORY_SHARE, HALF = 0.8, 0.6
"""Of the device's memory, for all contenders of a course; and what mixed precision takes of the
estimate for float32."""

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
    return {"flops_per_s": products, "copied_bytes_per_s": copied(device)}


def copied(device: torch.device, times: int = 10) -> float:
    """The best of some copies that no cache holds."""
    source = torch.ones(2**30 if device.type == "cuda" else 2**26, device=device)
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


def fitted(course: Course, device: str) -> Course | str:
    """``course`` with the largest batch, halved at most twice, with which all its contenders fit
    the device side by side; or why there is none."""
    have, many, need = memory(device) or math.inf, len(lineup(course, device)), 0.0
    for batch in (course.batch >> halvings for halvings in range(3)):
        need = HALF * many * (training_bytes(course.model, batch) or 0)
        if need <= MEMORY_SHARE * have:
            return replace(course, batch=batch)
    return f"{many} programs side by side need {need / 1e9:.0f} GB; there are {have / 1e9:.0f} GB"


def run(device: str, seconds: float, names: Sequence[str], answers: Answers) -> None:
    """Starts everybody, waits, and lets them take turns."""
    known = {**COURSES, **QUICK}
    began = time.monotonic()
    with ExitStack() as stack:
        races: dict[str, Race] = {}
        for name in names:
            if name == CEILINGS:
                continue
            answers.say(name, "begun")
            found = fitted(known[name], device)
            if isinstance(found, str):
                answers.say(name, "missing", error=found)
                continue
            races[name] = stack.enter_context(Race(found, device))
            for entry in lineup(found, device):
                races[name].start(entry)
        if CEILINGS in names:
            # The contenders are still loading their libraries, so the device is free.
            answers.say(CEILINGS, "begun")
            answers.say(CEILINGS, "done", value=ceilings(torch.device(device)))
        for race in races.values():
            race.wait(began + READY_SHARE * seconds)
        for number in range(1, MOST_ROUNDS + 1):
            started = time.monotonic()
            for name, race in races.items():
                race.round(began + seconds)
                answers.say(name, "so far", value=race.result())
            now = time.monotonic()
            if number >= ROUNDS and now + (now - started) > began + seconds:
                break
        for name, race in races.items():
            value = race.result()
            if value["entries"]:
                answers.say(name, "done", value=value)
            else:
                why = ", ".join(f"{who}: {why}" for who, why in value["missing"].items())
                answers.say(name, "failed", error=why)


def main() -> None:
    run(sys.argv[1], float(sys.argv[2]), sys.argv[3:], Answers())


if __name__ == "__main__":
    main()
