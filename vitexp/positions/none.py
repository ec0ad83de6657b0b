"""No positional signal: the encoder sees a bag of patches (paper, appendix D.4)."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from vitexp.positions.base import Additive, Interpolation, Resizable


class NoPosition(Additive, Resizable):
    """Adds nothing; the features do not change when patches are permuted."""

    def table(self, block: int) -> None:
        return None

    def resized(self, learned: Mapping[str, Tensor], how: Interpolation) -> dict[str, Tensor]:
        return {}
