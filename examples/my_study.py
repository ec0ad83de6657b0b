"""A study of one's own: how many heads at one width?

vitexp ablate examples/my_study.py:Heads --seeds 3
"""

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from vitexp.experiment.grids import parts
from vitexp.experiment.sweep import Cells, Key, Sweep
from vitexp.reporting.report import Claim
from vitexp.settings.base import Base
from vitexp.spec import RunSpec

HEADS = (1, 2, 4)


class Heads(Sweep):
    """The number of heads, the width of all of them together unchanged."""

    stem: ClassVar[str] = "heads"
    command: ClassVar[str] = "ablate examples/my_study.py:Heads"
    decides: ClassVar[tuple[str, ...]] = ("heads",)
    needs: ClassVar = "transformer"

    def arms(self, base: Base) -> Sequence[Mapping[str, Any]]:
        return [{"heads": heads} for heads in HEADS]

    def key(self, spec: RunSpec) -> Key | None:
        return (f"{spec.model.vit.heads} heads", "") if spec.model.vit else None

    def common(self, spec: RunSpec) -> Hashable:
        vit = replace(spec.model.transformer, heads=1)
        return parts(spec, model=replace(spec.model, vit=vit))

    def answered(self, keys: Collection[Key]) -> bool:
        return len(keys) > 1

    def reference(self, cells: Cells) -> Key:
        return next(iter(cells))

    def claims(self, cells: Cells) -> tuple[Claim, ...]:
        return ()
