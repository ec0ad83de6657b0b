"""Courses of runs, thinned and rounded for a page of thousands of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vitexp.page.runs import coded, rounded
from vitexp.spec import RunSpec
from vitexp.training.schedule import learning_rate

Course = Sequence[Mapping[str, float]]
"""A run's evaluations, in order."""

POINTS = 250_000
"""Of all runs together, about."""
_LEAST, _MOST = 40, 200
"""Of a run."""


def traces(specs: Sequence[RunSpec | None], courses: Sequence[Course]) -> dict[str, Any]:
    """What each run came through.

    Returns:
        ``steps`` and ``rate`` (the learning rate there), coded, since many runs share them;
        ``train_loss`` and ``val_top1`` (a share): a list a run, None where one is not finite.
    """
    most = max(_LEAST, min(_MOST, POINTS // max(1, len(courses))))
    thin = [thinned(course, most) for course in courses]
    steps = [tuple(int(point["step"]) for point in course) for course in thin]
    recipes = [spec and spec.recipe for spec in specs]
    return {
        "steps": coded(steps),
        "rate": _rates(recipes, steps),
        **{
            name: [[rounded(point.get(name)) for point in course] for course in thin]
            for name in ("train_loss", "val_top1")
        },
    }


def thinned(course: Course, most: int) -> Course:
    """At most so many points, spread evenly; the first and the last are among them."""
    if len(course) <= most:
        return course
    last = len(course) - 1
    return [course[round(i * last / (most - 1))] for i in range(most)]


def _rates(recipes: Sequence[Any], steps: Sequence[tuple[int, ...]]) -> dict[str, list[Any]]:
    """The rate of the step before each evaluation."""
    keys = coded(zip(recipes, steps, strict=True))
    keys["values"] = [
        [rounded(learning_rate(recipe, max(0, step - 1))) for step in own] if recipe else []
        for recipe, own in keys["values"]
    ]
    return keys
