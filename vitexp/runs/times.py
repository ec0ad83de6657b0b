"""What the parts of a run take, and what many runs take side by side."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass, replace

from vitexp.datasets.shots import DRAWS, SHOTS
from vitexp.runs.record import TRAIN_IMAGES
from vitexp.spec import RunSpec

BACKWARD = 3
"""A training step costs so many forward passes; the backward pass is two."""


@dataclass(frozen=True)
class Times:
    """What the parts of a run take on a device, in seconds.

    Attributes:
        begin: until it can take its first step.
        step: a training step.
        image: an image that is classified.
        once: for all runs of a process together, such as to compile.
    """

    begin: float = 0.0
    step: float = 0.0
    image: float = 0.0
    once: float = 0.0

    def of(self, spec: RunSpec, steps: int) -> float:
        """A whole run like ``spec`` with so many steps."""
        return self.begin + steps * self.step + (validated(spec) + reported_on(spec)) * self.image

    def scaled(self, image: float, batch: float) -> Times:
        """Those of a model of so many times the compute an image, and the images a step."""
        return replace(self, step=image * batch * self.step, image=image * self.image)


def validated(spec: RunSpec) -> int:
    """Images that a run classifies while it trains."""
    recipe = spec.recipe
    every = recipe.early_stopping or recipe.evaluate_every
    return spec.data.val * max(1, -(-recipe.steps // every))


def reported_on(spec: RunSpec) -> int:
    """Images that it classifies in the end, for its accuracies and the few-shot probe."""
    data = spec.data
    shots = min(data.used, DRAWS * max(SHOTS) * spec.model.classes)
    return data.test + min(data.used, TRAIN_IMAGES) + shots + data.val


def passes(spec: RunSpec, step: int) -> float:
    """Forward passes, an image each, that a run's first ``step`` steps come to."""
    recipe = spec.recipe
    return step * (BACKWARD * recipe.batch + validated(spec) / max(1, recipe.steps))


def side_by_side(seconds: Iterable[float], workers: int) -> float:
    """When the last is done, if each goes to the worker that is free first."""
    free = [0.0] * workers
    for each in seconds:
        heapq.heapreplace(free, free[0] + each)
    return max(free)
