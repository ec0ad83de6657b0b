"""A study of models by the amount of training data: what all such studies share."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from vitexp.catalog.ladders import Ladder, nearest
from vitexp.catalog.sizes import called
from vitexp.experiment.fractions import FRACTIONS, Cells, Key, shares
from vitexp.experiment.study import Study
from vitexp.reporting.words import FAMILIES, data_words, recipe_words
from vitexp.runs.plans import Key as AnyKey
from vitexp.settings.base import Base
from vitexp.settings.flags import Settings, names
from vitexp.spec import RunSpec


@dataclass(frozen=True)
class ByFraction(Study):
    """Models by fractions of the training split.

    Attributes:
        models: names; empty for those of the ladder.
        fractions: shares of the training split.
        by_epochs: whether the budget is epochs instead of steps.
        by_steps: whether the number of steps was asked for, and is taken at its word.
        ladder: the models that are taken where none are named.
    """

    models: tuple[str, ...] = ()
    fractions: tuple[float, ...] = FRACTIONS
    by_epochs: bool = False
    by_steps: bool = False

    ladder: ClassVar[Ladder]
    decides: ClassVar[tuple[str, ...]] = ("model", "fraction")
    own: ClassVar[tuple[str, ...]] = ("--models", "--fractions")

    @classmethod
    def configured(cls, own: Mapping[str, str], settings: Settings) -> Self:
        rest = {flag: value for flag, value in own.items() if flag not in cls.own}
        study, fractions = super().configured(rest, settings), own.get("--fractions")
        return dataclasses.replace(
            study,
            models=names(own.get("--models", "")),
            fractions=shares(fractions) if fractions else study.fractions,
            by_epochs=settings.epochs is not None,
            by_steps=settings.steps is not None,
        )

    def runs(self, base: Base) -> dict[Key, RunSpec]:
        """The first seed's run of each model, as it was named, at each fraction, rising."""
        models = self.models or nearest(self.ladder, base.run.model.image_size)
        return {
            (model, fraction): base.departure(**self._arm(base, model, fraction))
            for fraction in sorted(set(self.fractions))
            for model in models
        }

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

    @staticmethod
    def cells(base: Base, runs: Mapping[Key, RunSpec]) -> dict[AnyKey, list[RunSpec]]:
        """All seeds of :meth:`runs`, by what the models are called."""
        return {
            (called(run.model), fraction): [run.seeded(seed) for seed in base.seeds]
            for (_, fraction), run in runs.items()
        }

    def answered(self, cells: Collection[AnyKey]) -> bool:
        return len({fraction for _, fraction in cells}) > 1


def facts(cells: Cells) -> tuple[tuple[str, str], ...]:
    """The data, each family's recipe, and the budget."""
    spec = max((group.spec for group in cells.groups.values()), key=lambda s: s.data.used)
    steps = {group.spec.recipe.steps for group in cells.groups.values()}
    budget = (
        f"{min(steps)} steps for every fraction"
        if len(steps) == 1
        else "the same number of epochs for every fraction"
    )
    stop = spec.recipe.early_stopping
    kept = "the weights that do best on validation" if stop else "the last weights"
    families = {cells.family(model): cells.spec(model) for model in cells.models}
    recipes = ((f"recipe, {FAMILIES.get(f, f)}", recipe_words(s)) for f, s in families.items())
    return (("data", data_words(spec)), *recipes, ("budget", f"{budget}; {kept}"))
