"""What is seen while runs run: a live grid in a terminal, plain lines anywhere else."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from rich import progress as progress_bars
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from vitexp.cli import screen
from vitexp.models.count import macs
from vitexp.runs.times import BACKWARD, passes, reported_on

if TYPE_CHECKING:
    from types import TracebackType

    from vitexp.launch.events import Event
    from vitexp.spec import RunSpec

Label = Callable[["RunSpec"], tuple[str, str]]
"""Run -> (row, column) of the grid."""


def name(spec: RunSpec, label: Label) -> str:
    """A run, for people."""
    fold = f"fold {spec.data.fold.index + 1}" if spec.data.fold else ""
    return " ".join(filter(None, [*label(spec), f"seed {spec.seed}", fold]))


QUIET = 30.0
"""Seconds between two progress lines in a log."""

SETTLING = 2.0
"""Seconds of steps before which they say nothing about those to come."""


@dataclass
class Progress:
    """What is known about the runs of one command.

    Attributes:
        specs: every run that was planned, by id.
        label: gives a run's cell.
        top1: accuracy on test of the runs that are done, before this command and in it.
        todo: ids of the runs that this command has to do.
        at: the runs in progress, id -> step reached.
        speed: the runs in progress, id -> images/s.
    """

    specs: dict[str, RunSpec]
    label: Label
    top1: dict[str, float]
    todo: set[str]
    at: dict[str, int] = field(default_factory=dict)
    speed: dict[str, float] = field(default_factory=dict)
    ended: dict[str, str] = field(default_factory=dict)
    _from: dict[str, int] = field(default_factory=dict)
    # When the first step was heard of, and the work done by then.
    _first: tuple[float, float] | None = None

    def update(self, event: Event) -> None:
        """Take in what the launcher says."""
        run = event.run_id
        if run not in self.specs:
            return
        if event.kind in ("start", "progress"):
            self.at[run] = event.step
            self._from.setdefault(run, self.at[run])
            self.speed[run] = event.images_per_s or self.speed.get(run, 0.0)
            if event.kind == "progress" and self._first is None:
                self._first = time.monotonic(), self._done()
            return
        if event.kind == "note":
            return
        self.at.pop(run, None)
        self.speed.pop(run, None)
        if event.kind in ("done", "diverged", "failed"):
            self.ended[run] = event.kind
        if event.kind == "done" and event.test_top1 is not None:
            self.top1[run] = event.test_top1

    @property
    def finished(self) -> int:
        """Runs of this command that have ended."""
        return len(self.ended)

    def seconds_left(self) -> float | None:
        """What the rest will take at the rate so far; None before there is one.

        It is that since the first step that was heard of; of steps so long that there are no
        others for a while, the first ones' own.
        """
        if self._first is None:
            return None
        left = sum(self._whole(run) - self._work(run) for run in self.todo - set(self.ended))
        seconds, done = time.monotonic() - self._first[0], self._done() - self._first[1]
        if done > 0:
            return seconds * left / done if seconds > SETTLING else None
        rates = [
            BACKWARD * self._weight[run] * speed
            for run, speed in self.speed.items()
            if 0 < speed * SETTLING < self.specs[run].recipe.batch
        ]
        return left / (statistics.fmean(rates) * len(self.at)) if rates else None

    def _done(self) -> float:
        """The work of this command so far."""
        ended = sum(
            self._whole(run) - self._work(run, self._from.get(run, 0)) for run in self.ended
        )
        under_way = (self._work(run) - self._work(run, self._from[run]) for run in self.at)
        return ended + sum(under_way)

    def _work(self, run: str, step: int | None = None) -> float:
        """What a run has done at a step, by default the one where it is: MACs where they are
        known."""
        step = self.at.get(run, 0) if step is None else step
        return self._weight[run] * passes(self.specs[run], step)

    def _whole(self, run: str) -> float:
        spec = self.specs[run]
        return self._work(run, spec.recipe.steps) + self._weight[run] * reported_on(spec)

    @cached_property
    def _weight(self) -> dict[str, float]:
        """What an image costs in each run; it is asked for in every frame."""
        return {run: macs(spec.model) or 1.0 for run, spec in self.specs.items()}

    def name(self, run: str) -> str:
        """A run, for people."""
        return name(self.specs[run], self.label)

    def cells(self) -> dict[tuple[str, str], list[str]]:
        """The runs of each cell, cells in the order of the plan."""
        cells: dict[tuple[str, str], list[str]] = {}
        for run, spec in self.specs.items():
            cells.setdefault(self.label(spec), []).append(run)
        return cells

    def summary(self) -> str:
        """Runs done, speed and time left, in one line."""
        parts = [f"{self.finished}/{len(self.todo)} runs"]
        if speed := sum(self.speed.values()):
            parts.append(f"{speed:.0f} images/s")
        if (left := self.seconds_left()) is not None and self.finished < len(self.todo):
            parts.append(f"{screen.duration(left)} left")
        if not (self.at or self.ended):
            parts.append("workers start")
        return ", ".join(parts)


class Lines:
    """One line for each run that ends, and one in a while in between."""

    def __init__(self, progress: Progress, console: Console) -> None:
        self.progress = progress
        self.console = console
        self._said: float | None = None

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def __call__(self, event: Event) -> None:
        self.progress.update(event)
        if event.kind == "note":
            self._say(event.message)
        elif event.kind in ("done", "diverged", "failed"):
            self._say(f"{self.progress.name(event.run_id)}: {outcome(event)}")
        elif event.kind == "progress" and self._due():
            name, of = self.progress.name(event.run_id), f"{event.step}/{event.steps}"
            self._say(f"{name}: step {of}")

    def _due(self) -> bool:
        """Whether it is time for a line: the first is one as soon as it can tell the time left."""
        if self._said is None:
            return self.progress.seconds_left() is not None
        return time.monotonic() - self._said > QUIET

    def _say(self, text: str) -> None:
        self._said = time.monotonic()
        self.console.print(f"[{self.progress.summary()}] {text}", soft_wrap=True)


def outcome(event: Event) -> str:
    """How a run ended, for people."""
    if event.kind != "done":
        return f"{event.kind}{': ' + event.message if event.message else ''}"
    return (
        f"{screen.percent(event.test_top1)} % test, {screen.percent(event.val_top1)} % validation"
    )


class Screen:
    """A grid that fills, with a bar for each run in progress."""

    def __init__(self, progress: Progress, console: Console) -> None:
        self.progress = progress
        self.console = console
        # A thread of the display's own draws the frames.
        self._drawing = threading.Lock()
        self._live = Live(console=console, refresh_per_second=4, get_renderable=self._frame)

    def __enter__(self) -> Screen:
        self._live.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def __call__(self, event: Event) -> None:
        with self._drawing:
            self.progress.update(event)
        if event.kind == "note":
            self.console.print(event.message)
        elif event.kind in ("diverged", "failed"):
            self.console.print(f"{self.progress.name(event.run_id)}: {outcome(event)}")

    def _frame(self) -> RenderableType:
        with self._drawing:
            return Group(grid(self.progress), bars(self.progress), Text(self.progress.summary()))


def grid(progress: Progress) -> Table:
    """Mean accuracy so far and seeds done in each cell."""
    cells = progress.cells()
    rows = list(dict.fromkeys(row for row, _ in cells))
    columns = list(dict.fromkeys(column for _, column in cells))
    shown = Table(box=None, pad_edge=False)
    shown.add_column("")
    for column in columns:
        shown.add_column(column, justify="right")
    for row in rows:
        texts = (_cell(progress, cells.get((row, column), [])) for column in columns)
        shown.add_row(Text(row), *texts)
    return shown


def _cell(progress: Progress, runs: Iterable[str]) -> Text:
    runs = list(runs)
    if not runs:
        return Text("")
    done = [progress.top1[run] for run in runs if run in progress.top1]
    mean = f"{100 * statistics.fmean(done):.1f}" if done else "-"
    running = any(run in progress.at for run in runs)
    return Text(f"{mean} {len(done)}/{len(runs)}", style="bold" if running else "")


def bars(progress: Progress) -> Table:
    """A bar for each run in progress."""
    shown = Table.grid(padding=(0, 1))
    for run, step in progress.at.items():
        steps = progress.specs[run].recipe.steps
        speed = f"{now:.0f} img/s" if (now := progress.speed.get(run)) else ""
        bar = ProgressBar(total=steps, completed=step, width=16)
        shown.add_row(Text(progress.name(run)), bar, f"{step}/{steps}", speed)
    return shown


@contextmanager
def counting(console: Console) -> Iterator[Callable[[str, int, int], None]]:
    """Shows what is counted before the runs: called with (what, done, of how many)."""
    if not console.is_terminal:
        yield _Announced(console)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with progress_bars.Progress(*columns, console=console, transient=True) as shown:
        tasks: dict[str, progress_bars.TaskID] = {}

        def count(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = shown.add_task(what, total=total)
            shown.update(tasks[what], completed=done, total=total)

        yield count


class _Announced:
    """Says once what is counted, in a log."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._said: set[str] = set()

    def __call__(self, what: str, done: int, total: int) -> None:
        if what not in self._said:
            self._said.add(what)
            self.console.print(f"{what}: {total}", soft_wrap=True)


