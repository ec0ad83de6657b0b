"""Which inductive bias has each family, and how much of it does data replace? (Paper, 3.1, 4.5.)

    vitexp ablate bias

A ResNet, a hybrid and a ViT of about equal MACs on nested fractions of the training split, trained
as ``vitexp scale`` trains them (with its fractions they are the same runs). Each finished run is
then measured on its test images, once: its class and its map of features under shifts, under tiles
in another order and under hidden ones; how near the pixels are on which a cell of the map depends;
how far heads look; whether positional embeddings form a plane.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

from vitexp.catalog.ladders import EQUAL, Ladder
from vitexp.errors import VitexpError
from vitexp.experiment.by_fraction import ByFraction, facts
from vitexp.experiment.fractions import Cells
from vitexp.experiment.plan import Grid, Plan
from vitexp.reporting.report import Claim, Report
from vitexp.runs.record import Results
from vitexp.settings.base import Base
from vitexp.settings.flags import Settings
from vitexp.spec import ProbeKind
from vitexp.studies.bias.claims import claims
from vitexp.studies.bias.report import COLUMNS, csv_rows, figures, notes, tables


@dataclass(frozen=True)
class Bias(ByFraction):
    """Three families by fractions of the training split, measured when they are trained."""

    ladder: ClassVar[Ladder] = EQUAL
    claim_ids: ClassVar[tuple[str, ...]] = ("IB1", "IB2", "IB3", "IB4", "IB5")
    probe: ClassVar[ProbeKind] = "bias"

    @classmethod
    def configured(cls, own: Mapping[str, str], settings: Settings) -> Self:
        if settings.folds is not None:
            raise VitexpError(
                "vitexp ablate bias compares what stays on the same test images, and --folds has"
                " others for each run.",
                "Leave it out.",
            )
        return super().configured(own, settings)

    def plan(self, base: Base, done: Results) -> Plan:
        return Plan(self.cells(base, self.runs(base)))

    def report(self, grid: Grid) -> Report:
        cells = Cells.by_cost(grid)
        title = f"Inductive bias by the amount of training data on {cells.data}"
        return Report(
            stem=self.stem,
            title=title,
            facts=facts(cells),
            tables=tables(cells),
            columns=COLUMNS,
            rows=csv_rows(cells),
            figures=figures(cells),
            claims=claims(cells),
            notes=notes(cells),
        )

    def verdicts(self, grid: Grid) -> tuple[Claim, ...]:
        return claims(Cells.by_cost(grid))
