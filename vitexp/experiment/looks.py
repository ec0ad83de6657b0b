"""Seeds added at the looks, and only to the cells of which something is still open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from vitexp.analysis.decide import Outlook
from vitexp.analysis.groups import Comparison
from vitexp.runs.plans import Key

State = Literal["decided", "open", "impossible", "diverged"]
"""Impossible: no number of seeds would decide it on these test images."""


@dataclass(frozen=True)
class Question:
    """Something that seeds may decide.

    Attributes:
        name: for people.
        cells: those that it is about.
    """

    name: str
    cells: tuple[Key, ...]
    state: State


def better_or_worse(name: str, cells: tuple[Key, Key], comparison: Comparison | None) -> Question:
    """Whether the first cell is better or worse than the second."""
    decision = comparison.decision if comparison else None
    if decision is not None:
        return Question(name, cells, state(decision.outlook))
    return Question(name, cells, "diverged" if comparison and comparison.diverged else "open")


def state(outlook: Outlook | None) -> State:
    """Of a question with this outlook; without one it is decided."""
    if outlook is None:
        return "decided"
    return "open" if outlook.possible else "impossible"


def still_open(questions: Sequence[Question]) -> set[Key]:
    """The cells that need more seeds."""
    return {key for each in questions if each.state == "open" for key in each.cells}
