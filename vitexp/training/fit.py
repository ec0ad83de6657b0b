"""What fits into memory, found out before the first step."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch

from vitexp.models.memory import halved, micro_batch
from vitexp.runs.options import ExecutionOptions
from vitexp.spec import RunSpec
from vitexp.training.batches import Batches
from vitexp.training.determinism import set_deterministic
from vitexp.training.execution import Execution
from vitexp.training.step import Step, model_of

TRIED_SHARE = 0.9
"""Of the memory, for the step that shows what fits."""


def fitting(execution: Execution, spec: RunSpec, batches: Batches, memory: int | None) -> Execution:
    """``execution``, with a batch computed in parts where it does not fit as a whole.

    On CUDA a step of a model that is thrown away shows what fits; on a CPU, whose system ends a
    process that takes too much, an estimate has to do.

    Args:
        memory: bytes for this process; None where that is not known.

    Raises:
        torch.OutOfMemoryError: not even one image fits.
    """
    batch, size = spec.recipe.batch, execution.micro_batch
    if size is None and batches.device.type == "cuda":
        # Some of it is left for what a run needs beside its steps.
        keep_within(memory and int(TRIED_SHARE * memory), batches.device)
        try:
            size = largest(batch, lambda size: try_step(execution, size, spec, batches))
        finally:
            keep_within(memory, batches.device)
    elif size is None and memory is not None:
        size = micro_batch(spec.model, batch, memory, execution.grad_checkpointing)
    whole = size is None or size >= batch
    return dataclasses.replace(execution, micro_batch=None if whole else size)


def remarks_on(execution: Execution, options: ExecutionOptions, batch: int) -> list[str]:
    """Messages for the user about it."""
    if execution.micro_batch is None or options.micro_batch is not None:
        return []
    return [
        f"computes its batch of {batch} in parts of {execution.micro_batch}, which fit into memory;"
        " the gradient is the same."
    ]


def largest(batch: int, trial: Callable[[int], None]) -> int:
    """``batch``, halved until ``trial`` of it does not run out of memory.

    Raises:
        torch.OutOfMemoryError: one is too many.
    """
    while True:
        try:
            trial(batch)
            return batch
        except torch.OutOfMemoryError:
            if batch == 1:
                raise
        # Behind the handler: the error holds on to the tensors of the step that failed.
        batch = halved(batch)
        torch.cuda.empty_cache()


def try_step(execution: Execution, size: int, spec: RunSpec, batches: Batches) -> None:
    """Takes the first step with a model of its own, ``size`` images at once, and forgets it."""
    execution = dataclasses.replace(execution, micro_batch=size, compiled=False, captured=False)
    set_deterministic(execution.deterministic)
    model = model_of(spec, execution).to(batches.device)
    # Reading the loss waits until the device has done it all.
    float(Step(spec, model, batches, batches.device, execution)(0))


def keep_within(memory: int | None, device: torch.device) -> None:
    """Holds this process to its share of a CUDA device that it has with others."""
    if device.type == "cuda" and memory is not None:
        total = torch.cuda.get_device_properties(device).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, memory / total), device)
