"""What a study is: a plan of runs, and a report on the runs that are done."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

from vitexp.reporting.report import Claim, Report
from vitexp.runs.record import Results
from vitexp.settings.base import Base
from vitexp.spec import RunSpec


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
