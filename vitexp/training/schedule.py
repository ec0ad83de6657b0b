"""The learning rate along a run; no torch needed."""

from __future__ import annotations

import math

from vitexp.spec import Recipe


def learning_rate(recipe: Recipe, step: int) -> float:
    """The rate of ``step``, counted from 0: linear warm-up, then the recipe's schedule to 0."""
    if step < recipe.warmup:
        return recipe.lr * (step + 1) / recipe.warmup
    if recipe.schedule == "constant":
        return recipe.lr
    progress = (step - recipe.warmup) / max(1, recipe.steps - recipe.warmup)
    if recipe.schedule == "linear":
        return recipe.lr * (1.0 - progress)
    return recipe.lr * 0.5 * (1.0 + math.cos(math.pi * progress))
