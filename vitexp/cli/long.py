"""Before work of more than an hour: how long it will take, and what would bring it under one."""

from __future__ import annotations

import bisect
import math
import sys

import typer

from vitexp.cli import screen
from vitexp.cli.execute import Planner
from vitexp.cli.forecast import Forecast, forecast, timed
from vitexp.launch.machine import Machine
from vitexp.settings.flags import said

LONG = 3600.0
_SLOW = {"cpu": 5e9, "mps": 5e10, "cuda": 5e11}
"""FLOP/s that a run surely reaches; what is short even so is not probed."""
_STEP = 5e-3
"""Seconds of a step beside its arithmetic."""
_FEWEST = 10
"""Steps below which nothing is learned that would be worth a hint."""


def consent(machine: Machine, planner: Planner, searches: bool = False) -> None:
    """Say so where the missing runs will take over an hour, and on a terminal ask.

    Args:
        searches: whether what the runs reach decides on more of them.

    Raises:
        typer.Exit: with 130 where the answer is no.
    """
    if machine.yes or _is_short(cast := forecast(machine, planner), machine):
        return
    screen.say("Timing a few steps of this much work: 20 s at most.")
    cast = timed(cast, machine)
    if (cast.seconds or 0.0) <= LONG:
        return
    least = "at least " if searches else ""
    screen.say(
        f"This will take {least}about {screen.duration(cast.seconds)} on this machine "
        f"({screen.count(len(cast.todo), 'run')})."
    )
    if ways := shorter(cast):
        screen.say(f"Under an hour: {' or '.join(ways)}.")
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return screen.say("It begins, as nobody can be asked here; Ctrl-C loses nothing.")
    if not typer.confirm("Begin? (--yes does not ask)", err=True):
        raise typer.Exit(130)


def _is_short(cast: Forecast, machine: Machine) -> bool:
    """Whether it takes less than an hour even on a slow machine."""
    rate = _SLOW[machine.devices[0].partition(":")[0]]
    steps = sum(spec.recipe.steps for spec in cast.todo)
    if cast.flops is None:
        return not steps
    return cast.flops / (rate * cast.jobs) + _STEP * steps / cast.jobs < LONG


def shorter(cast: Forecast) -> list[str]:
    """Flags, each of which brings a forecast that was probed under an hour."""
    return [*_fewer_steps(cast), *_fewer_seeds(cast)]


def _fewer_steps(cast: Forecast) -> list[str]:
    # A fine-tune's parents, asked for by another command, keep their steps.
    asked = cast.plan.runs[0].asked
    most = max(spec.recipe.steps for spec in cast.todo if spec.asked == asked)

    def under(steps: int) -> bool:
        each = {
            spec: min(steps, spec.recipe.steps) if spec.asked == asked else spec.recipe.steps
            for spec in cast.todo
        }
        return (cast.taken(each) or 0.0) <= LONG

    steps = bisect.bisect_right(range(most), False, key=lambda count: not under(count)) - 1
    if steps < _FEWEST:
        return []
    epochs = said(asked)[0].get("epochs")
    return [f"--epochs {_round(epochs * steps / most)}" if epochs else f"--steps {_round(steps)}"]


def _fewer_seeds(cast: Forecast) -> list[str]:
    seeds = sorted({spec.seed for spec in cast.plan.runs if not spec.tries})
    for count in range(len(seeds) - 1, 0, -1):
        left = [spec for spec in cast.todo if spec.tries or spec.seed in seeds[:count]]
        if (cast.taken({spec: spec.recipe.steps for spec in left}) or 0.0) <= LONG:
            return [f"--seeds {count}"]
    return []


def _round(number: float) -> str:
    """Down to two digits."""
    unit = 10.0 ** (math.floor(math.log10(number)) - 1)
    return f"{math.floor(number / unit * (1 + 1e-9)) * unit:.10g}"
