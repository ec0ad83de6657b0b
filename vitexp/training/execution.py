"""How a run is computed: chosen before its first step, recorded, and kept when it is resumed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from vitexp.models.noise import source_for
from vitexp.spec import RunSpec


@dataclass(frozen=True)
class Execution:
    """What changes a run's speed and, within rounding, its numbers; so it is not in its spec.

    Attributes:
        threads: of a CPU's kernels.
        noise: where dropout's masks come from, by the name of a source in ``models/noise.py``.
    """

    threads: int
    noise: str

    @classmethod
    def recorded(cls, execution: Mapping[str, Any]) -> Execution:
        """What :attr:`RunRecord.execution` or a checkpoint's says was chosen."""
        return cls(**{f.name: execution[f.name] for f in dataclasses.fields(cls)})


def choose(spec: RunSpec, device: torch.device, threads: int) -> Execution:
    """The fastest way to compute ``spec`` on this device."""
    return Execution(threads, source_for(device))
