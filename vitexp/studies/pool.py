"""Class token or global average pooling? (Paper, appendix D.3, Figure 9.)

    vitexp ablate pool

Both at three learning rates: the paper found GAP poor at the class token's rate and as good at a
lower one. On the embedded digits with 3 seeds it takes about 2 minutes on two cores.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from vitexp.analysis.findings import Finding, all_equivalent
from vitexp.analysis.two_way import estimate
from vitexp.experiment.plan import Grid
from vitexp.experiment.sweep import Key, Sweep, best_on_validation, name, rounded
from vitexp.reporting.judge import judge
from vitexp.reporting.report import Claim
from vitexp.settings.base import Base

POOLS = ("token", "gap")
MARGIN = 0.005
"""Within what difference the two count as similar (a share)."""


class Pool(Sweep):
    """Class token against mean pooling, by learning rate."""

    claim_ids: ClassVar[tuple[str, ...]] = ("CT1",)
    decides: ClassVar[tuple[str, ...]] = ("pool",)
    needs: ClassVar = "transformer"

    def arms(self, base: Base) -> Mapping[Key, Mapping[str, Any]]:
        rates = [rounded(base.run.recipe.lr * by) for by in (1 / 3, 1, 3)]
        return {(p, f"lr {lr:.2g}"): {"pool": p, "lr": lr} for p in POOLS for lr in rates}

    def reference(self, grid: Grid) -> Key:
        return best_on_validation(grid, POOLS[0]) or next(iter(grid))

    def claims(self, grid: Grid) -> tuple[Claim, ...]:
        """CT1: both similar, each at the rate that is best for it on validation."""
        chosen = [best_on_validation(grid, pool) for pool in POOLS]
        token, gap = chosen
        if token is None or gap is None:
            return (self.unanswered("CT1", grid, "Needs finished runs of both."),)

        def test(correct: Mapping[Key, np.ndarray]) -> tuple[Finding, str]:
            difference = estimate(np.subtract(correct[gap], correct[token], dtype=np.int8))
            finding = all_equivalent({f"{name(gap)} over {name(token)}": difference}, MARGIN)
            return finding, (
                f"each at its best rate on validation; must lie within ±{100 * MARGIN:g} points;"
                f" the rates {'differ' if gap[1] != token[1] else 'are the same'}"
            )

        return (judge("CT1", grid, (gap, token), test, name, grid.more),)
