"""The host of a run of which nothing is kept: its steps are looked at, and it never ends."""

from __future__ import annotations

from abc import ABC, abstractmethod

from vitexp.training.loop import Progress, State


class Trial(ABC):
    """A :class:`~vitexp.training.loop.Host` without a store behind it."""

    @abstractmethod
    def report(self, progress: Progress) -> None:
        """Called after each step."""

    @abstractmethod
    def stopping(self) -> bool:
        """Whether enough was seen; asked before each step."""

    def restore(self) -> State | None:
        return None

    def save(self, state: State) -> None:
        return None

    def checkpoint_due(self) -> bool:
        return False

    def reads_test(self) -> int:
        raise AssertionError("a trial never ends")

    def say(self, message: str) -> None:
        return None
