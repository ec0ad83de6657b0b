"""Does interpolating the positional tables make fine-tuning on larger images work? (Section 3.2.)

    vitexp ablate resolution

Each positional signal is pre-trained at the images' size r and fine-tuned at r, 1.5 r and 2 r,
a quarter as long; where its tables have to change, once with the learned ones interpolated and
once with tables drawn anew. What differs is what interpolation is worth. At the larger sizes each
is also measured before it is fine-tuned, with the old head.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from vitexp.catalog.recipes import finetuning, measuring
from vitexp.datasets.load import describe
from vitexp.experiment.grids import last_ended, split
from vitexp.experiment.study import Study
from vitexp.models import count
from vitexp.models.count import onto
from vitexp.positions import PAPER_POSITIONS, position_spec
from vitexp.reporting.report import Report
from vitexp.runs.record import Results, RunRecord
from vitexp.settings.base import Base
from vitexp.spec import DataSpec, FromRun, PositionSpec, RunSpec, digest, identity
from vitexp.studies.resolution.report import resolution_report

FACTORS = (1.0, 1.5, 2.0)
SHARE = 4
"""Steps of pre-training for each step of fine-tuning."""


class Resolution(Study):
    """Positional signals by image sizes, with and without interpolation."""

    stem: ClassVar[str] = "resolution"
    command: ClassVar[str] = "ablate resolution"
    claim_ids: ClassVar[tuple[str, ...]] = ("PE9",)
    decides: ClassVar[tuple[str, ...]] = ("position", "placement")
    needs: ClassVar = "transformer"

    def plan(self, base: Base, done: Results) -> list[RunSpec]:
        """All cells of the first seed, then of the next; each parent before its fine-tunes."""
        images = [_data(base.run.data, size) for size in _sizes(base.run)]
        runs = []
        for seed in base.seeds:
            for kind in PAPER_POSITIONS:
                parent = base.cell(position_spec(kind, "stem", base.std_of(kind)), seed)
                runs += [parent, *(run for data in images for run in _children(parent, data))]
                runs += [run for data in images for run in _measured(parent, data)]
        return runs

    def label(self, spec: RunSpec) -> tuple[str, str]:
        size = f"{spec.model.image_size} px"
        if not isinstance(spec.init, FromRun):
            return spec.position.kind, f"pre-trained, {size}"
        before = "" if spec.recipe.steps else ", not tuned"
        return spec.position.kind, f"{size}, {spec.init.tables or 'learned'}{before}"

    def grids(self, done: Results) -> list[Results]:
        tuned = [r for r in done if _tuned(r, done)]
        parts = split(tuned, lambda r: (_setting(r.spec), _setting(_parent(r, done).spec)))
        wide = [part for part in parts if len({r.spec.model.image_size for r in part}) > 1]
        return [Results([*part, *_behind(part, done)]) for part in sorted(wide, key=last_ended)]

    def report(self, grid: Results) -> Report:
        return resolution_report(self.stem, grid)


def _tuned(record: RunRecord, done: Results) -> bool:
    spec = record.spec
    from_run = spec.parent is not None and spec.parent in done and spec.recipe.steps > 0
    return from_run and spec.model.vit is not None and not spec.tries


def _behind(part: list[RunRecord], done: Results) -> list[RunRecord]:
    """The parents of fine-tuned runs, and what these reached at other sizes without it."""
    parents = {record.spec.parent for record in part}
    sizes = {record.spec.data.fingerprint for record in part}
    return [
        record
        for record in done
        if record.id in parents
        or (_is_measured(record.spec, parents) and record.spec.data.fingerprint in sizes)
    ]


def _is_measured(spec: RunSpec, parents: set[str | None]) -> bool:
    init = spec.init
    return isinstance(init, FromRun) and init.run in parents and init.head == "kept"


def _parent(record: RunRecord, done: Results) -> RunRecord:
    assert record.spec.parent is not None
    return done[record.spec.parent]


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


def _setting(spec: RunSpec) -> str:
    """What the runs of one table share: not the position, the image size, the seed, the start."""
    vit = dataclasses.replace(spec.model.transformer, position=PositionSpec())
    model = dataclasses.replace(spec.model, vit=vit, image_size=0)
    data = dataclasses.replace(spec.data, image_size=0, fingerprint="")
    plain = dataclasses.replace(spec, model=model, data=data, init=None).seeded(0)
    return digest([identity(plain), spec.data.source])
