"""A study's plan as data, and what is done of it."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from vitexp.analysis.groups import Group
from vitexp.errors import VitexpError
from vitexp.experiment.grids import last_ended, parts
from vitexp.runs.folds import whole
from vitexp.runs.measurement import Measurement
from vitexp.runs.plans import Asked, Key
from vitexp.runs.record import Results, RunRecord
from vitexp.spec import FromRun, RunSpec, digest

Command = Callable[[int, int], str]
"""(first seed, seeds) -> the command that runs so many seeds of all cells."""


@dataclass(frozen=True)
class Plan:
    """The runs that answer a question.

    Attributes:
        cells: what each is called -> its runs, a seed each or a seed and fold; runs that others
            start from, too.
        reference: the cell that the others are compared with; None where results decide.
        tries: what a search is called -> its runs, which choose settings and are not reported.
        open: whether what the tries reach decides on further cells.
    """

    cells: Mapping[Key, Sequence[RunSpec]]
    reference: Key | None = None
    tries: Mapping[Key, Sequence[RunSpec]] = field(default_factory=dict)
    open: bool = False

    @cached_property
    def runs(self) -> list[RunSpec]:
        """Each once: the tries, then all cells of the first seed, then of the next, so that an
        early stop leaves whole tables."""
        tries = (run for runs in self.tries.values() for run in runs)
        by_seed = itertools.zip_longest(*self.cells.values())
        cells = (run for row in by_seed for run in row if run is not None)
        return list({run.id: run for run in (*tries, *cells)}.values())

    @cached_property
    def keys(self) -> dict[str, Key]:
        """Id of each run -> what its cell or search is called."""
        named = (*self.cells.items(), *self.tries.items())
        return {run.id: key for key, runs in reversed(named) for run in runs}

    def limited(self, seeds: Mapping[Key, int]) -> Plan:
        """With at most so many seeds of these cells, and what the runs that stay start from."""
        kept = {
            run.id
            for key, runs in self.cells.items()
            for run in runs
            if run.seed in list(dict.fromkeys(each.seed for each in runs))[: seeds.get(key)]
        }
        parents = {run.id: run.parent for run in self.runs if run.parent}
        while more := {parents[run] for run in kept & parents.keys()} - kept:
            kept |= more
        cells = {key: [r for r in runs if r.id in kept] for key, runs in self.cells.items()}
        return dataclasses.replace(self, cells=cells)

    def folded(self) -> Plan:
        """With a run for each fold in place of one for the first; the tries, which only choose
        settings, stay as they are.

        Raises:
            VitexpError: runs that start from others, which may have seen what is tested.
        """
        if any(run.init or run.data.fold is None for run in self.runs):
            raise VitexpError(
                "--folds is for runs from scratch, and some of these start from weights that were"
                " trained before, perhaps on the images of a fold.",
                "Leave it out.",
            )
        cells = {
            key: [one for run in runs for one in run.folds] for key, runs in self.cells.items()
        }
        return dataclasses.replace(self, cells=cells)

    def asked(self, study: str, stem: str) -> Asked:
        """What there is to write down of it, under the study's name."""
        compared = [self._compared(key) for key, runs in self.cells.items() if runs]
        first = next(run for runs in self.cells.values() for run in runs)
        return Asked(
            study=study,
            name=f"{stem}-{digest(compared)}",
            flags=first.asked,
            cells={key: tuple(run.id for run in runs) for key, runs in self.cells.items()},
            reference=self.reference,
            tries=tuple(run.id for runs in self.tries.values() for run in runs),
        )

    def _compared(self, key: Key) -> object:
        """A cell but for the seed, also of the run that it starts from."""
        run = self.cells[key][0]
        start = run.init
        if isinstance(start, FromRun) and start.run in self.keys:
            own = (*self.keys[start.run], start.tables, start.head)
            return [list(key), list(own), parts(run, init=None)]
        return [list(key), parts(run)]


class Grid(Mapping[Any, Group]):
    """The finished runs of a plan, by cell in its order; a cell without one is left out.

    Attributes:
        reference: the cell that the others are compared with; None where results decide.
        tries: the runs that chose settings.
        flags: that ask for it again, but for the seeds.
        command: what takes them, after ``vitexp``.
        name, digest: the plan's, and of what it compares: hexadecimal digits.

    Args:
        measured: where the question is about what is measured of finished runs: that, by their
            ids; a run without it is not done.
    """

    def __init__(
        self,
        asked: Asked,
        done: Results,
        command: str,
        measured: Mapping[str, Measurement] | None = None,
    ) -> None:
        if measured is not None:
            done = done.where(lambda record: record.status == "diverged" or record.id in measured)
        found = {
            key: whole(done[run] for run in runs if run in done)
            for key, runs in asked.cells.items()
        }
        self._groups = {key: Group(records, measured) for key, records in found.items() if records}
        self.reference = asked.reference
        self.tries: tuple[RunRecord, ...] = tuple(done[run] for run in asked.tries if run in done)
        self.flags, self.command = asked.flags, command
        self.name, self.digest = asked.name, asked.name.rpartition("-")[2]

    def __getitem__(self, key: Key) -> Group:
        return self._groups[key]

    def __iter__(self) -> Iterator[Key]:
        return iter(self._groups)

    def __len__(self) -> int:
        return len(self._groups)

    @property
    def records(self) -> list[RunRecord]:
        """All runs of the cells."""
        return [record for group in self.values() for record in group.records]

    @property
    def spec(self) -> RunSpec:
        """Any cell's, for what all share."""
        return next(iter(self.values())).spec

    @property
    def ended(self) -> str:
        """When the last run ended, ISO 8601."""
        return last_ended(self.records)

    @property
    def again(self) -> str:
        """What to type for the seeds that there are."""
        seeds = sorted({record.spec.seed for record in self.records})
        return self.more(seeds[0], seeds[-1] - seeds[0] + 1)

    def more(self, first_seed: int, seeds: int) -> str:
        """What to type for so many seeds of all cells."""
        first = f" --seed {first_seed}" if first_seed else ""
        return f"`vitexp {self.command} {self.flags}{first} --seeds {seeds}`"
