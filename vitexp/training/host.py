"""What a training run needs from the process around it."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Protocol

import torch

State = dict[str, Any]


@dataclass(frozen=True)
class Progress:
    """Where a run stands; losses and accuracies are of the last evaluation, None before it.

    Attributes:
        evaluated: the step of that evaluation.
    """

    step: int
    images_per_s: float
    train_loss: float | None
    val_top1: float | None
    evaluated: int | None = None


class Host(Protocol):
    """What a run needs from the process around it."""

    def restore(self) -> State | None:
        """The state of the last good checkpoint, or None."""

    def save(self, state: State) -> None:
        """Makes ``state`` the last good checkpoint."""

    def report(self, progress: Progress) -> None:
        """Takes note of progress; called at every step, so cheap."""

    def checkpoint_due(self) -> bool:
        """Whether it is time for a checkpoint."""

    def stopping(self) -> bool:
        """Whether the run has to checkpoint and end now."""

    def reads_test(self) -> int:
        """Counts a read of the test split before it is made; how many there were, with this."""

    def say(self, message: str) -> None:
        """Tells the user."""


Waits = Generator[torch.cuda.Event | None, None, None]
"""Work in many turns, so that several runs can share a device: after each it says what has to
happen before its next; None where nothing has to."""
