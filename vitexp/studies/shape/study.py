"""Which dimension of a ViT is worth growing? (Paper, appendix D.2, Figure 8.)

    vitexp ablate shape

From the base model, depth, width and MLP halved and doubled by themselves, the patch halved and
doubled, and all together (but for the patch). On the embedded digits with 3 seeds it takes about
10 minutes on two cores.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from vitexp.analysis.findings import Finding, all_exceed
from vitexp.analysis.two_way import Estimate, estimate
from vitexp.experiment.plan import Grid
from vitexp.experiment.sweep import Cells, Key, Sweep, name
from vitexp.reporting.judge import judge
from vitexp.reporting.report import Claim
from vitexp.settings.base import Base
from vitexp.spec import ViTShape
from vitexp.studies.shape.sizes import compute_or_parameters

GROWN = ("depth", "width", "mlp")


class Shape(Sweep):
    """One dimension of the transformer at a time, and all together."""

    claim_ids: ClassVar[tuple[str, ...]] = ("SH1", "SH2", "SH3", "SH4")
    needs: ClassVar = "vit"

    def arms(self, base: Base) -> Mapping[Key, Mapping[str, Any]]:
        vit, side = base.run.model.transformer, base.run.model.image_size
        sizes = {field: getattr(vit, field) for field in GROWN}
        halved = {field: max(1, size // 2) for field, size in sizes.items()}
        doubled = {field: 2 * size for field, size in sizes.items()}
        patches = [p for p in (vit.patch // 2, vit.patch * 2) if p and side % p == 0]
        one = [{field: other[field]} for field in GROWN for other in (halved, doubled)]
        changes = [{}, *one, *({"patch": patch} for patch in patches), halved, doubled]
        return {("", _words(dataclasses.replace(vit, **each))): each for each in changes}

    def claims(self, grid: Grid) -> tuple[Claim, ...]:
        """SH1 (depth gains most), SH2 (width least), SH3 (a smaller patch gains), SH4 (compute
        predicts accuracy better than parameters do)."""
        base = self.reference(grid)
        larger = {field: _larger(grid, base, field) for field in (*GROWN, "patch")}
        depth, width, patch = (larger[field] for field in ("depth", "width", "patch"))
        others = [larger["width"], larger["mlp"]]
        return (
            self._claim("SH1", grid, base, depth, others, "doubling depth must gain more"),
            self._claim("SH2", grid, base, depth, [width], "doubling width must gain less"),
            self._claim("SH3", grid, base, patch, [base], "halving the patch must gain"),
            compute_or_parameters(grid, base),
        )

    def _claim(
        self,
        claim: str,
        grid: Grid,
        base: Key,
        better: Key | None,
        worse: Sequence[Key | None],
        words: str,
    ) -> Claim:
        found = [key for key in (better, *worse) if key is not None]
        if better is None or len(found) < 1 + len(worse):
            return self.unanswered(claim, grid, "Needs the larger cells of both.")

        def test(correct: Mapping[Key, np.ndarray]) -> tuple[Finding, str]:
            gaps: dict[str, Estimate] = {
                f"{name(better)} over {name(key)}": estimate(
                    np.subtract(correct[better], correct[key], dtype=np.int8)
                )
                for key in found[1:]
            }
            return all_exceed(gaps, 0.0), f"{words} (base {name(base)})"

        return judge(claim, grid, found, test, name, grid.more)


def _words(vit: ViTShape) -> str:
    return f"depth {vit.depth}, width {vit.width}, MLP {vit.mlp}, patch {vit.patch}"


def _sizes(cells: Cells, key: Key) -> dict[str, int]:
    vit = cells[key].spec.model.transformer
    return {field: getattr(vit, field) for field in (*GROWN, "patch")}


def _larger(cells: Cells, base: Key, field: str) -> Key | None:
    """The cell that differs from the base in ``field`` alone, in the direction of more compute."""
    wanted = dict(_sizes(cells, base))
    wanted[field] = wanted[field] // 2 if field == "patch" else wanted[field] * 2
    return next((key for key in cells if _sizes(cells, key) == wanted), None)
