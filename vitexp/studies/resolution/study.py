"""Does interpolating the positional tables make fine-tuning on larger images work? (Section 3.2.)

    vitexp ablate resolution

Each positional signal is pre-trained at the images' size r and fine-tuned at r, 1.5 r and 2 r,
a quarter as long; where its tables have to change, once with the learned ones interpolated and
once with tables drawn anew. What differs is what interpolation is worth. At the larger sizes each
is also measured before it is fine-tuned, with the old head.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import ClassVar

from vitexp.catalog.recipes import finetuning, measuring
from vitexp.datasets.load import describe
from vitexp.experiment.plan import Grid, Plan
from vitexp.experiment.study import Study
from vitexp.models import count
from vitexp.models.count import onto
from vitexp.positions import PAPER_POSITIONS, position_spec
from vitexp.reporting.report import Report
from vitexp.runs.plans import Key
from vitexp.runs.record import Results
from vitexp.settings.base import Base
from vitexp.spec import DataSpec, FromRun, RunSpec
from vitexp.studies.resolution.report import AFTER, BEFORE, PARENT, resolution_report

FACTORS = (1.0, 1.5, 2.0)
SHARE = 4
"""Steps of pre-training for each step of fine-tuning."""


class Resolution(Study):
    """Positional signals by image sizes, with and without interpolation."""

    claim_ids: ClassVar[tuple[str, ...]] = ("PE9",)
    decides: ClassVar[tuple[str, ...]] = ("position", "placement")
    needs: ClassVar = "transformer"

    def plan(self, base: Base, done: Results) -> Plan:
        images = [_data(base.run.data, size) for size in _sizes(base.run)]
        cells: dict[Key, list[RunSpec]] = {}
        for seed in base.seeds:
            for kind in PAPER_POSITIONS:
                parent = base.cell(position_spec(kind, "stem", base.std_of(kind)), seed)
                children = [run for data in images for run in _children(parent, data)]
                measured = [run for data in images for run in _measured(parent, data)]
                for run in (parent, *children, *measured):
                    cells.setdefault(_key(run), []).append(run)
        return Plan(cells)

    def label(self, key: Key) -> tuple[str, str]:
        kind, size, how, stage = key
        if how == PARENT:
            return kind, f"{how}, {size} px"
        return kind, f"{size} px, {how}{f', {stage}' if stage == BEFORE else ''}"

    def answered(self, cells: Collection[Key]) -> bool:
        tuned = {size for _, size, _, stage in cells if stage == AFTER}
        return len(tuned) > 1 and any(how == PARENT for _, _, how, _ in cells)

    def report(self, grid: Grid) -> Report:
        return resolution_report(self.stem, grid)


def _key(run: RunSpec) -> Key:
    how = run.init.tables or "learned" if isinstance(run.init, FromRun) else PARENT
    stage = AFTER if run.init and run.recipe.steps else BEFORE
    return run.position.kind, run.model.image_size, how, stage


def _sizes(run: RunSpec) -> list[int]:
    """The image sizes, each the multiple of the patch that is nearest."""
    patch = run.model.transformer.patch
    return sorted({patch * round(factor * run.model.image_size / patch) for factor in FACTORS})


def _data(data: DataSpec, size: int) -> DataSpec:
    """The same images at another size."""
    if size == data.image_size:
        return data
    larger, _ = describe(
        data.source,
        image_size=size,
        split_seed=data.split_seed,
        reading=data.reading,
        fraction=data.fraction,
        subset_seed=data.subset_seed or 0,
    )
    return larger


def _children(parent: RunSpec, data: DataSpec) -> list[RunSpec]:
    """The fine-tunes of a run at one size: with fresh tables, too, where tables must change."""
    run = dataclasses.replace(
        parent,
        model=onto(parent.model, parent.model.classes, data.image_size),
        data=data,
        recipe=finetuning(parent.recipe, max(1, parent.recipe.steps // SHARE)),
        init=FromRun(parent.id),
    ).seeded(parent.seed)
    return _also_fresh(run) if data.image_size != parent.model.image_size else [run]


def _measured(parent: RunSpec, data: DataSpec) -> list[RunSpec]:
    """A run at another size as it is, with learned and with fresh tables."""
    if data.image_size == parent.model.image_size:
        return []
    run = dataclasses.replace(
        parent,
        model=count.at_resolution(parent.model, data.image_size),
        data=data,
        recipe=measuring(),
        init=FromRun(parent.id, head="kept"),
    ).seeded(parent.seed)
    return _also_fresh(run)


def _also_fresh(run: RunSpec) -> list[RunSpec]:
    """A run, and the same with fresh tables where it has tables."""
    assert isinstance(run.init, FromRun)
    fresh = dataclasses.replace(run, init=dataclasses.replace(run.init, tables="fresh"))
    return [run] if run.position.kind == "none" else [run, fresh]
