"""Class token or global average pooling? (Paper, appendix D.3, Figure 9.)

    vitexp ablate pool

Both at three learning rates: the paper found GAP poor at the class token's rate and as good at a
lower one. On the embedded digits with 3 seeds it takes about 2 minutes on two cores.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from vitexp.analysis.findings import Finding, all_equivalent
from vitexp.analysis.two_way import estimate
from vitexp.experiment.grids import parts
from vitexp.experiment.sweep import Cells, Key, Sweep, best_on_validation, name, rounded
from vitexp.reporting.judge import judge
from vitexp.reporting.report import Claim
from vitexp.settings.base import Base
from vitexp.spec import RunSpec

POOLS = ("token", "gap")
MARGIN = 0.005
"""Within what difference the two count as similar (a share)."""


class Pool(Sweep):
    """Class token against mean pooling, by learning rate."""

    stem: ClassVar[str] = "pool"
    command: ClassVar[str] = "ablate pool"
    claim_ids: ClassVar[tuple[str, ...]] = ("CT1",)
    decides: ClassVar[tuple[str, ...]] = ("pool",)
    needs: ClassVar = "transformer"

    def arms(self, base: Base) -> Sequence[Mapping[str, Any]]:
        rate = base.run.recipe.lr
        return [{"pool": p, "lr": rounded(rate * by)} for p in POOLS for by in (1 / 3, 1, 3)]

    def key(self, spec: RunSpec) -> Key | None:
        vit = spec.model.vit
        return (vit.pool, f"lr {spec.recipe.lr:.2g}") if vit else None

    def answered(self, keys: Collection[Key]) -> bool:
        return len({pool for pool, _ in keys}) == 2

    def common(self, spec: RunSpec) -> Hashable:
        vit = dataclasses.replace(spec.model.transformer, pool="token")
        return parts(
            spec,
            model=dataclasses.replace(spec.model, vit=vit),
            recipe=dataclasses.replace(spec.recipe, lr=0.0),
        )

    def reference(self, cells: Cells) -> Key:
        return best_on_validation(cells, POOLS[0]) or next(iter(cells))

    def claims(self, cells: Cells) -> tuple[Claim, ...]:
        """CT1: both similar, each at the rate that is best for it on validation."""
        chosen = [best_on_validation(cells, pool) for pool in POOLS]
        token, gap = chosen
        if token is None or gap is None:
            return (self.unanswered("CT1", cells, "Needs finished runs of both."),)

        def test(correct: Mapping[Key, np.ndarray]) -> tuple[Finding, str]:
            difference = estimate(np.subtract(correct[gap], correct[token], dtype=np.int8))
            finding = all_equivalent({f"{name(gap)} over {name(token)}": difference}, MARGIN)
            return finding, (
                f"each at its best rate on validation; must lie within ±{100 * MARGIN:g} points;"
                f" the rates {'differ' if gap[1] != token[1] else 'are the same'}"
            )

        def command(first_seed: int, seeds: int) -> str:
            return self.more(cells, first_seed, seeds)

        return (judge("CT1", cells, (gap, token), test, name, command),)
