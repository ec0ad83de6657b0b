"""``--until-decided``: seeds are added, look by look, to the cells of which something is open."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from vitexp.analysis.decide import LOOKS
from vitexp.cli import screen
from vitexp.cli.execute import Label, Planner, execute
from vitexp.errors import VitexpError
from vitexp.experiment.looks import Question, State, still_open
from vitexp.experiment.plan import Plan
from vitexp.launch.machine import Machine
from vitexp.runs.plans import Key
from vitexp.runs.record import Results
from vitexp.runs.store import Store


@dataclass(frozen=True)
class Until:
    """How far to go.

    Attributes:
        seeds: of a cell, at most.
        seconds: for all of it; None for any.

    Raises:
        VitexpError: fewer seeds than a verdict needs.
    """

    seeds: int
    seconds: float | None = None

    @property
    def looks(self) -> list[int]:
        """The numbers of seeds to look at."""
        return [count for count in LOOKS if count <= self.seeds]

    def __str__(self) -> str:
        return f"{self.looks[-1]} at most"

    def __post_init__(self) -> None:
        if self.seeds < LOOKS[0]:
            raise VitexpError(
                f"--max-seeds is {self.seeds}, and there are no verdicts below {LOOKS[0]} seeds.",
                f"Give one of {', '.join(map(str, LOOKS))}.",
            )


@dataclass(frozen=True)
class Asking:
    """What is to be decided.

    Attributes:
        plan: from a number of seeds and what is done to the runs of all cells.
        kept: takes note of a plan that is run.
        questions: how far each is, by those runs of a plan that are done.
        label: row and column of a cell.
    """

    plan: Callable[[int, Results], Plan]
    kept: Callable[[Plan], Plan]
    questions: Callable[[Plan, Results], Sequence[Question]]
    label: Label


def settle(machine: Machine, asking: Asking, until: Until) -> bool:
    """Run, look by look, what is still open.

    Called again after it was stopped it takes the same way: a look uses its seeds alone.

    Returns:
        whether each run ended well.

    Raises:
        VitexpError: nothing that seeds alone decide.
        typer.Exit: interrupted.
    """
    store, began = Store(machine.out), time.monotonic()
    ended: dict[Key, int] = {}
    for count, later in zip(until.looks, [*until.looks[1:], None], strict=True):
        plan = _planner(asking, count, ended)
        before = plan(store.results())
        if not before.open:
            asking.questions(before, Results(()))
        if not execute(machine, _noted(asking, plan), asking.label):
            return False
        done = store.results()
        now = plan(done)
        questions = asking.questions(now, done)
        going_on = still_open(questions)
        screen.say(f"{count} seeds: {_standing(questions)}.")
        if later is None or not going_on:
            break
        ended |= {key: count for key in now.cells if key not in going_on | ended.keys()}
        wave = _planner(asking, later, ended)(done)
        needs = _seconds(wave, done, machine)
        if until.seconds is not None and time.monotonic() - began + needs > until.seconds:
            screen.say(f"--budget ends it: {later} seeds take {screen.duration(needs)} more.")
            break
        screen.say(f"On to {later} seeds of {len(going_on)} cells.")
    return True


def _noted(asking: Asking, plan: Planner) -> Planner:
    return lambda done: asking.kept(plan(done))


def _planner(asking: Asking, count: int, ended: Mapping[Key, int]) -> Planner:
    seeds = dict(ended)

    def plan(done: Results) -> Plan:
        whole = asking.plan(count, done)
        return whole if whole.open else whole.limited(seeds)

    return plan


_WORDS: Mapping[State, str] = {
    "decided": "decided",
    "open": "open",
    "impossible": "not to be decided on these test images",
    "diverged": "without a verdict, as a run diverged",
}


def _standing(questions: Sequence[Question]) -> str:
    parts = []
    for state, words in _WORDS.items():
        names = [each.name for each in questions if each.state == state]
        if names:
            which = f" ({', '.join(names)})" if state != "decided" else ""
            parts.append(f"{len(names)} {words}{which}")
    return "; ".join(parts)


def _seconds(plan: Plan, done: Results, machine: Machine) -> float:
    """What the missing runs will take, as long as the others of their cells took."""
    needs, missing = 0.0, 0
    for runs in plan.cells.values():
        took = [done[run.id].metrics.get("seconds", 0.0) for run in runs if run.id in done]
        left = len(runs) - len(took)
        needs += left * sum(took) / max(len(took), 1)
        missing += left
    return needs / machine.jobs(max(missing, 1))
