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

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from vitexp.catalog.ladders import SCALE, nearest
from vitexp.catalog.sizes import called
from vitexp.experiment.fractions import FRACTIONS, Cells, Key, shares
from vitexp.experiment.looks import Question
from vitexp.experiment.plan import Grid, Plan
from vitexp.experiment.search import tuned, with_exponents
from vitexp.experiment.study import Study
from vitexp.reporting.report import Claim, Report
from vitexp.runs.record import Results
from vitexp.settings.base import Base
from vitexp.settings.flags import Settings, names
from vitexp.spec import RunSpec
from vitexp.studies.data_size.claims import claims
from vitexp.studies.data_size.report import COLUMNS, crosses, csv_rows, facts, figure, notes, tables


@dataclass(frozen=True)
class DataSize(Study):
    """Models by fractions of the training split.

    Attributes:
        models: names; empty for those of the ladder.
        fractions: shares of the training split.
        by_epochs: whether the budget is epochs instead of steps.
        by_steps: whether the number of steps was asked for, and is taken at its word.
        tune: whether a search on validation chooses each model's learning rate and decay.
    """

    models: tuple[str, ...] = ()
    fractions: tuple[float, ...] = FRACTIONS
    by_epochs: bool = False
    by_steps: bool = False
    tune: bool = False

    command: ClassVar[str] = "scale"
    claim_ids: ClassVar[tuple[str, ...]] = ("DS1", "DS2", "DS3", "DS4", "DS5")
    decides: ClassVar[tuple[str, ...]] = ("model", "fraction")
    own: ClassVar[tuple[str, ...]] = ("--models", "--fractions", "--tune")

    @classmethod
    def configured(cls, own: Mapping[str, str], settings: Settings) -> DataSize:
        fractions = own.get("--fractions")
        return cls(
            models=names(own.get("--models", "")),
            fractions=shares(fractions) if fractions else FRACTIONS,
            by_epochs=settings.epochs is not None,
            by_steps=settings.steps is not None,
            tune="--tune" in own,
        )

    def plan(self, base: Base, done: Results) -> Plan:
        """All cells; with tuning, its trials before them."""
        models = self.models or nearest(SCALE, base.run.model.image_size)
        fractions = sorted(set(self.fractions))
        cells = {(m, f): base.departure(**self._arm(base, m, f)) for f in fractions for m in models}
        tries: dict[tuple[str, str], list[RunSpec]] = {}
        if self.tune:
            trials, best = tuned([cells[model, fractions[-1]] for model in models], done)
            for run in trials:
                tries.setdefault((called(run.model), "tuning"), []).append(run)
            if best is None:
                return Plan({}, tries=tries, open=True)
            chosen = dict(zip(models, best, strict=True))
            cells = {key: with_exponents(run, chosen[key[0]]) for key, run in cells.items()}
        return Plan(
            {
                (called(run.model), fraction): [run.seeded(seed) for seed in base.seeds]
                for (_, fraction), run in cells.items()
            },
            tries=tries,
        )

    def _arm(self, base: Base, model: str, fraction: float) -> dict[str, Any]:
        """The settings of a cell. A batch that the smallest fraction cannot fill is halved until
        it can, for all fractions alike; the steps grow so that at least half of the images are
        seen that the recipe would show."""
        steps, full = base.run.recipe.steps, base.run.recipe.batch
        batch, smallest = full, round(min(self.fractions) * base.run.data.train)
        while batch > max(smallest, 1):
            batch //= 2
        arm = {"model": model, "batch": batch, "early_stopping": True, "fraction": fraction}
        if self.by_epochs:
            return arm
        return arm | {"steps": steps if self.by_steps else max(steps, steps * full // (2 * batch))}

    def answered(self, cells: Collection[Key]) -> bool:
        return len({fraction for _, fraction in cells}) > 1

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
