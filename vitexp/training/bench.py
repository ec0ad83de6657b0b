"""How fast a run trains on this device: its own steps, timed from outside."""

from __future__ import annotations

import time
from typing import Any

import torch

from vitexp.datasets.image_set import ImageSet
from vitexp.errors import VitexpError
from vitexp.models.count import TRAINING_FLOPS
from vitexp.models.counted import executed_macs
from vitexp.runs.wishes import NONE, Wishes
from vitexp.spec import RunSpec
from vitexp.training.environment import environment, peak_memory, synchronise
from vitexp.training.host import Progress
from vitexp.training.loop import train
from vitexp.training.peak import peak
from vitexp.training.probe import Trial
from vitexp.training.step import DTYPES

WARM_STEPS, WARM_SECONDS = 3, 1.0
"""What is not measured: so many steps at least, and so long after the first of them."""

WINDOW_SECONDS = 0.05
"""About how long the device goes on between two looks at the clock."""

LONGEST_STEP = 0.5
"""Seconds that a step may take at the device's peak; longer ones would need minutes."""


class Stopwatch(Trial):
    """Looks at the clock once the device has done its steps.

    Attributes:
        windows: (start, end, steps), in seconds of the machine's monotonic clock, which all
            its processes share.
    """

    def __init__(self, device: torch.device, seconds: float) -> None:
        self.device, self.seconds = device, seconds
        self.windows: list[tuple[float, float, int]] = []
        self._step, self._look = 0, 1
        self._warm: float | None = None
        self._last = 0.0, 0

    def report(self, progress: Progress) -> None:
        self._step += 1
        if self._step < self._look:
            return
        synchronise(self.device)
        now, (start, step) = time.monotonic(), self._last
        self._last, self._look = (now, self._step), self._step + 1
        if self._warm is None:
            self._warm = now + WARM_SECONDS
        elif self._step > WARM_STEPS and start >= self._warm:
            steps = self._step - step
            self.windows.append((start, now, steps))
            self._look = self._step + max(1, round(WINDOW_SECONDS * steps / (now - start)))

    def stopping(self) -> bool:
        windows = self.windows
        return len(windows) > 1 and windows[-1][1] - windows[0][0] >= self.seconds


def bench(
    spec: RunSpec,
    images: ImageSet,
    device: torch.device,
    threads: int,
    seconds: float,
    wishes: Wishes = NONE,
    memory: int | None = None,
) -> dict[str, Any]:
    """Trains ``spec`` for a while and forgets it.

    Args:
        seconds: how long to measure, the warm-up not counted; two steps are measured at least.
        threads, wishes, memory: as for :func:`vitexp.training.loop.train`.

    Returns:
        ``windows`` (see :class:`Stopwatch`), ``macs_executed`` of an image or None,
        ``peak_flops_per_s``, ``peak_memory`` in bytes, and ``environment``, as JSON.

    Raises:
        VitexpError: a step would take too long.
    """
    torch.set_num_threads(threads)
    found = peak(device, DTYPES[spec.precision], threads)
    macs = executed_macs(spec.model)
    _check_step(spec.recipe.batch, macs, found.flops_per_s)
    watch = Stopwatch(device, seconds)
    train(spec, images, watch, device, threads, wishes=wishes, memory=memory)
    return {
        "windows": watch.windows,
        "macs_executed": macs,
        "peak_flops_per_s": found.flops_per_s,
        "peak_memory": peak_memory(device),
        "environment": environment(device),
    }


def _check_step(batch: int, macs: int | None, peak_flops_per_s: float) -> None:
    image = TRAINING_FLOPS * (macs or 0) / peak_flops_per_s
    if batch * image > LONGEST_STEP:
        raise VitexpError(
            f"A step of {batch} images takes {batch * image:.0f} s here at the very least.",
            f"Use a --batch of at most {max(1, int(LONGEST_STEP / image))}.",
        )
