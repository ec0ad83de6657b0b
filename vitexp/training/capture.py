"""The whole optimiser step as one CUDA graph: one launch where there were hundreds."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from vitexp.models.noise import HashNoise, Noise
from vitexp.training.batches import Batch

WARM_UPS = 3

Gradients = Callable[[Batch, Noise], Tensor]
"""Writes the gradients of a batch; returns its loss."""


class CapturedStep:
    """Gradients and update, captured once and replayed on other values.

    On another device than CUDA the same is done launch by launch.

    Args:
        gradients: what is captured; it must not wait for the device.
        update: likewise, after it.
        batch: of the shape that all batches have.
        noise: likewise.
    """

    def __init__(
        self, gradients: Gradients, update: Callable[[], object], batch: Batch, noise: HashNoise
    ) -> None:
        # The graph reads these tensors, wherever it is replayed.
        self.batch = Batch(batch.images.clone(), batch.targets.clone())
        self.noise = HashNoise(noise.keys.clone())
        self.gradients, self.update = gradients, update
        self.graph = self._captured() if batch.images.is_cuda else None

    def _captured(self) -> torch.cuda.CUDAGraph:
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UPS):
                self.gradients(self.batch, self.noise)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._take()
        return graph

    def _take(self) -> None:
        self.loss = self.gradients(self.batch, self.noise)
        self.update()

    def __call__(self, batch: Batch, noise: HashNoise) -> Tensor:
        """Takes the step; its loss is overwritten by the next."""
        self.batch.images.copy_(batch.images)
        self.batch.targets.copy_(batch.targets)
        self.noise.keys.copy_(noise.keys)
        if self.graph is None:
            self._take()
        else:
            self.graph.replay()
        return self.loss
