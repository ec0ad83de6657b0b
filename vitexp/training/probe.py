"""How long a step takes, from a few of them."""

from __future__ import annotations

import statistics
import time

import torch

from vitexp.datasets.image_set import ImageSet
from vitexp.runs.wishes import Wishes
from vitexp.spec import RunSpec
from vitexp.training.loop import Progress, train
from vitexp.training.trial import Trial

WARM_UP = 3
STEPS = 12
SECONDS = 5.0


class _Probed(Trial):
    """A trial that stops after some steps or seconds."""

    def __init__(self) -> None:
        self.times = [time.perf_counter()]

    def report(self, progress: Progress) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.times.append(time.perf_counter())

    def stopping(self) -> bool:
        measured = len(self.times) - 1 - WARM_UP
        return measured >= STEPS or (measured >= 1 and self.times[-1] - self.times[0] > SECONDS)


def seconds_per_step(
    spec: RunSpec,
    images: ImageSet,
    device: torch.device,
    threads: int,
    wishes: Wishes,
    memory: int | None,
) -> float:
    """The median time of a training step of ``spec`` on this device, in seconds."""
    host = _Probed()
    train(spec, images, host, device, threads, wishes=wishes, memory=memory)
    gaps = [b - a for a, b in zip(host.times, host.times[1:], strict=False)]
    return statistics.median(gaps[WARM_UP:] or gaps)