@contextmanager
def timing(console: Console) -> Iterator[Callable[[Event], None]]:
    """Shows how far a measurement is: called with what its processes report."""
    stage = _Stage(console)
    if not console.is_terminal:
        yield _Stages(stage)
        return
    columns = (TextColumn("{task.description}"), progress_bars.TimeElapsedColumn())
    with progress_bars.Progress(*columns, console=console, transient=True) as shown:
        task = shown.add_task(stage.words, total=None)

        def show(event: Event) -> None:
            if stage.passed(event):
                shown.update(task, description=stage.words)

        yield show


class _Stage:
    """How far the foremost of some processes is in a measurement."""

    def __init__(self, console: Console) -> None:
        self.console, self.what, self.steps = console, "preparing", 0
        self._noted: set[str] = set()

    def passed(self, event: Event) -> bool:
        """Whether ``event`` is news; a note is said, once for all processes."""
        if event.kind == "note" and event.message not in self._noted:
            self._noted.add(event.message)
            self.console.print(event.message, soft_wrap=True)
        news = event.kind == "progress" and event.step > self.steps
        if news:
            self.what, self.steps = event.message, event.step
        return news

    @property
    def words(self) -> str:
        return f"{self.what}, step {self.steps}" if self.steps else self.what


class _Stages:
    """A line for each stage, and one in a while in between."""

    def __init__(self, stage: _Stage) -> None:
        self.stage = stage
        self._began = self._said = time.monotonic()
        self._say(stage.words)

    def __call__(self, event: Event) -> None:
        before, now = self.stage.what, time.monotonic()
        if self.stage.passed(event) and (self.stage.what != before or now - self._said > QUIET):
            self._said = now
            self._say(f"{self.stage.words}, {screen.duration(now - self._began)}")

    def _say(self, text: str) -> None:
        self.stage.console.print(text, soft_wrap=True)


def display(progress: Progress, console: Console) -> Lines | Screen:
    """The live grid where ``console`` is a terminal, else plain lines."""
    return Screen(progress, console) if console.is_terminal else Lines(progress, console)
