"""What a tracker is told of a run, and what a tracker has to do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from vitexp.spec import RunSpec

Point = Mapping[str, float]
"""An evaluation: its ``step`` and what was measured there."""

Value = str | float | bool
"""A setting, or a fact about the surroundings."""

FINAL = "final/"
"""What stands before the names of results, so that none is taken for a point of a curve."""


@dataclass(frozen=True)
class Tracked:
    """A run as trackers are told of it. No text holds the name of a home folder.

    Attributes:
        name: for people.
        state: running, stopped, failed, or for good done or diverged.
        group: the cell that it is a seed of.
        tags: study, cell, seed, data, and what people call it.
        settings: its whole spec, fields of fields as ``recipe.lr``.
        points: its course so far, steps rising.
        results: what was measured in the end; empty before that.
        environment: device, versions, how it was computed; empty before the end.
        began, ended: None before the end.
    """

    id: str
    name: str
    state: str
    group: str
    tags: Mapping[str, str]
    settings: Mapping[str, Value]
    points: Sequence[Point]
    results: Mapping[str, float]
    environment: Mapping[str, Value]
    spec: RunSpec
    began: datetime | None = None
    ended: datetime | None = None

    @property
    def over(self) -> bool:
        """Whether nothing will be added."""
        return self.state in ("done", "diverged")

    def at(self, step: float) -> datetime:
        """When a step was taken: of a run that has ended about then, always the same; else now."""
        if self.began is None or self.ended is None:
            return datetime.now(UTC)
        whole: timedelta = self.ended - self.began
        return self.began + whole * (step / max(self.spec.recipe.steps, 1))


class Tracker(ABC):
    """Somewhere to send runs to. What is sent again makes no double, in whatever process.

    Args:
        where: as in ``--track NAME:WHERE``; ``""`` for its own.
        out: the folder that holds runs/.
    """

    def __init__(self, where: str, out: Path) -> None:
        self.where, self.out = where, out

    @abstractmethod
    def open(self, run: Tracked) -> bool:
        """Begins a run or goes on with it; False where it is there whole already."""

    @abstractmethod
    def log(self, run: Tracked, points: Sequence[Point]) -> None:
        """Adds points to a run that is open, steps rising; perhaps some that are there."""

    @abstractmethod
    def close(self, run: Tracked) -> None:
        """Adds the results, if there are any, and how it ended; a run that was only stopped may be
        opened again."""
