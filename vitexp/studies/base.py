"""What a study is: a plan of runs, and a report on the runs that are done."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from vitexp.runs.record import Results
from vitexp.spec import PositionSpec, RunSpec
from vitexp.studies.report import Claim, Report


@dataclass(frozen=True)
class Base:
    """What a study departs from, resolved from the flags.

    Attributes:
        run: a complete run; a study changes only the thing under test and the seed.
        seeds: the seeds of every cell.
        position_std: kind of position -> initial std of its tables under this recipe;
            ``"*"`` stands for every other kind.
        parent: the run that a fine-tune starts from, in any of its seeds; None for others.
        rates: the learning rates of which a fine-tune takes the best.
        resolver: gives the run with some settings changed; None where there are no flags.
    """

    run: RunSpec
    seeds: tuple[int, ...]
    position_std: Mapping[str, float]
    resolver: Callable[[Mapping[str, Any]], RunSpec] | None = None
    parent: RunSpec | None = None
    rates: tuple[float, ...] = ()

    def std_of(self, kind: str) -> float:
        return self.position_std.get(kind, self.position_std["*"])

    def seeded(self, seed: int) -> RunSpec:
        """The base run with another seed."""
        return self.run.seeded(seed)

    def departure(self, **changes: Any) -> RunSpec:
        """The first seed's run that the flags would have asked for with these settings changed.

        Flags about a part that another model does not have are left out.

        Raises:
            VitexpError: settings that do not fit one another or the data.
        """
        assert self.resolver is not None
        return dataclasses.replace(self.resolver(changes), asked=self.run.asked)

    def cell(self, position: PositionSpec, seed: int) -> RunSpec:
        """The base run, which has a transformer, with another position and seed."""
        vit = dataclasses.replace(self.run.model.transformer, position=position)
        model = dataclasses.replace(self.run.model, vit=vit)
        return dataclasses.replace(self.run, model=model).seeded(seed)


class Study(ABC):
    """One research question. Stateless: everything is in the arguments.

    Attributes:
        stem: file name, without ending, of its tables and figures.
        command: what to type for it, after ``vitexp``.
        claim_ids: the paper's claims that it tests.
        searches: whether what its first runs reach decides which others it plans.
        decides: the settings that its cells differ in, which a flag cannot ask for.
        needs: what its model has to have: a transformer, as a ViT and a hybrid do, or that alone.
    """

    stem: ClassVar[str]
    command: ClassVar[str]
    claim_ids: ClassVar[tuple[str, ...]] = ()
    searches: ClassVar[bool] = False
    decides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[Literal["transformer", "vit"] | None] = None

    @abstractmethod
    def plan(self, base: Base, done: Results) -> list[RunSpec]:
        """The runs that the question needs, given what is done; asked again after each wave."""

    @abstractmethod
    def label(self, spec: RunSpec) -> tuple[str, str]:
        """Row and column of a run in the grid that is shown while runs run."""

    @abstractmethod
    def grids(self, done: Results) -> list[Results]:
        """The runs of the store that answer this question, one entry a setting (data, model,
        recipe, precision), the most recently finished last. Settings are never pooled."""

    @abstractmethod
    def report(self, grid: Results) -> Report:
        """Tables, figures and verdicts of one entry of :meth:`grids`, as data."""

    def verdicts(self, grid: Results) -> tuple[Claim, ...]:
        """The claims of :meth:`report`; a study that has them without the rest says so."""
        return self.report(grid).claims
