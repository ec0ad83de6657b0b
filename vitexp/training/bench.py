"""How fast a run trains on this device: its own steps, timed from outside."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch

from vitexp.datasets.image_set import ImageSet
from vitexp.models.counted import executed_macs
from vitexp.runs.options import DEFAULTS, ExecutionOptions
from vitexp.spec import RunSpec
from vitexp.training.environment import environment, peak_memory, synchronise
from vitexp.training.execution import DTYPES
from vitexp.training.host import Progress
from vitexp.training.loop import train
from vitexp.training.pace import Trial
from vitexp.training.peak import peak

WARM_STEPS, WARM_SECONDS = 3, 1.0
"""What is not measured: so many steps at least, and so long after the first of them; of steps that
take longer than that, the first one alone."""

WINDOW_SECONDS = 0.05
"""About how long the device goes on between two looks at the clock."""

WARMING, MEASURING = "warming up", "measuring"

Tell = Callable[[str, int], None]
"""Called with what is being done and the steps so far."""


class Stopwatch(Trial):
    """Looks at the clock once the device has done its steps.

    Args:
        seconds: how long to measure, the warm-up not counted.
        tell: called at each look.
        note: takes what the user has to know.
        stopped: whether to end at once.

    Attributes:
        windows: (start, end, steps), in seconds of the machine's monotonic clock, which all
            its processes share.
    """

    def __init__(
        self,
        device: torch.device,
        seconds: float,
        tell: Tell = lambda what, steps: None,
        note: Callable[[str], None] = lambda message: None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self.device, self.seconds = device, seconds
        self._tell, self._note, self._stopped = tell, note, stopped
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
        elif (self._step > WARM_STEPS and start >= self._warm) or now - start >= WARM_SECONDS:
            steps = self._step - step
            self.windows.append((start, now, steps))
            self._look = self._step + max(1, round(WINDOW_SECONDS * steps / (now - start)))
        else:
            # What was taken for a long step was a hitch.
            self.windows.clear()
        self._tell(MEASURING if self.windows else WARMING, self._step)

    def say(self, message: str) -> None:
        self._note(message)

    def stopping(self) -> bool:
        windows = self.windows
        enough = len(windows) > 1 and windows[-1][1] - windows[0][0] >= self.seconds
        return enough or self._stopped()


def bench(
    spec: RunSpec,
    images: ImageSet,
    watch: Stopwatch,
    threads: int,
    options: ExecutionOptions = DEFAULTS,
    memory: int | None = None,
) -> dict[str, Any]:
    """Trains ``spec`` for a while and forgets it.

    Args:
        watch: on the device, for as long as is to be measured; two steps are measured at least.
        threads, options, memory: as for :func:`vitexp.training.loop.train`.

    Returns:
        ``windows`` (see :class:`Stopwatch`), ``macs_executed`` of an image or None,
        ``peak_flops_per_s``, ``peak_memory`` in bytes, and ``environment``, as JSON.
    """
    torch.set_num_threads(threads)
    device = watch.device
    found, macs = peak(device, DTYPES[spec.precision], threads), executed_macs(spec.model)
    train(spec, images, watch, device, threads, options=options, memory=memory)
    return {
        "windows": watch.windows,
        "macs_executed": macs,
        "peak_flops_per_s": found.flops_per_s,
        "peak_memory": peak_memory(device),
        "environment": environment(device),
    }
