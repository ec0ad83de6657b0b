"""A run's losses since it was last looked at."""

from __future__ import annotations

import torch
from torch import Tensor


class Losses:
    """Sums that stay on the device, so that no step waits for the host.

    Attributes:
        sum: of the losses since :meth:`forget`.
        first_bad: the first step of the run whose loss was not finite, -1 if none: int64, ().
    """

    def __init__(self, device: torch.device) -> None:
        self.sum = torch.zeros((), device=device)
        self.first_bad = torch.full((), -1, dtype=torch.int64, device=device)

    def add(self, loss: Tensor, step: Tensor | int) -> None:
        """Takes the loss of ``step`` in."""
        bad = ~torch.isfinite(loss) & (self.first_bad < 0)
        self.first_bad.copy_(torch.where(bad, step, self.first_bad))
        self.sum += loss

    def forget(self) -> None:
        """Begins a new sum."""
        self.sum.zero_()

    def load(self, total: Tensor, first_bad: Tensor) -> None:
        """Goes on from what was saved."""
        self.sum.copy_(total)
        self.first_bad.copy_(first_bad)
