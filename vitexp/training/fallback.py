"""First contact: a way to compute that fails here gives way to a plainer one, and that is said."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from vitexp.errors import VitexpError
from vitexp.training.environment import synchronise
from vitexp.training.execution import Execution
from vitexp.training.run import Run

PARTS = {
    "compiled": "compiling its blocks",
    "captured": "capturing its step",
    "fused": "fused kernels",
}
"""What makes a run fast and may fail on a machine: a field of :class:`Execution`, and its name."""


@dataclass
class Failures:
    """Ways to compute a run that failed at its first step.

    Attributes:
        first: the way that was tried first.
        known: as the record has them: ``from``, the parts in use, and ``error``, its first line.
    """

    first: Execution
    known: list[dict[str, Any]] = field(default_factory=list)

    def add(self, way: Execution, error: str) -> None:
        self.known.append({"from": _parts(way), "error": error})

    def remark(self, worked: Execution) -> list[str]:
        """Messages for the user about it."""
        if not self.known:
            return []
        gone = [PARTS[part] for part in _parts(self.first) if part not in _parts(worked)]
        return [
            f"goes on without {' and '.join(gone)}, since that failed: {self.known[0]['error']}"
        ]


def _parts(way: Execution) -> list[str]:
    return [part for part in PARTS if getattr(way, part)]


def first_that_works(
    ways: Sequence[Execution],
    begin: Callable[[Execution], Run],
    device: torch.device,
    strict: bool,
    crash: str | None,
) -> tuple[Run, Failures]:
    """The run, begun in the first of ``ways`` in which that is possible.

    Args:
        begin: makes the run and takes its first step; it leaves nothing behind where that fails.
        strict: whether the first failure is an error.
        crash: why a process ended in which the first of these ways was tried; the plainest
            alone is tried then.

    Raises:
        Exception: what the plainest way raised, or a way after which the device does nothing more
            for this process, or, if ``strict``, the first.
    """
    failures, left = Failures(ways[0]), list(ways)
    if crash is not None and len(ways) > 1:
        failures.add(ways[0], crash)
        left = left[-1:]
    while True:
        way = left.pop(0)
        try:
            return begin(way), failures
        except VitexpError:
            raise
        except Exception as error:
            if strict or not left or not usable(device):
                raise
            failures.add(way, first_line(error))
        # Behind the handler: the error holds on to the tensors of the step that failed.
        gc.collect()
        if device.type == "cuda":
            torch.cuda.empty_cache()


def usable(device: torch.device) -> bool:
    """Whether a device still computes for this process; after some errors it does not."""
    try:
        synchronise(device)
        if device.type == "cuda":
            # A capture that failed may have left the allocator believing that it goes on.
            torch.cuda.empty_cache()
        return float(torch.ones(2, device=device).sum()) == 2.0
    except RuntimeError:
        return False


def first_line(error: Exception) -> str:
    """An error, as far as it fits into a line."""
    text = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
