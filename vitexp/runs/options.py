"""How a run is to be computed, which is no part of what it is and so not of its id."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ExecutionOptions:
    """What may be asked of how runs are computed.

    But for ``strict`` it is fixed at a run's first step: a run that is resumed keeps what it began
    with.

    Attributes:
        deterministic: only kernels that give the same bits again, also on CUDA.
        micro_batch: images computed at once, a batch's gradient being their sum; None for as
            many as fit.
        grad_checkpointing: blocks are computed again in the backward pass, to save memory.
        compiled: whether the encoder's blocks are compiled; None for where that repays its time.
        strict: what fails is an error, and nothing is tried another way or once more.
    """

    deterministic: bool = False
    micro_batch: int | None = None
    grad_checkpointing: bool = False
    compiled: bool | None = None
    strict: bool = False

    def of_execution(self) -> dict[str, Any]:
        """Those that say how a run is computed, by name."""
        return {k: v for k, v in dataclasses.asdict(self).items() if k != "strict"}

    def overruled(self, kept: Mapping[str, Any]) -> list[str]:
        """What is said where ``kept``, the record of how a run began, is not what is asked now."""
        return [
            f"began {_spelled(name, kept[name])} and goes on so."
            for name, asked in self.of_execution().items()
            if asked is not None and kept[name] != asked
        ]


_FLAGS = {"compiled": "compile"}
"""Those whose flag is spelled another way."""


def _spelled(name: str, value: int | None) -> str:
    flag = "--" + _FLAGS.get(name, name).replace("_", "-")
    if value is None or value is False:
        return f"without {flag}"
    return f"with {flag}" if value is True else f"with {flag} {value}"


DEFAULTS = ExecutionOptions()
"""As fast as can be."""
