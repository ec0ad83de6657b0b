"""What a study is: a plan of runs, and a report on the runs that are done."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from typing import Any, ClassVar, Literal, Self

from vitexp.analysis.groups import Comparison, compare
from vitexp.errors import VitexpError
from vitexp.experiment.looks import Question, better_or_worse
from vitexp.experiment.plan import Grid, Plan
from vitexp.reporting.report import Claim, Report
from vitexp.runs.plans import Key
from vitexp.runs.record import Results
from vitexp.settings.base import Base
from vitexp.settings.flags import Settings
from vitexp.spec import ProbeKind


class Study(ABC):
    """One research question. Stateless: everything is in the arguments.

    Attributes:
        stem: how the file names of its tables and figures begin.
        command: what to type for it, after ``vitexp``.
        claim_ids: the paper's claims that it tests.
        searches: whether what its first runs reach decides which others it plans.
        decides: the settings that its cells differ in, which a flag cannot ask for.
        own: the flags that are its own, beside the settings'.
        needs: what its model has to have: a transformer, as a ViT and a hybrid do, or that alone.
        probe: what is measured of its finished runs, on their own images; that needs their weights.
    """

    stem: ClassVar[str]
    command: ClassVar[str]
    claim_ids: ClassVar[tuple[str, ...]] = ()
    searches: ClassVar[bool] = False
    decides: ClassVar[tuple[str, ...]] = ()
    own: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[Literal["transformer", "vit"] | None] = None
    probe: ClassVar[ProbeKind | None] = None

    def __init_subclass__(cls, **options: Any) -> None:
        """Names a study after its class where it does not name itself: ``PosEmb`` -> ``pos_emb``,
        ``ablate pos-emb``."""
        super().__init_subclass__(**options)
        if "stem" not in vars(cls):
            cls.stem = re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()
        if "command" not in vars(cls):
            cls.command = f"ablate {cls.stem.replace('_', '-')}"

    @classmethod
    def configured(cls, own: Mapping[str, str], settings: Settings) -> Self:
        """The study with its own flags, as they are written; ``""`` for a switch.

        Raises:
            VitexpError: a flag that it does not have, or values that exclude one another.
        """
        for flag in own:
            raise VitexpError(f"{flag} means nothing to this study.", "Leave it out.")
        return cls()

    @abstractmethod
    def plan(self, base: Base, done: Results) -> Plan:
        """The runs that the question needs, given what is done; asked again after each wave."""

    def planned(self, base: Base, done: Results) -> Plan:
        """The plan, with a run for each fold where there are any.

        Raises:
            VitexpError: as :meth:`plan` and :meth:`~vitexp.experiment.plan.Plan.folded`.
        """
        plan = self.plan(base, done)
        return plan if base.run.data.fold is None else plan.folded()

    @abstractmethod
    def report(self, grid: Grid) -> Report:
        """Tables, figures and verdicts of what is done of a plan, as data."""

    def verdicts(self, grid: Grid) -> tuple[Claim, ...]:
        """The claims of :meth:`report`; a study that has them without the rest says so."""
        return self.report(grid).claims

    def reference(self, grid: Grid) -> Key | None:
        """The cell that the others are compared with: the plan's, where it has runs."""
        return grid.reference if grid.reference in grid else None

    def compared(self, grid: Grid) -> dict[Key, Comparison]:
        """Each other cell against the reference; nothing without one."""
        against = self.reference(grid)
        if against is None:
            return {}
        others = {key: group for key, group in grid.items() if key != against}
        return compare(others, grid[against])

    def questions(self, grid: Grid) -> list[Question]:
        """What more seeds may decide: here, how each cell compares with the reference.

        Raises:
            VitexpError: a plan without a reference.
        """
        if grid.reference is None:
            raise VitexpError(
                f"vitexp {self.command} has no verdicts that wait for seeds alone.",
                "Leave --until-decided out, and choose with --seeds.",
            )
        against = self.reference(grid) if grid else None
        if against is None:
            return []
        return [
            better_or_worse(" ".join(filter(None, self.label(key))), (key, against), comparison)
            for key, comparison in self.compared(grid).items()
        ]

    def earlier(self, done: Results) -> list[Plan] | None:
        """What was asked for, told from its runs; None where the flags that they keep tell it."""
        return None

    def answered(self, cells: Collection[Key]) -> bool:
        """Whether these cells of a plan are enough for a table."""
        return len(cells) > 1

    def label(self, key: Key) -> tuple[str, str]:
        """Row and column of a cell in the grid that is shown while runs run."""
        row, *rest = (f"{100 * part:g} %" if isinstance(part, float) else str(part) for part in key)
        return row, ", ".join(rest)
