"""When pre-training pays: who learns from which images, what is searched, who wins where."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from tests.commands import TINY, call, read
from tests.plans import done_of
from tests.synthetic import draw, record
from tests.synthetic import spec as digits_spec
from vitexp.datasets.load import describe, images_of
from vitexp.errors import VitexpError
from vitexp.reporting.report import CurveFigure, Report
from vitexp.runs.record import Results, RunRecord
from vitexp.runs.store import Store
from vitexp.settings.base import Base
from vitexp.spec import RunSpec
from vitexp.studies import STUDIES
from vitexp.studies.pretrain.cells import FINE_TUNED, PROBED, SCRATCH
from vitexp.studies.pretrain.study import Pretrain

STUDY = Pretrain(fractions=(0.1, 1.0))
EMPTY = Results(())


def base(seeds: int = 3) -> Base:
    data, _ = describe("digits")
    run = dataclasses.replace(digits_spec("learned_1d"), data=data)
    return Base(run, tuple(range(seeds)), {"*": 0.5})


def searched(asked: Base, study: Pretrain = STUDY, best: float = 0.01) -> Results:
    """The trials, each as good on validation as its rate is near ``best``."""
    done = EMPTY
    while True:
        trials = [run for run in study.plan(asked, done).runs if run.tries]
        if all(run.id in done for run in trials):
            return done
        # A best rate at the end of its list asks for more.
        done = Results(made(r, 0.8, 0.9 - abs(np.log(r.recipe.lr / best)) / 50) for r in trials)


def arm_of(run: RunSpec) -> str | None:
    """Which way a run of the plan is; None for a parent."""
    if run.parent:
        return FINE_TUNED if run.recipe.steps else PROBED
    return SCRATCH if run.recipe.early_stopping else None


def made(run: RunSpec, share: float, val: float = 0.8) -> RunRecord:
    rng = np.random.default_rng(run.seed % 1000 + round(1000 * share))
    done = record(run, draw(rng, [share], 1, run.data.test)[0, 0])
    done.metrics["val_top1"] = val
    return done


def test_the_three_ways_learn_from_the_same_images_that_pre_training_never_saw():
    asked = base()
    runs = [r for r in STUDY.plan(asked, searched(asked)).runs if not r.tries]
    parents = {run.id: run for run in runs if arm_of(run) is None}
    assert [run.seed for run in parents.values()] == [0, 1, 2]
    assert {run.data.classes for run in parents.values()} == {(0, 1, 2, 3, 4, 5)}
    ways = [run for run in runs if arm_of(run) is not None]
    assert len(ways) == 3 * 2 * 3
    for seed in range(3):
        for fraction in (0.1, None):
            cell = [r for r in ways if (r.seed, r.data.fraction) == (seed, fraction)]
            assert {arm_of(run) for run in cell} == {SCRATCH, PROBED, FINE_TUNED}
            assert len({run.data for run in cell}) == len({run.model for run in cell}) == 1
            assert cell[0].data.classes == (6, 7, 8, 9)
            assert cell[0].model.classes == 4
            for run in cell:
                assert run.parent is None or parents[run.parent].seed == seed
                assert run.recipe.batch <= run.data.used
    small, whole = (images_of(r.data).train for r in ways[:: len(ways) - 1])
    assert (len(small), len(whole)) == (52, 515)
    rows = {image.tobytes() for image in whole.images}
    assert all(image.tobytes() in rows for image in small.images)


def test_each_size_has_a_search_of_its_own_for_both_that_have_a_rate():
    asked = base()
    trials = [run for run in STUDY.plan(asked, EMPTY).runs if run.tries]
    rates = {
        (arm, fraction): [
            r.recipe.lr for r in trials if (arm_of(r), r.data.fraction) == (arm, fraction)
        ]
        for arm in (SCRATCH, FINE_TUNED)
        for fraction in (0.1, None)
    }
    before = asked.run.recipe.lr
    for (arm, _), found in rates.items():
        expected = [before / 3, before, before * 3] if arm == SCRATCH else [0.01, 0.03, 0.1, 0.3]
        assert found == pytest.approx(expected, rel=1e-3)
    first = asked.run.seeded(0).seed
    starts = {r.parent for r in trials if r.parent}
    parents = [r for r in STUDY.plan(asked, EMPTY).runs if arm_of(r) is None]
    assert starts == {next(r.id for r in parents if r.seed == first)}
    chosen = [r for r in STUDY.plan(asked, searched(asked)).runs if not r.tries]
    assert {r.recipe.lr for r in chosen if arm_of(r) == FINE_TUNED} == {0.01}


def reported(
    shares: Mapping[tuple[str, float | None], float], seeds: int = 3, best: float = 0.01
) -> Report:
    asked = base(seeds)
    done = searched(asked, best=best)
    runs = [r for r in STUDY.plan(asked, done).runs if not r.tries]
    own = [made(r, shares.get((arm_of(r) or "", r.data.fraction), 0.95)) for r in runs]
    everything = Results([*done, *own])
    grid = done_of(STUDY, STUDY.plan(asked, everything), everything)
    assert len(grid.records) + len(grid.tries) == len(everything)
    return STUDY.report(grid)


def test_it_says_where_each_way_wins():
    said = reported(
        {
            (SCRATCH, 0.1): 0.4,
            (PROBED, 0.1): 0.6,
            (FINE_TUNED, 0.1): 0.8,
            (SCRATCH, None): 0.9,
            (PROBED, None): 0.6,
            (FINE_TUNED, None): 0.9,
        },
        seeds=5,
    )
    best = {row["fraction"]: row["best"] for row in said.rows}
    assert best == {0.1: FINE_TUNED, 1.0: f"undecided ({SCRATCH}, {FINE_TUNED})"}
    small = next(r for r in said.rows if (r["way"], r["fraction"]) == (FINE_TUNED, 0.1))
    assert (small["verdict"], small["images"]) == ("better", 52)
    assert small["delta_scratch"] == pytest.approx(40, abs=8)
    (figure,) = said.figures
    assert isinstance(figure, CurveFigure)
    assert [series.name for series in figure.series] == [SCRATCH, PROBED, FINE_TUNED]
    assert len(figure.spans) == 2
    assert "--seeds 10" in " ".join(said.notes)


def test_a_rate_at_the_edge_of_what_was_tried_is_said():
    edge = "At the edge of what was tried"
    assert edge not in " ".join(reported({}).notes)
    high = " ".join(reported({}, best=100.0).notes)
    assert edge in high
    assert f"{FINE_TUNED} at 10 % (lr 3)" in high
    assert f"{FINE_TUNED} at 100 % (lr 3)" in high


def test_one_seed_has_no_verdict():
    said = reported({(SCRATCH, 0.1): 0.2}, seeds=1)
    assert all(str(row["best"]).startswith("undecided") for row in said.rows)
    assert all(row["verdict"] == "" for row in said.rows)


def test_it_runs_and_goes_on(capsys, tmp_path):
    assert STUDIES.load("pretrain") is Pretrain
    command = ["ablate", "pretrain", *TINY, "--steps", "4", "--source-classes", "7"]
    command += ["--fractions", "50%", "--seeds", "1", "--out", tmp_path]
    said = read(capsys, *command)
    assert [row["way"] for row in said["rows"]] == [SCRATCH, PROBED, FINE_TUNED]
    done = {r.id: r for r in Store(tmp_path).results()}
    probed = next(r for r in done.values() if arm_of(r.spec) == PROBED)
    assert probed.execution["ridge_penalty"] > 0
    assert probed.metrics["few_shot_5_top1"] > 0.3
    code, _, err = call(capsys, *command)
    assert (code, "Nothing to run" in err) == (0, True)
    assert read(capsys, "table", "pretrain", "--out", tmp_path)["rows"] == said["rows"]
    for own, problem in (
        (["--source-classes", "9"], "9 of 10 classes to pre-train on leave 1 to go to."),
        (["--target", "digits", "--source-classes", "5"], "exclude one another"),
        (["--fractions", "0.1%"], "some class would have none"),
        (["--budget", "1h"], "--budget cannot tell beforehand"),
    ):
        code, _, err = call(capsys, "ablate", "pretrain", *own, "--out", tmp_path)
        assert (code, problem in err.splitlines()[0]) == (2, True)
    code, _, err = call(capsys, "ablate", "pool", "--source", "digits", "--out", tmp_path)
    assert (code, "means nothing to this study" in err) == (2, True)


def test_a_target_of_its_own_keeps_the_sources_size(tmp_path: Path) -> None:
    asked = base(1)
    larger, _ = describe("digits", image_size=16)
    runs = Pretrain(target="digits", fractions=(1.0,)).plan(asked, EMPTY).runs
    assert {run.data.image_size for run in runs} == {8} != {larger.image_size}
    assert {run.data.classes for run in runs} == {None}
    with pytest.raises(VitexpError, match="some class would have none"):
        Pretrain(target="digits", fractions=(0.001,)).plan(asked, EMPTY)
