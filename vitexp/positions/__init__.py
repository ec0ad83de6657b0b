"""Positional signals: a file here is one, its stem is its name for ``--position``.

This module knows the names and nothing else; torch is imported with the signal.
"""

from __future__ import annotations

from vitexp.errors import VitexpError
from vitexp.positions.facts import FACTS, facts
from vitexp.registry import Registry, code_hash
from vitexp.spec import Placement, PositionSpec

POSITIONS = Registry(
    "position",
    {kind: known.entry for kind, known in FACTS.items()},
    aliases={"1d": "learned_1d", "2d": "learned_2d", "rel": "relative"},
)

PAPER_POSITIONS = ("none", "learned_1d", "learned_2d", "relative")
"""The rows of the paper's Table 8."""


def check_width(kind: str, width: int) -> None:
    """Refuses a token width that ``kind`` cannot split into its parts.

    Raises:
        VitexpError: for instance an odd width for learned_2d.
    """
    multiple = facts(kind).multiple
    if width % multiple:
        nearest = multiple * max(1, round(width / multiple))
        raise VitexpError(
            f"Position {kind!r} needs a width that is a multiple of {multiple}, not {width}.",
            f"Choose --width {nearest} or another position.",
        )


def placements(kind: str) -> tuple[Placement, ...]:
    """The placements in which ``kind`` is a cell of its own."""
    return facts(kind).placements


def position_spec(kind: str, placement: str, std: float) -> PositionSpec:
    """The spec of a signal, spelled in the one way that its run id depends on.

    ``std`` is dropped where nothing is learned.

    Raises:
        VitexpError: unknown kind or placement, or a placement that ``kind`` does not have.
    """
    kind = POSITIONS.canonical(kind)
    for choice in placements(kind):
        if choice == placement:
            learned = facts(kind).table == "learned"
            code = code_hash(kind, "position")
            return PositionSpec(kind, choice, std=std if learned else 0.0, code=code)
    raise VitexpError(
        f"Position {kind!r} has no placement {placement!r}.",
        f"Its placements: {', '.join(placements(kind))}.",
    )
