"""One optimiser step: a batch, its loss, its gradient, the update."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vitexp.models.noise import SOURCES, HashNoise, Noise, part_of
from vitexp.models.recompute import recompute_blocks
from vitexp.spec import RunSpec
from vitexp.training.batches import Batch, Batches
from vitexp.training.capture import CapturedStep
from vitexp.training.compilation import compile_blocks
from vitexp.training.execution import Execution
from vitexp.training.optimisation import learning_rate, optimiser, ready, set_learning_rate

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


class Step:
    """The training steps of one run, each a function of its number and of the weights.

    Args:
        spec: the resolved run.
        model: on ``device``; it is changed in place.
        batches: what to train on.
        device: where.
        execution: how.
    """

    def __init__(
        self,
        spec: RunSpec,
        model: nn.Module,
        batches: Batches,
        device: torch.device,
        execution: Execution,
    ) -> None:
        self.spec, self.model, self.batches, self.device = spec, model, batches, device
        self.dtype = DTYPES[spec.precision]
        self.execution = execution
        self.optimizer = optimiser(model, spec.recipe, execution.captured)
        self._captured: CapturedStep | None = None
        if execution.compiled:
            # What this process compiled for earlier runs counts against the compiler's limit.
            torch.compiler.reset()
            compile_blocks(model, execution.deterministic)
        if execution.grad_checkpointing:
            recompute_blocks(model)

    def __call__(self, step: int) -> Tensor:
        """Takes step ``step``, counted from 0; returns its loss, a scalar on the device."""
        batch = self.batches.at(step)
        set_learning_rate(self.optimizer, learning_rate(self.spec.recipe, step))
        noise = SOURCES[self.execution.noise](self.spec.seed, step, self.device)
        if self.execution.captured:
            return self._replay(batch, noise)
        loss = self._gradients(batch, noise)
        self.optimizer.step()
        return loss

    def _gradients(self, batch: Batch, noise: Noise) -> Tensor:
        """Writes the clipped gradients of a batch; returns its loss."""
        recipe = self.spec.recipe
        self.optimizer.zero_grad(set_to_none=True)
        size = self.execution.micro_batch or recipe.batch
        parts = [slice(at, at + size) for at in range(0, recipe.batch, size)]
        losses = [self._backward(batch, rows, noise) for rows in parts]
        if recipe.clip is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), recipe.clip)
        return torch.stack(losses).sum()

    def _backward(self, batch: Batch, rows: slice, noise: Noise) -> Tensor:
        """Adds the gradient of a part of the batch; returns its share of the batch's loss."""
        images, targets = batch.images[rows], batch.targets[rows]
        share, whole = len(images) / len(batch.images), len(batch.images)
        masks = noise if share == 1.0 else part_of(noise, rows, whole)
        mixed = self.dtype != torch.float32
        # A cast that is kept would be read by a captured graph after it is gone.
        with torch.autocast(self.device.type, self.dtype, enabled=mixed, cache_enabled=False):
            logits = self.model(images, masks)
        loss = F.cross_entropy(logits.float(), targets) * share
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def _replay(self, batch: Batch, noise: Noise) -> Tensor:
        assert isinstance(noise, HashNoise)
        if self._captured is None:
            ready(self.optimizer)
            self._captured = CapturedStep(self._gradients, self.optimizer.step, batch, noise)
        return self._captured(batch, noise)
