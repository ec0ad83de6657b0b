"""Images that stay where they are, on the disk or in the host's memory, while a device computes.

n images, B those of one batch, S side, C channels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from vitexp.models.inputs import pinned

AHEAD = 2
"""Batches that are made ready while one is computed."""


class Stream:
    """The images of numbered batches, read by a thread of its own before they are asked for.

    On CUDA they go through pinned memory and a stream of their own, so that neither the host nor
    the device waits for a copy.

    Args:
        images: uint8, (n, S, S, C); a memory map is read at the rows that are needed.
        rows: the rows of a batch, int64, (B,), by its number; None where there is no such batch.
        device: where the images are wanted.
    """

    def __init__(
        self, images: np.ndarray, rows: Callable[[int], np.ndarray | None], device: torch.device
    ) -> None:
        self._images, self._rows, self._device = images, rows, device
        self._thread = ThreadPoolExecutor(1)
        self._ready: dict[int, Future[_Sent]] = {}
        # PyTorch has 32 streams of each priority and hands them out in turns. One that a run
        # computes on must not be among these: what is copied would become part of its graph.
        self._copies = (
            torch.cuda.Stream(device, priority=-1)  # type: ignore[no-untyped-call]
            if device.type == "cuda"
            else None
        )

    def at(self, number: int) -> Tensor:
        """The images of a batch: uint8, (B, S, S, C). Quick for the batch after the last one."""
        for stale in self._ready.keys() - range(number, number + AHEAD + 1):
            self._ready.pop(stale).cancel()
        for wanted in range(number, number + AHEAD + 1):
            if wanted not in self._ready and (rows := self._rows(wanted)) is not None:
                self._ready[wanted] = self._thread.submit(self._fetch, rows)
        return self._ready.pop(number).result().here()

    def _fetch(self, rows: np.ndarray) -> _Sent:
        shape = (len(rows), *self._images.shape[1:])
        found = (torch.empty if self._copies is None else pinned)(shape, dtype=torch.uint8)
        # With mode="raise" NumPy would write to a buffer first.
        np.take(self._images, rows, axis=0, out=found.numpy(), mode="clip")
        if self._copies is None:
            return _Sent(found, None)
        with torch.cuda.stream(self._copies):
            sent = found.to(self._device, non_blocking=True)
            return _Sent(sent, self._copies.record_event())


def in_turn(
    images: np.ndarray, rows: np.ndarray, batch: int, device: torch.device
) -> Iterator[tuple[np.ndarray, Tensor]]:
    """The ``rows`` of ``images``, ``batch`` at a time, each with its images on ``device``."""
    parts = [rows[at : at + batch] for at in range(0, len(rows), batch)]
    # On a CPU no core is free to read meanwhile, and the system reads ahead.
    ahead = (
        None
        if device.type == "cpu"
        else Stream(images, lambda i: parts[i] if i < len(parts) else None, device)
    )
    for number, part in enumerate(parts):
        if ahead is None:
            yield part, torch.from_numpy(np.take(images, part, axis=0))
        else:
            yield part, ahead.at(number)


class _Sent:
    """Images on their way to the device."""

    def __init__(self, images: Tensor, arrival: torch.cuda.Event | None) -> None:
        self._images, self._arrival = images, arrival

    def here(self) -> Tensor:
        """The images, for kernels that are launched from now on."""
        if self._arrival is not None:
            current = torch.cuda.current_stream(self._images.device)
            current.wait_event(self._arrival)
            # Its memory must not go to another copy before these kernels are done.
            self._images.record_stream(current)
        return self._images
