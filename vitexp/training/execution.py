"""How a run is computed: chosen before its first step, recorded, and kept when it is resumed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from vitexp.models.count import TRAINING_FLOPS, macs
from vitexp.models.masks import DeviceNoise, HashNoise, HostNoise
from vitexp.runs.options import ExecutionOptions
from vitexp.spec import RunSpec
from vitexp.training import compilation
from vitexp.training.peak import peak

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}

COMPILED_FROM = 2000
"""Steps of a run that repay the compiler's time."""

REPAYING_SECONDS, USUAL_SHARE = 120.0, 0.25
"""Seconds of training that repay it on CUDA, if a run computes at this share of the device's peak:
guesses, until they have been measured there."""


@dataclass(frozen=True)
class Execution:
    """What changes a run's speed and, within rounding, its numbers; so it is not in its spec.

    Attributes:
        threads: of a CPU's kernels.
        noise: where dropout's masks come from, by the name of a source in ``models/masks.py``.
        compiled: whether the encoder's blocks are compiled for training.
        captured: whether a step is one CUDA graph.
        fused: whether one kernel computes attention, and one the update of many parameters.
        deterministic: only kernels that give the same bits again, also on CUDA.
        micro_batch: images computed at once; None for the whole batch.
        grad_checkpointing: blocks are computed again in the backward pass, to save memory.
    """

    threads: int
    noise: str
    compiled: bool = False
    captured: bool = False
    fused: bool = True
    deterministic: bool = False
    micro_batch: int | None = None
    grad_checkpointing: bool = False

    @classmethod
    def recorded(cls, execution: Mapping[str, Any]) -> Execution:
        """What :attr:`RunRecord.execution` or a checkpoint's says was chosen."""
        names = (f.name for f in dataclasses.fields(cls))
        return cls(**{name: execution[name] for name in names if name in execution})


def choose(
    spec: RunSpec, device: torch.device, threads: int, options: ExecutionOptions
) -> Execution:
    """The fastest way to compute ``spec`` on this device, as far as it is left open."""
    cuda, compiled = device.type == "cuda", options.compiled
    if compiled is None:
        compiled = _repays(spec, device, threads) and compilation.has_compiler(device)
    compiled = compiled and spec.model.vit is not None and not options.grad_checkpointing
    # Hashed masks that no compiler fuses cost more than the launches that a graph saves, and a
    # user's own code may wait for the device, which a graph cannot.
    captured = cuda and (compiled or not _masked(spec)) and not _has_own_code(spec)
    noise = HashNoise.source if compiled or captured else _drawn(device)
    how = {**options.of_execution(), "compiled": compiled, "captured": captured}
    return Execution(threads, noise, **how)


def _repays(spec: RunSpec, device: torch.device, threads: int) -> bool:
    """Whether compiling takes less time than it saves."""
    recipe = spec.recipe
    if recipe.steps < COMPILED_FROM or device.type != "cuda":
        return recipe.steps >= COMPILED_FROM and spec.precision == "bf16"
    rate = USUAL_SHARE * peak(device, DTYPES[spec.precision], threads).flops_per_s
    flops = TRAINING_FLOPS * (macs(spec.model) or 0) * recipe.batch * recipe.steps
    return flops / rate >= REPAYING_SECONDS


def ways(first: Execution, spec: RunSpec, device: torch.device, begun: bool) -> list[Execution]:
    """``first``, and then how to compute ``spec`` where that fails; the plainest is the last.

    Args:
        begun: whether masks were drawn already: their source stays as it is then.
    """
    plain = dataclasses.replace(first, compiled=False, captured=False)
    if not begun and (first.compiled or first.captured):
        plain = dataclasses.replace(plain, noise=_drawn(device))
    found = [first]
    if first.compiled and first.captured:
        found.append(dataclasses.replace(first, captured=False))
        if not _masked(spec):
            found.append(dataclasses.replace(first, compiled=False))
    return list(dict.fromkeys([*found, plain, dataclasses.replace(plain, fused=False)]))


def _masked(spec: RunSpec) -> bool:
    return bool(spec.recipe.dropout or spec.recipe.stochastic_depth)


def _drawn(device: torch.device) -> str:
    """Where masks come from that nothing fuses into what they mask."""
    return DeviceNoise.source if device.type == "cuda" else HostNoise.source


def _has_own_code(spec: RunSpec) -> bool:
    vit = spec.model.vit
    return bool(spec.model.code or (vit and vit.position.code))
