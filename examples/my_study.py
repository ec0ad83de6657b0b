"""A study of one's own: how many heads at one width?

vitexp ablate examples/my_study.py:Heads --seeds 3
"""

from collections.abc import Mapping
from typing import Any

from vitexp.experiment.sweep import Key, Sweep
from vitexp.settings.base import Base


class Heads(Sweep):
    """The number of heads, the width of all of them together unchanged."""

    decides = ("heads",)
    needs = "transformer"

    def arms(self, base: Base) -> Mapping[Key, Mapping[str, Any]]:
        return {(f"{heads} heads", ""): {"heads": heads} for heads in (1, 2, 4)}
