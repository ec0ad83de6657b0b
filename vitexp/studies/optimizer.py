"""Adam or SGD for ResNets? (Paper, appendix D.1, Table 7.)

    vitexp ablate optimizer

Two ResNets with each optimiser at three learning rates, the rate chosen on validation. The paper
found Adam ahead on most data sets.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from vitexp.analysis.findings import Finding, all_exceed
from vitexp.analysis.two_way import estimate
from vitexp.catalog.ladders import COMPUTE, nearest
from vitexp.experiment.plan import Grid
from vitexp.experiment.sweep import Key, Sweep, best_on_validation, name, rounded
from vitexp.reporting.judge import judge
from vitexp.reporting.report import Claim
from vitexp.settings.base import Base

ADAM, SGD = "adamw", "sgd"
SGD_RATE = 30.0
"""SGD's middle learning rate over Adam's: 3e-2 beside 1e-3."""


class Optimizer(Sweep):
    """AdamW against SGD with momentum, for ResNets."""

    claim_ids: ClassVar[tuple[str, ...]] = ("OP1",)
    decides: ClassVar[tuple[str, ...]] = ("model", "optimizer")

    def arms(self, base: Base) -> Mapping[Key, Mapping[str, Any]]:
        ladder = nearest(COMPUTE, base.run.model.image_size)
        models = [model for model in ladder if "vit" not in model][:2]
        trials = [
            (model, optimizer, rounded(base.run.recipe.lr * scale * by))
            for model in models
            for optimizer, scale in ((ADAM, 1.0), (SGD, SGD_RATE))
            for by in (1 / 3, 1, 3)
        ]
        return {
            (f"{model} {optimizer}", f"lr {lr:.2g}"): {
                "model": model,
                "optimizer": optimizer,
                "lr": lr,
            }
            for model, optimizer, lr in trials
        }

    def reference(self, grid: Grid) -> Key:
        model = min(grid)[0].rpartition(" ")[0]
        return best_on_validation(grid, f"{model} {ADAM}") or next(iter(grid))

    def claims(self, grid: Grid) -> tuple[Claim, ...]:
        """OP1: Adam ahead of SGD for every model, each at its best rate on validation."""
        models = dict.fromkeys(key[0].rpartition(" ")[0] for key in sorted(grid))
        pairs = [
            tuple(best_on_validation(grid, f"{model} {optimizer}") for optimizer in (ADAM, SGD))
            for model in models
        ]
        found = [(adam, sgd) for adam, sgd in pairs if adam and sgd]
        if not found:
            return (self.unanswered("OP1", grid, "Needs finished runs of both."),)

        def test(correct: Mapping[Key, np.ndarray]) -> tuple[Finding, str]:
            ahead = {
                f"{name(adam)} over {name(sgd)}": estimate(
                    np.subtract(correct[adam], correct[sgd], dtype=np.int8)
                )
                for adam, sgd in found
            }
            return all_exceed(ahead, 0.0), "each at its best rate on validation; all above 0"

        needed = [key for pair in found for key in pair]
        return (judge("OP1", grid, needed, test, name, grid.more),)
