"""The whole optimiser step as one CUDA graph: one launch where there were hundreds."""

from __future__ import annotations

import functools
import math
from collections import deque
from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from vitexp.models.inputs import sent
from vitexp.training.environment import completion

WARM_UPS = 3

AHEAD = 32
"""Steps whose draws go to the device together."""

LEAD = 8
"""Steps that the host may be ahead of the device: enough to draw a block meanwhile, and few, since
a run that is stopped waits for them."""

TOLERANCE = 0.05
"""By how much, relatively, the first loss of a graph may differ from that of the same step
launched: much more than rounding, and less than any wrong step would keep to."""

Inputs = dict[str, Tensor]
"""What was drawn for a step, by name, on the device."""


class Parts(Protocol):
    """What a captured step consists of.

    It is handed over with each step and never kept: a graph that waits for the garbage collector
    takes the scratch memory of the next one on its stream along.
    """

    def draws(self, step: int) -> dict[str, np.ndarray]:
        """What is drawn on the host for a step: arrays by name, of the same shapes each time."""

    def take(self, inputs: Inputs, images: Tensor) -> Tensor:
        """The step; returns its loss. It must not wait for the device."""

    def rehearse(self, inputs: Inputs, images: Tensor) -> Tensor:
        """What of it changes nothing of the run, so that kernels are chosen before; the loss."""


class CapturedStep:
    """A step, captured once and replayed for every other.

    What differs between steps lies on the device for some steps ahead, and the graph looks up its
    own row: all that the host does for a step is to launch it. On another device than CUDA the
    same is done launch by launch.

    Args:
        images: of the first step.
        fixed: whether all steps have these ``images``, so that they need not be copied.
    """

    def __init__(self, images: Tensor, fixed: bool) -> None:
        self._images = images if fixed else images.clone()
        self._fixed, self._device = fixed, images.device
        # The graph reads these tensors, wherever it is replayed.
        self._block: Inputs = {}
        self._row = torch.zeros(1, dtype=torch.int64, device=self._device)
        self._ready = range(0)
        self._graph: Graph | None = None
        self._launched: deque[torch.cuda.Event | None] = deque(maxlen=LEAD)

    def __call__(self, step: int, images: Tensor, parts: Parts) -> Tensor:
        """Takes step ``step``; its loss is overwritten by the next.

        Raises:
            RuntimeError: the graph does not compute what was captured.
        """
        if not self._ready or self._ready[0] != step:
            self._send(step, parts)
        self._ready = self._ready[1:]
        if not self._fixed:
            self._images.copy_(images)
        if first := self._graph is None:
            self._graph = captured(
                lambda: self._take(parts), lambda: self._rehearse(parts), self._device
            )
        if self._graph is None:
            self._take(parts)
            return self._loss
        self._graph.replay()
        self._launched.append(completion(self._device))
        if first:
            self._check()
        return self._loss

    @property
    def backlog(self) -> torch.cuda.Event | None:
        """What happens once the device is fewer than ``LEAD`` steps behind; None if it is now."""
        return self._launched[0] if len(self._launched) == LEAD else None

    def _send(self, first: int, parts: Parts) -> None:
        """Puts the draws of the steps from ``first`` on where the graph looks for them."""
        self._ready = range(first, first + AHEAD)
        drawn = [parts.draws(step) for step in self._ready]
        for name in drawn[0]:
            values = sent(np.stack([one[name] for one in drawn]), self._device)
            if name in self._block:
                self._block[name].copy_(values)
            else:
                self._block[name] = values
        self._row.zero_()

    def _take(self, parts: Parts) -> None:
        self._loss = parts.take(self._inputs(), self._images)
        self._row += 1

    def _rehearse(self, parts: Parts) -> None:
        self._expected = parts.rehearse(self._inputs(), self._images)

    def _check(self) -> None:
        found, expected = float(self._loss), float(self._expected)
        if not math.isclose(found, expected, rel_tol=TOLERANCE) and math.isfinite(expected):
            raise RuntimeError(f"the captured step's loss is {found:.4g} and not {expected:.4g}")

    def _inputs(self) -> Inputs:
        return {name: values.index_select(0, self._row)[0] for name, values in self._block.items()}


class Graph(Protocol):
    """What was launched, to be launched again."""

    def replay(self) -> None:
        """On the same memory."""


def captured(
    take: Callable[[], None], rehearse: Callable[[], object], device: torch.device
) -> Graph | None:
    """``take`` as a CUDA graph, after some ``rehearse``; None on a device that has no graphs.

    Raises:
        Exception: what ``take`` raised, or CUDA of it.
    """
    if device.type != "cuda":
        return None
    here = torch.cuda.current_stream(device)
    alone = here == torch.cuda.default_stream(device)
    # Graphs that are replayed side by side must not share a stream: with it they would share the
    # scratch memory of its matrix products.
    stream = _side_stream(device) if alone else here
    stream.wait_stream(here)
    with torch.cuda.stream(stream):
        for _ in range(WARM_UPS):
            rehearse()
    here.wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    failed: Exception | None = None
    try:
        # A capture that fails leaves its stream the current one. Threads that read images ahead
        # may allocate meanwhile.
        with (
            torch.cuda.stream(here),
            torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"),
        ):
            try:
                take()
            except Exception as error:
                failed = error
                raise
    except Exception as error:
        # The end of such a capture says no more than that something was wrong.
        raise failed or error from None
    return graph


@functools.cache
def _side_stream(device: torch.device) -> torch.cuda.Stream:
    """Where graphs are captured that are replayed on the default stream, one after the other's
    end: the same for all, since scratch memory is kept for each stream that was ever used."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
