"""One optimiser step: a batch, its loss, its gradient, the update."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vitexp.models.noise import SOURCES
from vitexp.spec import RunSpec
from vitexp.training.batches import Batches
from vitexp.training.execution import Execution
from vitexp.training.optimisation import learning_rate, optimiser, set_learning_rate

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
        self.optimizer = optimiser(model, spec.recipe)

    def __call__(self, step: int) -> Tensor:
        """Takes step ``step``, counted from 0; returns its loss, a scalar on the device."""
        recipe, model = self.spec.recipe, self.model
        batch = self.batches.at(step)
        set_learning_rate(self.optimizer, learning_rate(recipe, step))
        mask = SOURCES[self.execution.noise](self.spec.seed, step, self.device)
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            logits = model(batch.images, mask)
        loss = F.cross_entropy(logits.float(), batch.targets)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if recipe.clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
        self.optimizer.step()
        return loss.detach()
