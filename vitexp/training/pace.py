"""How long the parts of a run take, from a few of its steps."""

from __future__ import annotations

import functools
import itertools
import statistics
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from vitexp.datasets.image_set import ImageSet
from vitexp.evaluation.accuracy import BATCH, classified
from vitexp.models.build import build
from vitexp.runs.options import ExecutionOptions
from vitexp.runs.times import BACKWARD, Times
from vitexp.spec import RunSpec
from vitexp.training.environment import synchronise
from vitexp.training.execution import DTYPES, choose
from vitexp.training.host import Progress, State
from vitexp.training.loop import train
from vitexp.training.peak import peak

STEPS = 15
"""Steps that are timed, at most; one before them is slower and does not count."""

FIRST, GROWTH = 2, 4
"""Images that are classified first, and by how much more each time."""

LOOKING = 0.2
"""Share of the time for that."""

COMPILING = 40.0
"""About how many seconds a process compiles; with what an earlier one has left, fewer."""


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
    """Stops after some steps, or after the second or a later one that ends past a time."""

    def __init__(
        self, device: torch.device, until: float, tell: Callable[[float, float, int], None]
    ) -> None:
        self.device, self.until, self.tell = device, until, tell
        self.times = [time.perf_counter()]

    def report(self, progress: Progress) -> None:
        synchronise(self.device)
        self.times.append(time.perf_counter())
        if self.steps:
            step = statistics.median(b - a for a, b in itertools.pairwise(self.times[1:]))
            self.tell(max(0.0, self.times[1] - self.times[0] - step), step, self.steps)

    def stopping(self) -> bool:
        return self.steps >= STEPS or (self.steps > 0 and self.times[-1] > self.until)

    @property
    def steps(self) -> int:
        """Those that count."""
        return max(0, len(self.times) - 2)


def measured(
    spec: RunSpec,
    images: ImageSet,
    device: torch.device,
    threads: int,
    options: ExecutionOptions,
    memory: int | None,
    seconds: float,
    tell: Callable[[Times, int], None],
) -> None:
    """What the parts of ``spec`` take on this device, by so many seconds of trying.

    Where the time does not suffice for whole batches, smaller ones stand for them. Nothing is
    compiled: that would take longer than all else, and is taken for :data:`COMPILING`. Only
    training images are looked at.

    Args:
        tell: called with what is known, again and again, and the steps that it is from: first
            none, when it is guessed from the forward pass.
    """
    torch.set_num_threads(threads)
    once = _ready(device, DTYPES[spec.precision], threads)
    until = time.perf_counter() + seconds
    image = _image(spec, images, device, LOOKING * seconds)
    batch = spec.recipe.batch
    once += COMPILING * choose(spec, device, threads, options).compiled
    tell(Times(step=BACKWARD * batch * image, image=image, once=once), 0)
    # Time for the first step and another one.
    affordable = int((until - time.perf_counter()) / (2 * BACKWARD * image))
    size = min(batch, max(FIRST, affordable))

    def timed(begin: float, step: float, steps: int) -> None:
        tell(Times(begin, step * batch / size, image, once), steps)

    endless = replace(
        spec.recipe, batch=size, steps=10**9, evaluate_every=10**9, early_stopping=None
    )
    plain = replace(options, compiled=False)
    run, host = replace(spec, recipe=endless), _Timed(device, until, timed)
    train(run, images, host, device, threads, options=plain, memory=memory)


@functools.cache
def _ready(device: torch.device, dtype: torch.dtype, threads: int) -> float:
    """Seconds in which a process loads and measures what its first run needs."""
    began = time.perf_counter()
    # The first optimiser loads much of torch.
    torch.optim.AdamW(nn.Linear(1, 1).parameters())
    peak(device, dtype, threads)
    return time.perf_counter() - began


def _image(spec: RunSpec, images: ImageSet, device: torch.device, seconds: float) -> float:
    """Seconds in which an image is classified, the more at a time the more there is time for."""
    model, dtype = build(spec.model, spec.seed).to(device), DTYPES[spec.precision]

    def taken(count: int) -> float:
        began = time.perf_counter()
        classified(model, images.train, device, dtype, rows=np.arange(count))
        synchronise(device)
        return time.perf_counter() - began

    count, most = FIRST, min(BATCH, len(images.train))
    # The first time is slower, which is all the same where it is a large model's.
    if (found := taken(count)) > seconds:
        return found / count
    while (found := taken(count)) * GROWTH < seconds and count < most:
        count = min(most, GROWTH * count)
    return found / count
