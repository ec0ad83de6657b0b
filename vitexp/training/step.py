"""One optimiser step: a batch, its loss, its gradient, the update."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vitexp.models.build import build
from vitexp.models.inputs import sent
from vitexp.models.masks import SOURCES, HashNoise, Noise, hash_keys, part_of
from vitexp.models.recompute import recompute_blocks
from vitexp.models.vit import Attention
from vitexp.spec import RunSpec
from vitexp.training.average import Average
from vitexp.training.batches import Batch, Batches
from vitexp.training.capture import CapturedStep, Inputs
from vitexp.training.compilation import compile_blocks
from vitexp.training.execution import DTYPES, Execution
from vitexp.training.losses import Losses
from vitexp.training.optimisation import optimiser, ready, set_learning_rate
from vitexp.training.schedule import learning_rate


def model_of(spec: RunSpec, execution: Execution) -> nn.Module:
    """The model that ``spec`` trains, on the CPU, with the kernels that ``execution`` allows."""
    recipe = spec.recipe
    model = build(spec.model, spec.seed, recipe.dropout, recipe.stochastic_depth)
    for module in model.modules():
        if isinstance(module, Attention):
            module.fused = execution.fused
    return model


class Step:
    """The training steps of one run, each a function of its number and of the weights.

    Args:
        spec: the resolved run.
        model: on ``device``; it is changed in place.
        batches: what to train on.
        device: where.
        execution: how.

    Attributes:
        losses: what the steps lost.
        average: the mean of the weights after each; None where the recipe has none.
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
        self.optimizer = optimiser(model, spec.recipe, execution.captured, execution.fused)
        self.losses = Losses(device)
        averaging = spec.recipe.averaging
        self.average = Average(model, averaging) if averaging else None
        self._captured: CapturedStep | None = None
        if execution.compiled:
            compile_blocks(model, execution.deterministic)
        if execution.grad_checkpointing:
            recompute_blocks(model)

    def __call__(self, step: int) -> Tensor:
        """Takes step ``step``, counted from 0; returns its loss, a scalar on the device."""
        images = self.batches.source(step)
        if self.execution.captured:
            return self._replay(step, images)
        drawn = {name: sent(drawn, self.device) for name, drawn in self.batches.draws(step).items()}
        noise = SOURCES[self.execution.noise](self.spec.seed, step, self.device)
        rate = learning_rate(self.spec.recipe, step)
        share = self.average.share(step) if self.average else None
        return self._take(drawn, images, noise, rate, share, step)

    def _take(
        self,
        drawn: Inputs,
        images: Tensor,
        noise: Noise | None,
        rate: Tensor | float,
        share: Tensor | float | None,
        step: Tensor | int,
    ) -> Tensor:
        set_learning_rate(self.optimizer, rate)
        loss = self._gradients(self.batches.made(drawn, images), noise)
        self.optimizer.step()
        self.losses.add(loss, step)
        if self.average is not None:
            assert share is not None
            self.average.add(share)
        return loss

    def _gradients(self, batch: Batch, noise: Noise | None) -> Tensor:
        """Writes the clipped gradients of a batch; returns its loss."""
        recipe = self.spec.recipe
        self.optimizer.zero_grad(set_to_none=True)
        size = self.execution.micro_batch or recipe.batch
        parts = [slice(at, at + size) for at in range(0, recipe.batch, size)]
        losses = [self._backward(batch, rows, noise) for rows in parts]
        if recipe.clip is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), recipe.clip)
        return torch.stack(losses).sum()

    def _backward(self, batch: Batch, rows: slice, noise: Noise | None) -> Tensor:
        """Adds the gradient of a part of the batch; returns its share of the batch's loss."""
        images, targets = batch.images[rows], batch.targets[rows]
        share, whole = len(images) / len(batch.images), len(batch.images)
        masks = noise if noise is None or share == 1.0 else part_of(noise, rows, whole)
        mixed = self.dtype != torch.float32
        # A cast that is kept would be read by a captured graph after it is gone.
        with torch.autocast(self.device.type, self.dtype, enabled=mixed, cache_enabled=False):
            logits = self.model(images, masks)
        loss = F.cross_entropy(logits.float(), targets) * share
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def _replay(self, step: int, images: Tensor) -> Tensor:
        if self._captured is None:
            ready(self.optimizer)
            self._captured = CapturedStep(images, fixed=not self.batches.streamed)
        return self._captured(step, images, self)

    @property
    def captured(self) -> bool:
        """Whether there is a CUDA graph, which allocates no more."""
        return self._captured is not None and self.device.type == "cuda"

    @property
    def backlog(self) -> torch.cuda.Event | None:
        """What to wait for before the next step, lest the host run too far ahead."""
        return self._captured.backlog if self._captured else None

    def draws(self, step: int) -> dict[str, np.ndarray]:
        """All that a step's graph needs to know of it: see :class:`Parts`."""
        recipe = self.spec.recipe
        drawn = self.batches.draws(step)
        drawn["step"] = np.array(step)
        drawn["rate"] = np.array(learning_rate(recipe, step), np.float32)
        if self.average is not None:
            drawn["share"] = np.array(self.average.share(step), np.float32)
        if recipe.dropout or recipe.stochastic_depth:
            drawn["keys"] = hash_keys(self.spec.seed, step)
        return drawn

    def take(self, inputs: Inputs, images: Tensor) -> Tensor:
        """The whole step."""
        share = inputs.get("share")
        return self._take(inputs, images, _masks(inputs), inputs["rate"], share, inputs["step"])

    def rehearse(self, inputs: Inputs, images: Tensor) -> Tensor:
        """Its gradients."""
        return self._gradients(self.batches.made(inputs, images), _masks(inputs))


def _masks(drawn: Inputs) -> HashNoise | None:
    return HashNoise(drawn["keys"]) if "keys" in drawn else None
