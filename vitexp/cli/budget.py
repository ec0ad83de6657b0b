"""``--budget 2h``: as many seeds as fit into a time.

The rule: whole seeds are dropped, the last first, so that every cell keeps the same seeds; where
one seed of all cells does not fit, nothing is run.
"""

from __future__ import annotations

import dataclasses
import re

from vitexp.cli import screen
from vitexp.cli.forecast import forecast, timed
from vitexp.errors import VitexpError
from vitexp.experiment.study import Study
from vitexp.launch.machine import Machine
from vitexp.settings.base import Base

_UNITS = {"s": 1, "min": 60, "m": 60, "h": 3600, "d": 86_400}


def seconds(text: str) -> float:
    """``"2h"`` in seconds.

    Raises:
        VitexpError: not a number with a unit.
    """
    form = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|min|m|h|d)", text.strip())
    if form is None or float(form[1]) == 0:
        raise VitexpError(
            f"--budget {text!r} is no time.", "Write a number and a unit: 90s, 30min, 2h or 1d."
        )
    return float(form[1]) * _UNITS[form[2]]


def fitted(study: Study, base: Base, machine: Machine, limit: float) -> Base:
    """``base`` with as many of its seeds as fit into ``limit`` seconds, by a short probe.

    Raises:
        VitexpError: not even one seed fits.
    """
    screen.say("Timing a few steps for the budget: 20 s at most.")
    cast = timed(forecast(machine, lambda done: study.planned(base, done)), machine)
    needed = 0.0
    for count in range(len(base.seeds), 0, -1):
        todo = [spec for spec in cast.todo if spec.seed in base.seeds[:count]]
        needed = dataclasses.replace(cast, todo=todo).seconds or 0.0
        if needed <= limit:
            _say(base, count, needed)
            return dataclasses.replace(base, seeds=base.seeds[:count])
    raise VitexpError(
        f"One seed of all cells takes about {screen.duration(needed)}, more than --budget.",
        "Give a larger --budget, or choose fewer --steps, models or fractions.",
    )


def _say(base: Base, count: int, needed: float) -> None:
    dropped = base.seeds[count:]
    what = f"seeds {', '.join(map(str, dropped))} dropped to fit" if dropped else "all seeds fit"
    screen.say(f"Budget: about {screen.duration(needed)} with {count} seeds; {what}.")
