"""Adam or SGD for ResNets? (Paper, appendix D.1, Table 7.)

    vitexp ablate optimizer

Two ResNets with each optimiser at three learning rates, the rate chosen on validation. The paper
found Adam ahead on most data sets.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from vitexp.analysis.findings import Finding, all_exceed
from vitexp.analysis.two_way import estimate
from vitexp.catalog.ladders import COMPUTE, nearest
from vitexp.catalog.sizes import called
from vitexp.experiment.grids import parts
from vitexp.experiment.sweep import Cells, Key, Sweep, best_on_validation, name, rounded
from vitexp.reporting.judge import judge
from vitexp.reporting.report import Claim
from vitexp.settings.base import Base
from vitexp.spec import RunSpec

ADAM, SGD = "adamw", "sgd"
SGD_RATE = 30.0
"""SGD's middle learning rate over Adam's: 3e-2 beside 1e-3."""


class Optimizer(Sweep):
    """AdamW against SGD with momentum, for ResNets."""

    stem: ClassVar[str] = "optimizer"
    command: ClassVar[str] = "ablate optimizer"
    claim_ids: ClassVar[tuple[str, ...]] = ("OP1",)
    decides: ClassVar[tuple[str, ...]] = ("model", "optimizer")

    def arms(self, base: Base) -> Sequence[Mapping[str, Any]]:
        ladder = nearest(COMPUTE, base.run.model.image_size)
        models = [model for model in ladder if "vit" not in model][:2]
        rate = base.run.recipe.lr
        return [
            {"model": model, "optimizer": optimizer, "lr": rounded(rate * scale * by)}
            for model in models
            for optimizer, scale in ((ADAM, 1.0), (SGD, SGD_RATE))
            for by in (1 / 3, 1, 3)
        ]

    def key(self, spec: RunSpec) -> Key | None:
        if spec.model.family != "resnet":
            return None
        return f"{called(spec.model)} {spec.recipe.optimizer}", f"lr {spec.recipe.lr:.2g}"

    def answered(self, keys: Collection[Key]) -> bool:
        return len({group.rpartition(" ")[2] for group, _ in keys}) == 2

    def common(self, spec: RunSpec) -> Hashable:
        recipe = dataclasses.replace(spec.recipe, lr=0.0, optimizer="adamw", momentum=0.0)
        return parts(spec, model="", recipe=recipe)

    def reference(self, cells: Cells) -> Key:
        model = next(iter(cells))[0].rpartition(" ")[0]
        return best_on_validation(cells, f"{model} {ADAM}") or next(iter(cells))

    def claims(self, cells: Cells) -> tuple[Claim, ...]:
        """OP1: Adam ahead of SGD for every model, each at its best rate on validation."""
        models = dict.fromkeys(key[0].rpartition(" ")[0] for key in cells)
        pairs = [
            tuple(best_on_validation(cells, f"{model} {optimizer}") for optimizer in (ADAM, SGD))
            for model in models
        ]
        found = [(adam, sgd) for adam, sgd in pairs if adam and sgd]
        if not found:
            return (self.unanswered("OP1", cells, "Needs finished runs of both."),)

        def test(correct: Mapping[Key, np.ndarray]) -> tuple[Finding, str]:
            ahead = {
                f"{name(adam)} over {name(sgd)}": estimate(
                    np.subtract(correct[adam], correct[sgd], dtype=np.int8)
                )
                for adam, sgd in found
            }
            return all_exceed(ahead, 0.0), "each at its best rate on validation; all above 0"

        def command(first_seed: int, seeds: int) -> str:
            return self.more(cells, first_seed, seeds)

        needed = [key for pair in found for key in pair]
        return (judge("OP1", cells, needed, test, name, command),)
