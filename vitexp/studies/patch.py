"""Does position matter less, the bigger the patch? (Paper, appendix D.4, its guess.)

    vitexp ablate patch

None and learned 1-D positions at each patch size that divides the images into 2 to 16 patches a
side. On the embedded digits (patches of 4, 2 and 1 pixels) the gap grows from about 1 to 60 points.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from vitexp.analysis.findings import Finding, all_exceed
from vitexp.analysis.two_way import estimate
from vitexp.experiment.grids import parts
from vitexp.experiment.sweep import Cells, Key, Sweep, name
from vitexp.reporting.judge import judge
from vitexp.reporting.report import Claim
from vitexp.settings.base import Base
from vitexp.spec import PositionSpec, RunSpec

NONE, WITH = "none", "learned_1d"
SIDES = (2, 16)
"""Fewest and most patches along a side."""


class Patch(Sweep):
    """Position by patch size."""

    stem: ClassVar[str] = "patch"
    command: ClassVar[str] = "ablate patch"
    claim_ids: ClassVar[tuple[str, ...]] = ("PE4",)
    decides: ClassVar[tuple[str, ...]] = ("patch", "position", "placement")
    needs: ClassVar = "vit"

    def arms(self, base: Base) -> Sequence[Mapping[str, Any]]:
        side = base.run.model.image_size
        along = [n for n in range(SIDES[0], SIDES[1] + 1) if side % n == 0]
        return [
            {"patch": side // n, "position": kind, "placement": "stem"}
            for n in along
            for kind in (NONE, WITH)
        ]

    def key(self, spec: RunSpec) -> Key | None:
        vit = spec.model.vit
        if vit is None or vit.position.placement != "stem" or vit.position.kind not in (NONE, WITH):
            return None
        return f"patch {vit.patch}", vit.position.kind

    def answered(self, keys: Collection[Key]) -> bool:
        return len({size for size, _ in keys}) > 1 and len({kind for _, kind in keys}) == 2

    def common(self, spec: RunSpec) -> Hashable:
        vit = dataclasses.replace(spec.model.transformer, patch=1, position=PositionSpec())
        return parts(spec, model=dataclasses.replace(spec.model, vit=vit))

    def reference(self, cells: Cells) -> Key:
        both = [key for key in cells if key[1] == WITH]
        return both[0] if both else next(iter(cells))

    def claims(self, cells: Cells) -> tuple[Claim, ...]:
        """PE4: the gap to none is larger with the smallest patch than with the largest."""
        sizes = sorted({key[0] for key in cells}, key=lambda group: int(group.split()[1]))
        if len(sizes) < 2:
            return (self.unanswered("PE4", cells, "Needs two patch sizes."),)
        small, large = sizes[0], sizes[-1]
        needed = [(size, kind) for size in (small, large) for kind in (WITH, NONE)]

        def test(correct: Mapping[Key, np.ndarray]) -> tuple[Finding, str]:
            gaps = [
                np.subtract(correct[size, WITH], correct[size, NONE], dtype=np.int8)
                for size in (small, large)
            ]
            growth = {f"growth of the gap from {large} to {small}": estimate(gaps[0] - gaps[1])}
            return all_exceed(growth, 0.0), "it must be above 0"

        def command(first_seed: int, seeds: int) -> str:
            return self.more(cells, first_seed, seeds)

        return (judge("PE4", cells, needed, test, name, command),)
