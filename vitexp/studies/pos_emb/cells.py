"""The cells of the positional ablation and what they are called."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from vitexp.analysis.groups import Group
from vitexp.positions import PAPER_POSITIONS, placements
from vitexp.reporting.words import kind_label

Key = tuple[str, str]
"""(kind of position, placement)."""

Cells = Mapping[Key, Group]

NONE: Key = ("none", "stem")
PAPER_CELLS: tuple[Key, ...] = tuple(
    (kind, place) for kind in PAPER_POSITIONS for place in placements(kind)
)


def cell_label(key: Key) -> str:
    return "none" if key == NONE else f"{kind_label(key[0])} {key[1]}"


def kinds_of(keys: Iterable[Key]) -> tuple[str, ...]:
    """The rows of the table: the paper's, then the others among ``keys``."""
    return (*PAPER_POSITIONS, *sorted({kind for kind, _ in keys} - set(PAPER_POSITIONS)))
