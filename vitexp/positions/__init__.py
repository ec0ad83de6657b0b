"""Positional signals: a file here is one, its stem is its name for ``--position``.

This module knows the names and nothing else; torch is imported with the signal.
"""

from __future__ import annotations

from vitexp.errors import VitexpError
from vitexp.registry import Registry, code_hash
from vitexp.spec import PLACEMENTS, Placement, PositionSpec

POSITIONS = Registry(
    "position",
    {
        "none": "vitexp.positions.none:NoPosition",
        "learned_1d": "vitexp.positions.learned_1d:Learned1D",
        "learned_2d": "vitexp.positions.learned_2d:Learned2D",
        "relative": "vitexp.positions.relative:Relative",
        "sincos_1d": "vitexp.positions.sincos_1d:SinCos1D",
        "sincos_2d": "vitexp.positions.sincos_2d:SinCos2D",
    },
    aliases={"1d": "learned_1d", "2d": "learned_2d", "rel": "relative"},
)

PAPER_POSITIONS = ("none", "learned_1d", "learned_2d", "relative")
"""The rows of the paper's Table 8."""

# A fixed table is the same in every block, so every-layer would repeat shared.
_PLACEMENTS: dict[str, tuple[Placement, ...]] = {
    "none": ("stem",),
    "sincos_1d": ("stem", "shared"),
    "sincos_2d": ("stem", "shared"),
}

FIXED = ("sincos_1d", "sincos_2d")
"""Signals whose tables are computed and not learned."""

_WIDTH_MULTIPLES = {"learned_2d": 2, "sincos_1d": 2, "sincos_2d": 4}


def check_width(kind: str, width: int) -> None:
    """Refuses a token width that ``kind`` cannot split into its parts.

    Raises:
        VitexpError: for instance an odd width for learned_2d.
    """
    multiple = _WIDTH_MULTIPLES.get(kind, 1)
    if width % multiple:
        nearest = multiple * max(1, round(width / multiple))
        raise VitexpError(
            f"Position {kind!r} needs a width that is a multiple of {multiple}, not {width}.",
            f"Choose --width {nearest} or another position.",
        )


def placements(kind: str) -> tuple[Placement, ...]:
    """The placements in which ``kind`` is a cell of its own."""
    return _PLACEMENTS.get(kind, PLACEMENTS)


def position_spec(kind: str, placement: str, std: float) -> PositionSpec:
    """The spec of a signal, spelled in the one way that its run id depends on.

    ``std`` is dropped where nothing is learned.

    Raises:
        VitexpError: unknown kind or placement, or a placement that ``kind`` does not have.
    """
    kind = POSITIONS.canonical(kind)
    for choice in placements(kind):
        if choice == placement:
            learned = kind not in _PLACEMENTS
            code = code_hash(kind, "position")
            return PositionSpec(kind, choice, std=std if learned else 0.0, code=code)
    raise VitexpError(
        f"Position {kind!r} has no placement {placement!r}.",
        f"Its placements: {', '.join(placements(kind))}.",
    )
