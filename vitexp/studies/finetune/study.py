"""What does a trained model reach when it is fine-tuned on other images? (Paper, section 3.2.)

    vitexp finetune --from RUN --dataset D --image-size N

The old head is replaced by a zero-initialised linear layer and everything is trained on with
SGD; positional tables are interpolated to the new grid. The learning rate that does best on
validation is looked for with a seed of its own (from the first parent), then each fine-tuned
seed starts from the parent with the same seed. Parents that are not there are trained first.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import ClassVar

from vitexp.errors import VitexpError
from vitexp.experiment.grids import last_ended, split
from vitexp.experiment.search import Point, Searches, search, with_rate
from vitexp.experiment.study import Study
from vitexp.reporting.report import Report
from vitexp.runs.record import Results, RunRecord
from vitexp.settings.base import Base
from vitexp.spec import TUNING_SEEDS, FromRun, RunSpec, digest, identity
from vitexp.studies.finetune.report import finetune_report


class FineTune(Study):
    """Fine-tuned runs, one for each seed of their parent."""

    stem: ClassVar[str] = "finetune"
    command: ClassVar[str] = "finetune --from RUN"
    searches: ClassVar[bool] = True

    def plan(self, base: Base, done: Results) -> list[RunSpec]:
        """The parents and the search for a rate; then, with the best, every seed."""
        if base.run.init is None:
            raise VitexpError(
                "A fine-tune starts from a run or a file.",
                "Type `vitexp finetune --from RUN`, with an id from `vitexp runs list`.",
            )
        parents = [base.parent.seeded(seed) for seed in base.seeds] if base.parent else []
        tries: list[RunSpec] = []
        point: Point = (0,)
        if len(base.rates) > 1:
            place = partial(with_rate, _child(base, TUNING_SEEDS), base.rates)
            tries, best = search([place], (range(len(base.rates)),), done)
            if best is None:
                return [*tries, *parents]
            point = best[0]
        tuned = [with_rate(_child(base, seed), base.rates, point) for seed in base.seeds]
        return [*tuned, *tries, *parents]

    def label(self, spec: RunSpec) -> tuple[str, str]:
        if spec.init is None:
            return "parent", f"{spec.data.name} {spec.model.image_size} px"
        what = f"{spec.data.name} {spec.model.image_size} px"
        if spec.tries:
            return "rate search", f"{what}, lr {spec.recipe.lr:g}"
        return "fine-tuned", what

    def grids(self, done: Results) -> list[Results]:
        tuned = [r for r in done if _reported(r.spec)]
        parts = sorted(split(tuned, lambda r: _setting(r.spec, done)), key=last_ended)
        searches = Searches(done, "lr")
        return [Results([*part, *_parents(part, done), *searches.of(part)]) for part in parts]

    def report(self, grid: Results) -> Report:
        return finetune_report(self.stem, grid)


def _reported(spec: RunSpec) -> bool:
    return spec.init is not None and spec.recipe.steps > 0 and not spec.tries


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


def _parents(part: list[RunRecord], done: Results) -> list[RunRecord]:
    wanted = {r.spec.parent for r in part}
    return [r for r in done if r.id in wanted]
