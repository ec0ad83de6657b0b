"""How much data does each family need? (Paper, section 4.3, Figures 3 and 4.)

    vitexp scale

Nested, stratified fractions of the training split, by models, by seeds; by default a ResNet, a
hybrid and a ViT of about equal MACs, and a smaller and a larger ViT. The budget is the same
number of steps for every fraction (the paper's text leaves it open; this is our reading), or
with ``--epochs`` the same number of epochs; the weights that do best on validation are kept.

On the embedded digits, 5 seeds and 400 steps, the ResNet leads the ViT of equal MACs by 5 points
at 3 % of the data and is level with it with all. At 3 % the standard deviation over seeds is 2 to 4
points: look at the trend, not at single cells.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

from vitexp.catalog.ladders import SCALE, Ladder
from vitexp.catalog.sizes import called
from vitexp.experiment.by_fraction import ByFraction, facts
from vitexp.experiment.fractions import Cells
from vitexp.experiment.looks import Question
from vitexp.experiment.plan import Grid, Plan
from vitexp.experiment.search import tuned, with_exponents
from vitexp.reporting.report import Claim, Report
from vitexp.runs.plans import Key as AnyKey
from vitexp.runs.record import Results
from vitexp.settings.base import Base
from vitexp.settings.flags import Settings
from vitexp.spec import RunSpec
from vitexp.studies.data_size.claims import claims
from vitexp.studies.data_size.report import COLUMNS, crosses, csv_rows, figure, notes, tables


@dataclass(frozen=True)
class DataSize(ByFraction):
    """Models by fractions of the training split.

    Attributes:
        tune: whether a search on validation chooses each model's learning rate and decay.
    """

    tune: bool = False

    ladder: ClassVar[Ladder] = SCALE
    command: ClassVar[str] = "scale"
    claim_ids: ClassVar[tuple[str, ...]] = ("DS1", "DS2", "DS3", "DS4", "DS5")
    own: ClassVar[tuple[str, ...]] = (*ByFraction.own, "--tune")

    @classmethod
    def configured(cls, own: Mapping[str, str], settings: Settings) -> Self:
        return dataclasses.replace(super().configured(own, settings), tune="--tune" in own)

    def plan(self, base: Base, done: Results) -> Plan:
        """All cells; with tuning, its trials before them."""
        cells = self.runs(base)
        tries: dict[AnyKey, list[RunSpec]] = {}
        if self.tune:
            models = list(dict.fromkeys(model for model, _ in cells))
            trials, best = tuned([cells[model, max(self.fractions)] for model in models], done)
            for run in trials:
                tries.setdefault((called(run.model), "tuning"), []).append(run)
            if best is None:
                return Plan({}, tries=tries, open=True)
            chosen = dict(zip(models, best, strict=True))
            cells = {key: with_exponents(run, chosen[key[0]]) for key, run in cells.items()}
        return Plan(self.cells(base, cells), tries=tries)

    def report(self, grid: Grid) -> Report:
        cells = Cells.by_cost(grid)
        return Report(
            stem=self.stem,
            title=f"Models against the amount of training data on {cells.data}: test top-1 in %",
            facts=facts(cells),
            tables=tables(cells),
            columns=COLUMNS,
            rows=csv_rows(cells),
            figures=(figure(cells, cells.data),),
            claims=claims(cells),
            notes=notes(cells),
        )

    def verdicts(self, grid: Grid) -> tuple[Claim, ...]:
        return claims(Cells.by_cost(grid))

    def questions(self, grid: Grid) -> list[Question]:
        """Whether each pair crosses."""
        cells = Cells.by_cost(grid)
        return [Question(p.label, tuple(cells.keys(p)), crosses(cells, p)) for p in cells.pairs]
