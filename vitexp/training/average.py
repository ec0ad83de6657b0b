"""The mean of a run's weights over its steps (Polyak and Juditsky 1992; paper, section 4.1)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Average:
    """An exponential mean of a model's weights after each step, corrected for its beginning:
    of the steps s up to now, each weighs factor^-s. Much shorter than 1 / (1 - factor) steps it
    is the plain mean.

    Attributes:
        state: the mean, by name.
    """

    def __init__(self, model: nn.Module, factor: float) -> None:
        self._model, self._factor = model, factor
        # These share their memory with the parameters, which are changed in place.
        state = model.state_dict()
        self._live = {name: value for name, value in state.items() if value.is_floating_point()}
        self.state = self._copied()

    def _copied(self) -> dict[str, Tensor]:
        return {name: value.clone() for name, value in self._live.items()}

    def share(self, step: int) -> float:
        """What the weights after ``step``, counted from 0, weigh in the mean up to them."""
        return (1 - self._factor) / (1 - self._factor ** (step + 1))

    @torch.no_grad()
    def add(self, share: Tensor | float) -> None:
        """Takes the weights of this moment into the mean, in which they weigh ``share``."""
        for name, value in self._live.items():
            self.state[name].lerp_(value, share)

    @contextmanager
    def used(self) -> Iterator[None]:
        """The model has the mean for its weights."""
        live = self._copied()
        self._model.load_state_dict(self.state, strict=False)
        try:
            yield
        finally:
            self._model.load_state_dict(live, strict=False)

    def load(self, state: dict[str, Tensor]) -> None:
        """Goes on from a mean that was saved."""
        for name, value in state.items():
            self.state[name].copy_(value)
