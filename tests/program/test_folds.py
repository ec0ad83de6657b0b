"""``--folds``: cross-validated runs by the program, from training to tables."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from contextlib import redirect_stderr
from pathlib import Path

import numpy as np
import pytest

from tests.commands import TINY, call, read
from tests.plans import by_position, sorted_into
from tests.synthetic import PAPER_CELLS, draw, grid, record
from vitexp.cli.main import main
from vitexp.datasets.load import describe, images_of
from vitexp.errors import VitexpError
from vitexp.experiment.answers import grids
from vitexp.runs.record import Results, RunRecord
from vitexp.runs.store import Store
from vitexp.settings.flags import Settings
from vitexp.settings.run import resolve
from vitexp.studies.named import configured
from vitexp.studies.pos_emb.study import PosEmb
from vitexp.tasks.compare import pairs
from vitexp.tasks.probe import probe_of

STUDY = """
from vitexp.experiment.sweep import Sweep

class Rates(Sweep):
    def arms(self, base):
        return {("high", ""): {"lr": 3e-3}, ("low", ""): {"lr": 1e-3}}
"""
ASKED = ["ablate", "mine.py:Rates", *TINY, "--folds", "2"]


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """What is said of a study of two cells, three seeds and two folds, in its folder."""
    folder, errors = tmp_path_factory.mktemp("folds"), io.StringIO()
    (folder / "mine.py").write_text(STUDY)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        with pytest.raises(SystemExit) as left, redirect_stderr(errors):
            main([*ASKED, "--seeds", "3", "--quiet"])
        assert not left.value.code, errors.getvalue()
        yield errors.getvalue()


@pytest.fixture
def done(said: str) -> list[RunRecord]:
    """Its runs."""
    return [r for r in Store(Path()).results() if r.spec.data.fold]


def test_what_becomes_of_the_splits_is_said(said):
    assert "all 1797 images, each tested once a seed, in 2 folds of about" in said
    assert "put together and dealt into 2 folds, anew for each seed" in said
    assert "low seed 1 fold 2: " in said


def test_cells_of_a_seed_share_its_partition_and_every_image_is_tested_once(done):
    assert len(done) == 12
    by: dict[tuple[int, int], set[str | None]] = {}
    for run in done:
        fold = run.spec.data.fold
        assert fold is not None and fold.seed == run.spec.seed
        by.setdefault((run.spec.seed, fold.index), set()).add(run.tested)
        tested = images_of(run.spec.data).tested
        assert tested is not None and tested.sum() == run.images
    assert all(len(alike) == 1 for alike in by.values())
    assert len(set().union(*by.values())) == 6, "another partition for each seed"


def test_the_table_has_all_images_and_names_all_runs(done):
    rows = list(csv.DictReader(Path("tables/rates.csv").open()))
    assert [row["n"] for row in rows] == ["3", "3"]
    assert {run for row in rows for run in row["run_ids"].split()} == {r.id for r in done}
    assert "all 1797 images" in Path("tables/rates.md").read_text()
    low = [r for r in done if r.spec.recipe.lr == 1e-3]
    right = sum(int(r.correctness().sum()) for r in low)
    (row,) = (row for row in rows if row["group"] == "low")
    assert float(row["top1_mean"]) == pytest.approx(100 * right / (3 * 1797), abs=1e-3)


def test_runs_whose_plan_was_not_written_down_give_the_same_cells(done, tmp_path):
    study, runs = configured("mine.py:Rates", {}, Settings()), Results(done)
    kept, found = (grids(study, "mine.py:Rates", out, runs) for out in (Path(), tmp_path))
    assert [found[0][key].records for key in found[0]] == [g.records for g in kept[0].values()]


def test_two_cells_are_compared_on_all_images_and_never_with_other_splits(done, capsys):
    low, high = (next(r.id for r in done if r.spec.recipe.lr == lr) for lr in (1e-3, 3e-3))
    found = read(capsys, "compare", low, high)
    assert (found["n"], found["data"]) == (3, "digits in 2 folds at 8 px")
    whole, *classes = (row["number"] for row in found["rows"])
    assert (whole, sum(classes)) == (1797, 1797)
    plain = record(resolve(Settings(dataset="digits", seeds=1), "fp32").run, np.ones(360, bool))
    with pytest.raises(VitexpError, match=r"different images: .* on digits in 2 folds at 8 px"):
        pairs(low, plain.id, Results([*done, plain]))


def test_the_same_runs_are_trained_told_and_planned(done, capsys):
    asked = ["train", *TINY, "--lr", "0.001", "--folds", "2", "--seeds", "2"]
    code, out, said = call(capsys, *asked)
    assert code == 0
    assert "Nothing to run: 4 runs done already." in said
    assert "mean of 2 seeds: " in out
    assert "of all 1797 images" in call(capsys, *asked[:-1], "1")[1]
    planned = read(capsys, *asked, "--dry-run", "--no-probe")
    (cell,) = planned["cells"]
    assert (cell["seeds"], cell["done"], planned["data"]["folds"]) == ([0, 1], 4, 2)
    listed = call(capsys, "runs", "list")[1]
    assert "fold 1" in listed
    assert "fold 2" in listed


def test_what_a_fold_has_not_seen_is_all_that_it_is_probed_on(done):
    run = done[0].spec
    probe = probe_of(run, "", run.data.reading, Store(Path()), print)
    assert probe.data.fold == run.data.fold
    assert (probe.data.train, probe.data.test) == (run.data.train, run.data.test)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (["train", "--folds", "1"], "at least 2 and at most 20"),
        (["ablate", "resolution", "--folds", "2", "--dry-run"], "--folds is for runs from scratch"),
        (["finetune", "--from", "away.npz", "--folds", "2"], "--folds is for runs from scratch"),
    ],
)
def test_what_has_no_folds_says_so(asked, words, capsys):
    code, _, said = call(capsys, *asked, *TINY)
    assert code == 2
    assert words in said


def test_a_run_on_a_fold_is_not_fine_tuned(done, capsys):
    code, _, said = call(capsys, "finetune", "--from", done[0].id, "--device", "cpu")
    assert code == 2
    assert "on images that others test" in said


def test_where_images_limit_folds_are_what_to_type():
    """Two cells nearly alike on 72 images: no number of seeds decides."""
    shares = [0.7] + [0.71] * 9
    correct = draw(np.random.default_rng(1), shares, 20, 72)
    results = grid(dict(zip(PAPER_CELLS, correct, strict=True)))
    made = sorted_into(PosEmb(), results, by_position, ("none", "stem"))
    (note,) = (note for note in PosEmb().report(made).notes if "--folds" in note)
    assert "Test images with which 20 seeds would find these differences with 80 %" in note
    assert "--seeds 20 --folds 5` tests all" in note
    assert "about " in note


def test_a_data_set_named_by_folds_is_the_same_data():
    plain, _ = describe("digits")
    assert plain.fold is None
    assert plain.undrawn == plain
