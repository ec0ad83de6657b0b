"""One contender's process: trains for as long as each line of its standard input says.

``python -m tools.bench.contender JSON``. It answers {"ready": seconds, "said": [...]} or
{"missing": why}, then to each line {"steps": n, "seconds": s, "core_seconds": c, "memory": bytes}.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import time
from typing import Any, TextIO

import torch

from tools.bench.contenders import (
    OURS,
    PEERS,
    STACKED,
    TOGETHER,
    Stepping,
    feeds,
    our_run,
    peer_step,
    together,
)
from tools.bench.stacked import StackedStep
from vitexp.runs.options import DEFAULTS, ExecutionOptions
from vitexp.spec import ModelSpec, from_json
from vitexp.training.environment import peak_memory, synchronise
from vitexp.training.execution import DTYPES
from vitexp.training.host import Progress
from vitexp.training.loop import train
from vitexp.training.pace import Trial

WARM_STEPS = 4
LEAST_STEPS = 2


class Rounds(Trial):
    """Lets a training go on in rounds, and tells how far each has come."""

    def __init__(self, device: torch.device, answers: TextIO) -> None:
        self._device, self._answers = device, answers
        self._steps, self._started = 0, time.perf_counter()
        self._cores = time.process_time()
        self._seconds: float | None = None
        self._said: list[str] = []

    def say(self, message: str) -> None:
        """What is told with the first answer, such as that a part of the fast path failed."""
        self._said.append(message)

    def report(self, progress: Progress | None) -> None:
        self._steps += 1

    def stopping(self) -> bool:
        """Asked before each step; between two rounds it waits for the next."""
        least = WARM_STEPS if self._seconds is None else LEAST_STEPS
        if self._steps < least or time.perf_counter() - self._started < (self._seconds or 0):
            return False
        synchronise(self._device)
        spent = time.perf_counter() - self._started
        if self._seconds is None:
            self.answer({"ready": spent, "said": self._said})
        else:
            cores = time.process_time() - self._cores
            said = {"steps": self._steps, "seconds": spent, "core_seconds": cores}
            self.answer({**said, "memory": peak_memory(self._device)})
        line = sys.stdin.readline()
        if not line:
            return True
        self._seconds, self._steps = float(line), 0
        self._started, self._cores = time.perf_counter(), time.process_time()
        return False

    def answer(self, value: dict[str, Any]) -> None:
        self._answers.write(json.dumps(value) + "\n")
        self._answers.flush()


def main() -> None:
    order = json.loads(sys.argv[1])
    # Whatever a library prints must not end up among the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    device, model = torch.device(order["device"]), from_json(ModelSpec, order["model"])
    torch.set_num_threads(order["threads"])
    rounds = Rounds(device, answers)
    WAYS.get(order["who"], _peer)(order, model, device, rounds)
    # What a compiler has left running must not hold up the end.
    os._exit(0)


def _ours(order: dict[str, Any], model: ModelSpec, device: torch.device, rounds: Rounds) -> None:
    spec, images = our_run(model, order["batch"], order["precision"])
    train(spec, images, rounds, device, order["threads"], options=_options(order, device))


def _options(order: dict[str, Any], device: torch.device) -> ExecutionOptions:
    """On a CPU this program's users have what it chooses; on CUDA both ways race, and one that
    could not be compiled is not among the compiled."""
    compiled = order["compiled"]
    return (
        DEFAULTS if device.type == "cpu" else ExecutionOptions(compiled=compiled, strict=compiled)
    )


def _together(
    order: dict[str, Any], model: ModelSpec, device: torch.device, rounds: Rounds
) -> None:
    spec, images = our_run(model, order["batch"], order["precision"])
    runs = [spec.seeded(seed) for seed in range(order["seeds"])]
    options = _options(order, device)
    _drive(together(runs, images, device, order["threads"], options, rounds.say), rounds)


def _stacked(order: dict[str, Any], model: ModelSpec, device: torch.device, rounds: Rounds) -> None:
    spec, images = our_run(model, order["batch"], order["precision"])
    runs = [spec.seeded(seed) for seed in range(order["seeds"])]
    _drive(StackedStep(runs, feeds(runs, images, device), device, order["compiled"]), rounds)


WAYS = {OURS: _ours, TOGETHER: _together, STACKED: _stacked}


def _drive(step: Stepping, rounds: Rounds) -> None:
    for number in itertools.count():
        if rounds.stopping():
            break
        step(number)
        rounds.report(None)


def _peer(order: dict[str, Any], model: ModelSpec, device: torch.device, rounds: Rounds) -> None:
    try:
        built = PEERS[order["who"]][1](model)
    except ImportError as error:
        rounds.answer({"missing": str(error)})
        sys.exit()
    if order["compiled"]:
        built.compile()
    step = peer_step(built, model, order["batch"], device, DTYPES[order["precision"]])
    _drive(lambda _: step(), rounds)


if __name__ == "__main__":
    main()
