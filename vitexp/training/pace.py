"""How long a step takes, from a few of them."""

from __future__ import annotations

import statistics
import time
from abc import ABC, abstractmethod
from dataclasses import replace

import torch

from vitexp.datasets.image_set import ImageSet
from vitexp.runs.options import ExecutionOptions
from vitexp.spec import RunSpec
from vitexp.training.environment import synchronise
from vitexp.training.execution import COMPILED_FROM
from vitexp.training.host import Progress, State
from vitexp.training.loop import train

WARM_UP = 3
STEPS = 12
SECONDS = 5.0


class Trial(ABC):
    """A host of a run that is only timed: nothing is kept, and it never ends by itself."""

    def restore(self) -> State | None:
        return None

    def save(self, state: State) -> None:
        return None

    def checkpoint_due(self) -> bool:
        return False

    def reads_test(self) -> int:
        raise AssertionError("a trial never ends")

    def say(self, message: str) -> None:
        return None

    @abstractmethod
    def report(self, progress: Progress) -> None:
        """Takes note of a step."""

    @abstractmethod
    def stopping(self) -> bool:
        """Whether it was enough."""


class _Timed(Trial):
    """Stops after some steps or seconds."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.times = device, [time.perf_counter()]

    def report(self, progress: Progress) -> None:
        synchronise(self.device)
        self.times.append(time.perf_counter())

    def stopping(self) -> bool:
        measured = len(self.times) - 1 - WARM_UP
        return measured >= STEPS or (measured >= 1 and self.times[-1] - self.times[0] > SECONDS)


def seconds_per_step(
    spec: RunSpec,
    images: ImageSet,
    device: torch.device,
    threads: int,
    options: ExecutionOptions,
    memory: int | None,
) -> float:
    """The median time of a training step of ``spec`` on this device, in seconds.

    The steps are not compiled: that would take longer than all else that the answer takes.
    """
    host = _Timed(device)
    recipe = replace(spec.recipe, steps=min(spec.recipe.steps, COMPILED_FROM - 1))
    train(
        replace(spec, recipe=recipe), images, host, device, threads, options=options, memory=memory
    )
    gaps = [b - a for a, b in zip(host.times, host.times[1:], strict=False)]
    return statistics.median(gaps[WARM_UP:] or gaps)
