"""What is known of each positional signal without torch: one entry a signal.

S patches along a side, C whether there is a class token, D width, T tokens, R rows (the queries
that are kept).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from vitexp.spec import PLACEMENTS, Placement


@dataclass(frozen=True)
class Facts:
    """A signal.

    Attributes:
        entry: ``"module:Class"``.
        table: whether what it adds is learned, or computed; None where it adds nothing.
        placements: those in which it is a cell of its own.
        multiple: of what the width has to be one.
        params: (S, C, D, W) -> learned values of one table, W being the width of an embedding of
            relative attention: D where each head has its own, D / H else.
        macs: (R, T, C, D) -> what it adds to the attention of a block; None where nothing.
    """

    entry: str
    table: Literal["learned", "computed"] | None = "learned"
    placements: tuple[Placement, ...] = PLACEMENTS
    multiple: int = 1
    params: Callable[[int, bool, int, int], int] = lambda s, c, d, w: 0
    macs: Callable[[int, int, bool, int], int] | None = None


def _relative_macs(rows: int, tokens: int, class_token: bool, width: int) -> int:
    """Each kept query times each offset's embedding."""
    patches = tokens - class_token
    between = patches * (2 * patches - 1) if rows == tokens else 0
    return (between + class_token * 3 * rows) * width


# A computed table is the same in every block, so every-layer would repeat shared.
_COMPUTED: tuple[Placement, ...] = ("stem", "shared")

FACTS = {
    "none": Facts("vitexp.positions.none:NoPosition", table=None, placements=("stem",)),
    "learned_1d": Facts(
        "vitexp.positions.learned_1d:Learned1D", params=lambda s, c, d, w: (s * s + c) * d
    ),
    "learned_2d": Facts(
        "vitexp.positions.learned_2d:Learned2D", multiple=2, params=lambda s, c, d, w: (s + c) * d
    ),
    "relative": Facts(
        "vitexp.positions.relative:Relative",
        params=lambda s, c, d, w: (2 * s * s - 1 + 3 * c) * w,
        macs=_relative_macs,
    ),
    "sincos_1d": Facts("vitexp.positions.sincos_1d:SinCos1D", "computed", _COMPUTED, multiple=2),
    "sincos_2d": Facts("vitexp.positions.sincos_2d:SinCos2D", "computed", _COMPUTED, multiple=4),
}


def facts(kind: str) -> Facts:
    """Of a signal; one from the user's own file has learned tables in any placement."""
    return FACTS.get(kind) or Facts(kind)
