"""The cells of a study of pre-training: ways to the target by its size."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from vitexp.analysis.groups import Group
from vitexp.experiment.grids import last_ended, parts, split
from vitexp.experiment.search import Searches, trials_in
from vitexp.runs.record import Results, RunRecord
from vitexp.spec import FromRun, RunSpec, digest, identity
from vitexp.studies.data_size.cells import Cells, fraction_of

DECIDES = ("fraction",)
OWN = (
    *("--source", "--target", "--target-image-column", "--target-label-column"),
    *("--source-classes", "--fractions"),
)
"""The setting in which the cells differ, and the flags of the command beside the settings'."""

SCRATCH, PROBED, FINE_TUNED = ARMS = "from scratch", "linear probe", "fine-tuned"


def arm_of(spec: RunSpec) -> str | None:
    """Which way a run is; None for one that is none, such as a parent."""
    if isinstance(spec.init, FromRun):
        if spec.init.head == "ridge":
            return PROBED
        tuned = spec.recipe.steps > 0 and spec.recipe.early_stopping and not spec.init.tables
        return FINE_TUNED if tuned else None
    return SCRATCH if spec.init is None and spec.recipe.early_stopping else None


def grids_of(done: Results) -> list[Results]:
    """Runs on one target, with one model, that start from runs of one setting or from scratch
    with its recipe; with the parents and the search for rates. The most recently finished last."""
    able = [r for r in done if not r.spec.tries and arm_of(r.spec) is not None]
    from_parent = [r for r in able if r.spec.parent is not None and r.spec.parent in done]
    scratch = [r for r in able if r.spec.init is None]
    grids, searches = [], Searches(done, "lr")
    for own in split(from_parent, lambda r: (_target(r.spec), _setting(_parent(r, done).spec))):
        parents = {p.id: p for p in (_parent(r, done) for r in own)}
        target, recipe = _target(own[0].spec), _recipe(next(iter(parents.values())).spec)
        alike = [r for r in scratch if (_target(r.spec), _recipe(r.spec)) == (target, recipe)]
        fractions = {fraction_of(r.spec) for r in own if arm_of(r.spec) == PROBED}
        kept = [r for r in (*own, *alike) if fraction_of(r.spec) in fractions]
        if len({arm_of(r.spec) for r in kept}) > 1:
            grids.append([*kept, *parents.values(), *searches.of(kept)])
    return [Results(grid) for grid in sorted(grids, key=last_ended)]


def _parent(record: RunRecord, done: Results) -> RunRecord:
    assert record.spec.parent is not None
    return done[record.spec.parent]


def _target(spec: RunSpec) -> str:
    data = dataclasses.replace(spec.data, fraction=None, subset_seed=None)
    return digest([identity(data), identity(spec.model), spec.precision])


def _setting(spec: RunSpec) -> str:
    """What the parents of one table share: all but the seed."""
    return digest(identity(spec.seeded(0)))


def _recipe(spec: RunSpec) -> str:
    """A recipe but for what the size of the target decides."""
    free = dataclasses.replace(spec.recipe, lr=0.0, batch=1, flip=False, early_stopping=None)
    return digest(identity(free))


def parents_of(grid: Results) -> list[RunRecord]:
    """The runs that others of the grid start from."""
    wanted = {record.spec.parent for record in grid}
    return [record for record in grid if record.id in wanted]


def cells_of(grid: Results) -> Cells:
    """Ways by fractions, in the order of :data:`ARMS`; of one cell, the variant that was finished
    last."""

    def key(record: RunRecord) -> tuple[str | None, float]:
        return arm_of(record.spec), fraction_of(record.spec)

    able = [record for record in grid if not record.spec.tries]
    by_key = {key(records[0]): records for records in split(able, key)}
    return Cells(
        {
            (arm, fraction): Group(_latest(by_key[arm, fraction]))
            for arm in ARMS
            for fraction in sorted(fraction for own, fraction in by_key if own == arm)
        },
        trials_in(grid),
    )


def _latest(records: Iterable[RunRecord]) -> list[RunRecord]:
    """Runs that differ in nothing but the seed and the parent's, which is the same."""
    return max(split(records, lambda r: parts(r.spec, init=None)), key=last_ended)
