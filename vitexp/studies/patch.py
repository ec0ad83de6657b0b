"""Does position matter less, the bigger the patch? (Paper, appendix D.4, its guess.)

    vitexp ablate patch

None and learned 1-D positions at each patch size that divides the images into 2 to 16 patches a
side. On the embedded digits (patches of 4, 2 and 1 pixels) the gap grows from about 1 to 60 points.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from vitexp.analysis.findings import Finding, all_exceed
from vitexp.analysis.two_way import estimate
from vitexp.experiment.plan import Grid
from vitexp.experiment.sweep import Key, Sweep, name
from vitexp.reporting.judge import judge
from vitexp.reporting.report import Claim
from vitexp.settings.base import Base

NONE, WITH = "none", "learned_1d"
SIDES = (2, 16)
"""Fewest and most patches along a side."""


class Patch(Sweep):
    """Position by patch size."""

    claim_ids: ClassVar[tuple[str, ...]] = ("PE4",)
    decides: ClassVar[tuple[str, ...]] = ("patch", "position", "placement")
    needs: ClassVar = "vit"

    def arms(self, base: Base) -> Mapping[Key, Mapping[str, Any]]:
        side = base.run.model.image_size
        along = [n for n in range(SIDES[0], SIDES[1] + 1) if side % n == 0]
        return {
            (f"patch {side // n}", kind): {
                "patch": side // n,
                "position": kind,
                "placement": "stem",
            }
            for n in reversed(along)
            for kind in (WITH, NONE)
        }

    def claims(self, grid: Grid) -> tuple[Claim, ...]:
        """PE4: the gap to none is larger with the smallest patch than with the largest."""
        sizes = sorted({key[0] for key in grid}, key=lambda group: int(group.split()[1]))
        if len(sizes) < 2:
            return (self.unanswered("PE4", grid, "Needs two patch sizes."),)
        small, large = sizes[0], sizes[-1]
        needed = [(size, kind) for size in (small, large) for kind in (WITH, NONE)]

        def test(correct: Mapping[Key, np.ndarray]) -> tuple[Finding, str]:
            gaps = [
                np.subtract(correct[size, WITH], correct[size, NONE], dtype=np.int8)
                for size in (small, large)
            ]
            growth = replace(estimate(gaps[0] - gaps[1]), most=2)
            named = {f"growth of the gap from {large} to {small}": growth}
            return all_exceed(named, 0.0), "it must be above 0"

        return (judge("PE4", grid, needed, test, name, grid.more),)
