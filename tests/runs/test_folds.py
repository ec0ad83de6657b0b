"""A seed's folds as one result on all images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.synthetic import record
from vitexp.datasets.load import images_of
from vitexp.errors import VitexpError
from vitexp.experiment.grids import parts
from vitexp.experiment.plan import Plan
from vitexp.runs.folds import Folded, whole
from vitexp.runs.record import RunRecord, pack_classes, pack_correct
from vitexp.settings.flags import Settings
from vitexp.settings.run import resolve
from vitexp.spec import FromRun, RunSpec

ASKED = Settings(dataset="digits", seeds=2, steps=2, folds=3)


@pytest.fixture(scope="module")
def seeds() -> list[RunSpec]:
    base = resolve(ASKED, "fp32")
    return [base.seeded(seed) for seed in base.seeds]


def result(run: RunSpec, right: np.ndarray) -> RunRecord:
    """Of a run, where ``right`` says which of all images are classified correctly."""
    tested = images_of(run.data).tested
    assert tested is not None and run.data.fold is not None
    # Image i, where it is wrong, is taken for class i % 10.
    mistaken = pack_classes(np.flatnonzero(tested & ~right) % 10)
    made = record(run, right[tested], tested=pack_correct(tested), mistaken=mistaken)
    return replace(made, metrics=made.metrics | {"seconds": 2.0 + run.data.fold.index})


def test_all_images_are_in_one_order_whatever_the_partition(seeds):
    right = np.random.default_rng(0).random(seeds[0].data.pool) < 0.7
    found = whole(result(run, right) for seed in seeds for run in reversed(seed.folds))
    assert [one.spec.seed for one in found] == [0, 1]
    for one in found:
        assert isinstance(one, Folded)
        assert one.images == len(right) == 1797
        assert np.array_equal(one.correctness(), right)
        taken = one.taken()
        assert taken is not None
        assert np.array_equal(taken, np.where(right, -1, np.arange(1797) % 10))
        assert one.metrics["test_top1"] == pytest.approx(right.mean(), abs=1e-12)
        assert one.metrics["seconds"] == 2 + 3 + 4
        assert one.runs == tuple(run.id for run in one.spec.folds)
    shares = [r.metrics["val_top1"] for r in found[0].folds]  # type: ignore[attr-defined]
    assert found[0].metrics["val_top1"] == pytest.approx(np.mean(shares))


def test_a_seed_without_all_its_folds_is_none_and_one_that_diverged_is_lost(seeds):
    right = np.ones(seeds[0].data.pool, bool)
    first, second = ([result(run, right) for run in seed.folds] for seed in seeds)
    assert [one.spec.seed for one in whole([*first, *second[1:]])] == [0]
    lost = record(seeds[1].folds[2], None)
    (one, other) = whole([*first, *second[:2], lost])
    assert (one.status, other.status, other.id) == ("done", "diverged", lost.id)
    assert set(other.runs) == {run.id for run in seeds[1].folds}


def test_the_folds_of_all_seeds_are_one_cell_and_have_ids_of_their_own(seeds):
    runs = [run for seed in seeds for run in seed.folds]
    assert len({run.id for run in runs}) == 6
    assert len({parts(run) for run in runs}) == 1
    plain = resolve(replace(ASKED, folds=None), "fp32").run
    assert parts(plain) != parts(runs[0])
    assert plain.folds == (plain,)


def test_a_plan_has_a_run_a_fold_and_is_limited_by_seeds(seeds):
    plan = Plan({("a",): seeds, ("b",): [replace(s, precision="bf16") for s in seeds]}).folded()
    assert [len(runs) for runs in plan.cells.values()] == [6, 6]
    assert [run.seed for run in plan.runs] == [0] * 6 + [1] * 6
    assert [len(runs) for runs in plan.limited({("a",): 1}).cells.values()] == [3, 6]
    tuned = replace(seeds[0], init=FromRun(seeds[1].id))
    with pytest.raises(VitexpError, match="--folds is for runs from scratch"):
        Plan({("a",): seeds, ("b",): [tuned]}).folded()


def test_a_stored_fold_must_say_which_images_it_tested(seeds):
    written = result(seeds[0].folds[1], np.ones(1797, bool)).to_json()
    assert RunRecord.from_json(written).to_json() == written
    for tested in (None, pack_correct(np.ones(1797, bool))):
        with pytest.raises(ValueError, match="of 1797 images tested"):
            RunRecord.from_json(written | {"tested": tested})
    with pytest.raises(ValueError, match="one class for each of 0 mistakes"):
        RunRecord.from_json(written | {"mistaken": pack_classes(np.ones(1))})
    plain = record(resolve(replace(ASKED, folds=None), "fp32").run, np.ones(360, bool)).to_json()
    # As earlier versions wrote it.
    del plain["tested"], plain["mistaken"]
    read = RunRecord.from_json(plain)
    assert read.tested is None and read.taken() is None
