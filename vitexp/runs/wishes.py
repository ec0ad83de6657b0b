"""How a run is to be computed, which is no part of what it is and so not of its id."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Wishes:
    """What may be asked of how runs are computed.

    It is fixed at a run's first step: a run that is resumed keeps what it began with.

    Attributes:
        deterministic: only kernels that give the same bits again, also on CUDA.
    """

    deterministic: bool = False

    def overruled(self, kept: Mapping[str, Any]) -> list[str]:
        """What is said where ``kept``, the record of how a run began, is not what is asked now."""
        return [
            f"began {'with' if began else 'without'} --{name} and goes on so."
            for name, asked in dataclasses.asdict(self).items()
            if (began := kept.get(name, False)) != asked
        ]


NONE = Wishes()
"""As fast as can be."""
