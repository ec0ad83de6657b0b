"""What does a trained model reach when it is fine-tuned on other images? (Paper, section 3.2.)

    vitexp finetune --from RUN --dataset D --image-size N

The old head is replaced by a zero-initialised linear layer and everything is trained on with
SGD; positional tables are interpolated to the new grid. The learning rate that does best on
validation is looked for with a seed of its own (from the first parent), then each fine-tuned
seed starts from the parent with the same seed. Parents that are not there are trained first.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from functools import partial
from typing import ClassVar

from vitexp.errors import VitexpError
from vitexp.experiment.grids import split
from vitexp.experiment.plan import Grid, Plan
from vitexp.experiment.search import Point, Searches, search, with_rate
from vitexp.experiment.study import Study
from vitexp.reporting.report import Report
from vitexp.runs.plans import Key
from vitexp.runs.record import Results
from vitexp.settings.base import Base
from vitexp.spec import TUNING_SEEDS, FromRun, RunSpec, digest, identity
from vitexp.studies.finetune.report import PARENTS, TUNED, finetune_report


class FineTune(Study):
    """Fine-tuned runs, one for each seed of their parent."""

    stem: ClassVar[str] = "finetune"
    command: ClassVar[str] = "finetune --from RUN"
    searches: ClassVar[bool] = True

    def plan(self, base: Base, done: Results) -> Plan:
        """The parents and the search for a rate; then, with the best, every seed."""
        if base.run.init is None:
            raise VitexpError(
                "A fine-tune starts from a run or a file.",
                "Type `vitexp finetune --from RUN`, with an id from `vitexp runs list`.",
            )
        parents = [base.parent.seeded(seed) for seed in base.seeds] if base.parent else []
        tries: dict[Key, list[RunSpec]] = {}
        point: Point = (0,)
        if len(base.rates) > 1:
            place = partial(with_rate, _child(base, TUNING_SEEDS), base.rates)
            trials, best = search([place], (range(len(base.rates)),), done)
            tries = {("rate search", f"lr {run.recipe.lr:g}"): [run] for run in trials}
            if best is None:
                return Plan({PARENTS: parents}, tries=tries, open=True)
            point = best[0]
        tuned = [with_rate(_child(base, seed), base.rates, point) for seed in base.seeds]
        return Plan({TUNED: tuned, PARENTS: parents}, tries=tries)

    def earlier(self, done: Results) -> list[Plan]:
        tuned = [r for r in done if r.spec.init and r.spec.recipe.steps and not r.spec.tries]
        searches = Searches(done, "lr")
        return [
            Plan(
                {
                    TUNED: [record.spec for record in part],
                    PARENTS: [done[p].spec for r in part if (p := r.spec.parent) and p in done],
                },
                tries={("rate search",): [trial.spec for trial in searches.of(part)]},
            )
            for part in split(tuned, lambda record: _setting(record.spec, done))
        ]

    def answered(self, cells: Collection[Key]) -> bool:
        return TUNED in cells

    def report(self, grid: Grid) -> Report:
        return finetune_report(self.stem, grid)


def _child(base: Base, seed: int) -> RunSpec:
    """A fine-tune with this seed; one that searches starts from the first seed's parent."""
    from_seed = base.seeds[0] if seed >= TUNING_SEEDS else seed
    init = FromRun(base.parent.seeded(from_seed).id) if base.parent else base.run.init
    return dataclasses.replace(base.run, init=init).seeded(seed)


def _setting(spec: RunSpec, done: Results) -> str:
    """What the fine-tuned runs of one table share: all but the seed, also of their parents."""
    init = spec.init
    if isinstance(init, FromRun) and init.run in done:
        init = FromRun(done[init.run].spec.seeded(0).id, init.tables)
    return digest(identity(dataclasses.replace(spec, init=init).seeded(0)))
