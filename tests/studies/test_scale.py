"""Data-size and compute studies: the plan, what the runs see, and what the report says."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tests.plans import by_fraction, by_model, done_of, sorted_into
from tests.scale_grid import CROSSING, cell, done, scale_grid
from tests.synthetic import draw
from vitexp.analysis.compute_ratio import SIZE_LOOKS
from vitexp.catalog.ladders import MORE, SCALE, nearest
from vitexp.catalog.sizes import called, model
from vitexp.datasets.load import load
from vitexp.errors import VitexpError
from vitexp.models.count import macs
from vitexp.render import write
from vitexp.reporting.report import Claim, CurveFigure, Report
from vitexp.runs.record import Results
from vitexp.runs.store import Store
from vitexp.settings.flags import Settings
from vitexp.settings.run import resolve
from vitexp.spec import TUNING_SEEDS, RunSpec
from vitexp.studies.compute.claims import matched
from vitexp.studies.compute.paper import paper_report
from vitexp.studies.compute.study import Compute
from vitexp.studies.data_size.study import DataSize

EMPTY = Results([])
THREE = ("vit-xxs/4", "vit-xxs/2", "r11x1.75")


@pytest.fixture
def rng():
    return np.random.default_rng(11)


def base(seeds=2, **settings):
    return resolve(Settings(dataset="digits", seeds=seeds, **settings), "fp32")


def report(grid: Results) -> Report:
    runs = [record for record in grid if not record.spec.tries]
    return DataSize().report(sorted_into(DataSize(), runs, by_fraction))


def of_sizes(grid: Results) -> Report:
    return Compute().report(sorted_into(Compute(), grid, by_model))


def claims(said: Report) -> dict[str, Claim]:
    return {claim.id: claim for claim in said.claims}


# The plan


def test_every_fraction_gets_the_same_steps_and_batch_and_the_seed_draws_its_subset():
    runs = DataSize(models=THREE, fractions=(0.03, 0.3, 1.0)).plan(base(), EMPTY).runs
    assert len(runs) == len({run.id for run in runs}) == 18
    assert {run.recipe.steps for run in runs} == {400}
    assert {run.recipe.batch for run in runs} == {32}, "39 images cannot fill 64"
    assert {run.data.fraction for run in runs} == {0.03, 0.3, None}
    assert all(run.data.subset_seed == run.seed for run in runs if run.data.fraction)
    assert [run.seed for run in runs] == [0] * 9 + [1] * 9
    assert all(run.recipe.early_stopping for run in runs)


def test_a_small_batch_gets_more_steps_unless_they_were_asked_for():
    study = DataSize(models=THREE[:1], fractions=(0.01, 1.0))
    (few, all_) = study.plan(base(1), EMPTY).runs
    assert few.recipe.batch == all_.recipe.batch == 8, "13 images"
    assert {few.recipe.steps, all_.recipe.steps} == {1600}
    asked = replace(study, by_steps=True).plan(base(1, steps=30), EMPTY).runs
    assert {run.recipe.steps for run in asked} == {30}


def test_with_epochs_the_steps_follow_from_the_images():
    study = DataSize(models=THREE[:1], fractions=(0.1, 1.0), by_epochs=True)
    few, all_ = study.plan(base(1, epochs=4), EMPTY).runs
    assert few.recipe.steps == 4 * (129 // 64)
    assert all_.recipe.steps == 4 * (1293 // 64)


def test_a_flag_reaches_the_models_that_have_the_part():
    vit, resnet = (
        DataSize(models=THREE[1:], fractions=(1.0,)).plan(base(1, position="2d"), EMPTY).runs
    )
    assert vit.model.transformer.position.kind == "learned_2d"
    assert resnet.model.vit is None


def test_a_fraction_without_a_class_names_the_smallest_that_has_all():
    with pytest.raises(VitexpError, match="smallest usable fraction"):
        DataSize(models=THREE[:1], fractions=(0.001, 1.0)).plan(base(), EMPTY)


def test_the_defaults_match_three_families_in_compute():
    for side, names in SCALE.items():
        plan = {
            run.model.name: macs(run.model)
            for run in DataSize(fractions=(1.0,)).plan(base(1, image_size=side), EMPTY).runs
        }
        assert len(plan) == 5
        trio = [cost for name in names[:3] if (cost := plan[name])]
        assert max(trio) / min(trio) < 1.5, side
        smaller, larger = plan[names[3]], plan[names[4]]
        assert smaller and larger and smaller < min(trio) < larger


# Subsets


def test_subsets_are_nested_stratified_and_of_the_asked_size():
    parts = [load("digits", fraction=f, subset_seed=3).train for f in (0.1, 0.3, 1.0)]
    rows = [
        {image.tobytes() + bytes([label]) for image, label in zip(p.images, p.labels, strict=True)}
        for p in parts
    ]
    assert [len(part) for part in parts] == [129, 388, 1293]
    assert rows[0] < rows[1] < rows[2]
    counts = np.bincount(parts[0].labels)
    assert counts.min() >= 12 and counts.max() <= 14
    other = load("digits", fraction=0.1, subset_seed=4).train
    assert not np.array_equal(other.labels, parts[0].labels)
    whole = load("digits")
    assert len(load("digits", fraction=0.1, subset_seed=3).test) == len(whole.test)


# Tuning


def finished(runs, score):
    fixed = {"test_top1": 0.5, "train_top1": 0.9}
    return Results(
        replace(done(run, np.ones(360, bool)), metrics=fixed | {"val_top1": score(run)})
        for run in runs
    )


def test_tuning_tries_the_same_number_for_each_model_with_seeds_of_its_own():
    study = DataSize(models=THREE, fractions=(0.1, 1.0), tune=True)
    trials = study.plan(base(), EMPTY).runs
    assert {run.seed for run in trials} == {TUNING_SEEDS}
    assert {run.data.fraction for run in trials} == {None}
    assert [sum(run.model.name == name for run in trials) for name in THREE] == [9, 9, 9]

    preset = base().run.recipe

    def middle(run):
        away = (run.recipe.lr / preset.lr, run.recipe.weight_decay / preset.weight_decay)
        return 0.9 - sum(abs(np.log(ratio)) for ratio in away)

    wave = study.plan(base(), finished(trials, middle)).runs
    final = [run for run in wave if not run.tries]
    assert len(final) == 12
    chosen = {(run.recipe.lr, run.recipe.weight_decay) for run in final}
    assert chosen == {(preset.lr, preset.weight_decay)}


def test_a_winner_at_the_edge_widens_every_models_grid():
    study = DataSize(models=THREE[:2], fractions=(1.0,), tune=True)
    trials = study.plan(base(), EMPTY).runs

    def steep(run):
        return run.recipe.lr if run.model.name == "vit-xxs/4" else 0.5 - run.recipe.weight_decay

    wider = study.plan(base(), finished(trials, steep)).runs
    counts = [sum(run.model.name == name for run in wider) for name in THREE[:2]]
    assert counts[0] == counts[1] > 9
    assert {run.seed for run in wider} == {TUNING_SEEDS}, "no final runs before it is decided"


@pytest.mark.parametrize("slope", [0.0, 1.0])
def test_a_winner_that_stays_at_the_edge_is_said(slope):
    study = DataSize(models=THREE[:2], fractions=(0.1, 1.0), tune=True)

    def score(run):
        away = np.log(run.recipe.lr / base().run.recipe.lr)
        steep = run.model.name == "vit-xxs/4"
        return 0.5 + (slope * away if steep else -abs(away)) / 10

    runs: list[RunSpec] = []
    while len(more := study.plan(base(), finished(runs, score)).runs) > len(runs):
        runs = more
    done = finished(runs, score)
    said = " ".join(study.report(done_of(study, study.plan(base(), done), done)).notes)
    assert "each model's best on validation" in said
    largest = max(run.recipe.lr for run in runs)
    assert ("At the edge of what was tried" in said) == bool(slope)
    assert (f"beyond: vit-xxs/4 at 100 % (lr {largest:g})." in said) == bool(slope)


def test_runs_that_no_search_tuned_are_not_said_to_be_tuned():
    """A search that was stopped, beside the runs of a command without it."""
    plain = DataSize(models=THREE[:2], fractions=(0.1, 1.0))
    trials, plan = replace(plain, tune=True).plan(base(), EMPTY), plain.plan(base(), EMPTY)
    assert trials.open
    done = finished([*trials.runs, *plan.runs], lambda run: run.recipe.lr)
    said = " ".join(plain.report(done_of(plain, plan, done)).notes)
    assert "best on validation" not in said
    assert "At the edge" not in said


# The report


def test_a_crossing_is_found_with_its_interval_and_the_claims_follow(rng):
    said = report(scale_grid(rng, CROSSING, 10, images=1000))
    found = claims(said)
    assert found["DS4"].standing == "SUPPORTED"
    assert found["DS5"].standing == "SUPPORTED"
    assert found["DS1"].standing == "SUPPORTED"
    assert found["DS4"].n == 10 and found["DS4"].dataset == "digits"
    assert len(found["DS4"].runs) == 80
    (figure,) = said.figures
    assert isinstance(figure, CurveFigure)
    (span,) = [s for s in figure.spans if "r11x1.75" in s.label]
    assert span.at is not None and span.low is not None and span.high is not None
    assert 129 < span.low < span.at < span.high < 1293
    assert 129 < span.at < 388 * 1.3


def test_families_that_do_not_meet_say_so(rng):
    apart = {"r11x1.75": (0.9,) * 4, "vit-xxs/2": (0.5, 0.55, 0.6, 0.65)}
    said = report(scale_grid(rng, apart, 5))
    (figure,) = said.figures
    assert isinstance(figure, CurveFigure)
    assert "no crossing in this range" in figure.spans[0].label
    assert "not reached in your range" in [c.text for c in said.tables[1].rows[0][1]]
    assert claims(said)["DS4"].standing == "INCONCLUSIVE"
    assert claims(said)["DS1"].standing == "NOT RUN"


def test_a_single_seed_has_numbers_and_neither_intervals_nor_verdicts(rng):
    said = report(scale_grid(rng, CROSSING, 1))
    assert "±" not in said.tables[0].rows[0][1][0].text
    assert {claim.standing for claim in said.claims} == {"NOT RUN"}
    assert "--seeds 3" in claims(said)["DS4"].settle
    (figure,) = said.figures
    assert isinstance(figure, CurveFigure)
    assert any("single seed" in remark for remark in figure.remarks)


def test_models_that_have_not_fitted_their_data_are_called_compute_limited(rng):
    flat = {"vit-xxs/2": (0.45,) * 4}
    said = report(scale_grid(rng, flat, 3, train=0.43))
    assert "yes" in {row["compute_limited"] for row in said.rows} <= {"yes", "perhaps"}
    assert any("Compute-limited" in note for note in said.notes)
    fitted = report(scale_grid(rng, flat, 3, train=0.999))
    assert {row["compute_limited"] for row in fitted.rows} == {"no"}


def test_a_diverged_run_is_shown_and_stops_the_verdict(rng):
    grid = list(scale_grid(rng, CROSSING, 3))
    lost = grid[0]
    said = report(Results([done(lost.spec, None), *grid[1:]]))
    (row,) = [cells for label, cells in said.tables[0].rows if label.text == "r11x1.75"]
    assert "1 of 3 diverged" in row[0].details
    assert claims(said)["DS4"].standing == "INCONCLUSIVE"


# Compute


def compute_grid(rng, seeds=3):
    accuracy = {
        **{"r11": 0.80, "r11x1.75": 0.85, "r20x2": 0.885},
        **{"vit-xxs/4": 0.84, "vit-xxs/2": 0.89, "vit-xs/2": 0.935},
    }
    drawn = draw(rng, accuracy.values(), seeds, 2000, seed_luck=0.01, image_luck=0.1)
    return Results(
        done(cell(name, 1.0, seed, 2000), row)
        for name, rows in zip(accuracy, drawn, strict=True)
        for seed, row in enumerate(rows)
    )


def test_own_runs_give_a_ratio_or_say_why_not(rng):
    grid = compute_grid(rng)
    said = of_sizes(grid)
    claim = claims(said)["CA2"]
    assert claim.standing == "SUPPORTED"
    assert claim.effect and claim.low and claim.high and 1 < claim.low < claim.effect < claim.high
    some = sorted_into(Compute(), grid.where(lambda r: r.spec.model.name != "r11"), by_model)
    some.flags = "--dataset digits --models r11x1.75,r20x2,vit-xxs/4,vit-xxs/2,vit-xs/2"
    few = Compute().report(some)
    claim = claims(few)["CA1"]
    assert claim.standing == "NOT RUN"
    assert claim.settle == "Run `vitexp ablate compute --dataset digits --seeds 3`."
    (figure,) = few.figures
    assert isinstance(figure, CurveFigure)
    assert "3 sizes of each family" in figure.remarks[0]
    assert not any(series.fit for series in figure.series)


def test_the_numbers_behind_the_figure_say_what_each_size_cost(rng):
    grid = compute_grid(rng)
    first, *others = grid
    fast = replace(first, metrics={**first.metrics, "utilisation": 0.25})
    rows = {row["model"]: row for row in of_sizes(Results([fast, *others])).rows}
    assert rows.pop(first.spec.model.name)["utilisation"] == 0.25
    assert {row["utilisation"] for row in rows.values()} == {None}


HYBRIDS = {"r11x0.75+vit-xxs": 0.90, "r11x1.5+vit-xxs": 0.935, "r11x2+vit-xs": 0.89}


def with_hybrids(rng, seeds):
    drawn = draw(rng, HYBRIDS.values(), seeds, 2000, seed_luck=0.01, image_luck=0.1)
    own = [
        done(cell(name, 1.0, seed, 2000), row)
        for name, rows in zip(HYBRIDS, drawn, strict=True)
        for seed, row in enumerate(rows)
    ]
    return Results([*compute_grid(rng, seeds), *own])


def test_vits_still_rise_and_the_hybrids_lead_goes_away(rng):
    grid = with_hybrids(rng, 10)
    found = claims(of_sizes(grid))
    assert found["CA3"].standing == "SUPPORTED"
    assert found["CA3"].evidence.startswith("vit-xs/2 over vit-xxs/2: +")
    assert "2.6 doublings" in found["CA3"].evidence
    assert found["HY1"].standing == "SUPPORTED"
    assert (found["HY1"].n, found["HY1"].dataset) == (10, "digits")
    assert "--models r11,r11x1.75,r20x2,vit-xxs/4" in found["CA1"].settle
    assert "vit-ti/2" in found["CA1"].settle


def test_a_vit_that_stands_for_a_hybrids_compute_lies_between_two_on_the_log_axis():
    vits = [("a", 1e9), ("b", 1e11)]
    assert matched(("h", 1e10), vits) == {("a", 1e9): 0.5, ("b", 1e11): 0.5}
    assert matched(("h", 1e11), vits) == {("b", 1e11): 1.0}
    assert matched(("h", 1.2e11), vits) == {("b", 1e11): 1.0}
    assert matched(("h", 0.8e9), vits) == {("a", 1e9): 1.0}
    assert matched(("h", 2e11), vits) == {}
    assert matched(("h", 2e11), []) == {}


def test_the_compute_ladder_has_hybrids_within_the_vits_range():
    for side in (8, 32, 224):
        runs = Compute().plan(base(1, image_size=side), EMPTY).runs
        keys = [(r.model.name, float(macs(r.model) or 0), r.model.family) for r in runs]
        vits = sorted((k[:2] for k in keys if k[2] == "vit"), key=lambda k: k[1])
        hybrids = [k[:2] for k in keys if k[2] == "hybrid"]
        assert sum(bool(matched(key, vits)) for key in hybrids) > 1, side
        more = [model(name, 8 if side == 8 else side).family for name in nearest(MORE, side)]
        for family in ("vit", "resnet"):
            assert more.count(family) == SIZE_LOOKS - 1, "what the verdicts on a ratio allow for"


def test_what_seeds_cannot_settle_names_the_runs_that_may(rng):
    grid = compute_grid(rng, 3)
    found = claims(of_sizes(grid))
    assert found["HY1"].standing == "NOT RUN"
    assert found["HY1"].settle == "Run `vitexp ablate compute --dataset digits --seeds 3`."
    open_ratio = of_sizes(grid.where(lambda r: r.spec.model.name != "r20x2"))
    assert "vitexp ablate compute" in claims(open_ratio)["CA1"].settle
    found = claims(report(scale_grid(rng, {"r11x1.75": (0.9,) * 4, "vit-xxs/2": (0.5,) * 4}, 3)))
    assert "vitexp scale --dataset digits --seeds 3 --steps 1200" in found["DS4"].settle
    assert "vitexp scale" in found["DS2"].settle


def test_a_run_that_train_made_is_not_made_again():
    planned = Compute(("vit-ti/2", "r11")).plan(base(1), EMPTY).runs
    alone = base(1, model="vit-ti/2", early_stopping=True).run
    assert alone.id in {run.id for run in planned}


def test_two_sizes_are_similar_somewhere_between(rng):
    like = {"vit-xxs/2": (0.60, 0.80, 0.93, 0.97), "vit-xs/2": (0.45, 0.70, 0.93, 0.99)}
    found = claims(report(scale_grid(rng, like, 10, images=20_000, seed_luck=0.01)))
    assert found["DS2"].standing == "SUPPORTED"
    assert "at 30 %" in found["DS2"].evidence
    ends = claims(report(scale_grid(rng, like, 3, fractions=(0.03, 0.1))))
    assert ends["DS2"].standing == "NOT RUN"


def test_the_papers_table_6_is_drawn_with_an_open_claim(tmp_path):
    said = paper_report()
    by_id = claims(said)
    assert by_id["CA1"].standing == "INCONCLUSIVE"
    assert (by_id["CA1"].effect, by_id["CA1"].low, by_id["CA1"].high) == pytest.approx(
        (4.07, 2.28, 8.32), abs=0.01
    )
    files = {path.name: path for path in write(said, tmp_path)}
    rows = list(csv.DictReader(files["compute_paper.csv"].read_text(encoding="utf-8").splitlines()))
    assert len(rows) == 18
    front = {row["model"] for row in rows if row["on_front"] == "yes"}
    assert {"ViT-H/14", "R50x1+ViT-B/32", "ResNet50x1"} < front
    assert "ResNet200x3" not in front
    assert "4.1" in files["compute_paper.svg"].read_text(encoding="utf-8")


# Names


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"model": "vit-xxs/2", "heads": 4, "width": 64}, "vit-xxs/2"),
        ({"model": "vit-xxs/2", "heads": 2, "patch": 4}, "vit-xxs/4 heads=2"),
        ({"model": "r8x2.5", "stem": "small", "trunk_width": 40}, "r8x2.5"),
        (
            {"model": "r8x2.5", "trunk_width": 32, "blocks": "1, 1"},
            "r8x2.5 blocks=1,1 trunk_width=32",
        ),
        ({"model": "r11x1.5+vit-xxs", "patch": 1, "depth": 2}, "r11x1.5+vit-xxs depth=2"),
        ({"heads": 4}, "vit-xxs/2"),
    ],
)
def test_a_model_is_called_by_what_it_has_and_not_by_what_was_typed(settings, name):
    assert base(1, **settings).run.model.name == name


def test_a_model_of_ones_own_is_called_by_its_class(tmp_path):
    (tmp_path / "own.py").write_text("class R20: ...")
    for flags, name in (({}, "R20"), ({"patch": 4}, "R20 patch=4"), ({"depth": 2}, "R20 depth=2")):
        run = base(1, model=f"{tmp_path / 'own.py'}:R20", **flags).run
        assert (run.model.name, called(run.model)) == (name, name)


# As a user


def vitexp(*arguments, out, **kwargs):
    code = "from vitexp.cli.main import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments, "--out", str(out)],
        capture_output=True,
        text=True,
        **kwargs,
    )


def test_a_small_study_runs_resumes_and_is_exported(tmp_path):
    words = ("scale", "--models", "vit-xxs/4,r11", "--fractions", "10%,100%", "--steps", "6")
    ran = vitexp(*words, "--seeds", "1", "--precision", "fp32", "--device", "cpu", out=tmp_path)
    assert ran.returncode == 0, ran.stderr
    records = list(Store(tmp_path).results())
    assert {record.spec.data.used for record in records} == {129, 1293}
    for record in records:
        looks = [point["val_top1"] for point in record.curve]
        assert record.metrics["val_top1"] == max(looks)
    names = {path.name for path in (tmp_path / "plots").iterdir()}
    assert names == {f"data_size.{ending}" for ending in ("png", "svg", "pdf", "csv")}
    again = vitexp(*words, "--seeds", "1", "--precision", "fp32", "--device", "cpu", out=tmp_path)
    assert "4 runs done already" in again.stderr


TINY = ("--precision", "fp32", "--device", "cpu", "--no-keep")


def test_an_image_folder_is_scaled_like_any_data(tmp_path, monkeypatch):
    monkeypatch.setenv("VITEXP_CACHE", str(tmp_path / "cache"))
    images = load("digits")
    for split, part in (("train", images.train), ("test", images.test)):
        for index in range(150):
            folder = tmp_path / "my digits" / split / str(part.labels[index])
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(part.images[index].reshape(8, 8)).save(folder / f"{index}.png")
    words = ("scale", "--dataset", str(tmp_path / "my digits"), "--fractions", "40%,100%")
    few = ("--models", "vit-xxs/4,r8x0.5", "--steps", "3", "--seeds", "2")
    ran = vitexp(*words, *few, *TINY, "--json", out=tmp_path)
    assert ran.returncode == 0, ran.stderr
    rows = json.loads(ran.stdout)["rows"]
    assert {(row["model"], row["n"]) for row in rows} == {("vit-xxs/4", 2), ("r8x0.5", 2)}
    assert {row["images"] for row in rows} == {54, 135}


def test_tuning_ends_with_each_models_own_rate_and_reports_no_trial(tmp_path):
    words = ("scale", "--models", "vit-xxs/4", "--fractions", "10%,100%", "--steps", "2", "--tune")
    ran = vitexp(*words, "--seeds", "1", *TINY, "--json", out=tmp_path)
    assert ran.returncode == 0, ran.stderr
    records = list(Store(tmp_path).results())
    trials = [record for record in records if record.spec.tries]
    final = [record for record in records if record.spec.seed == 0]
    assert len(trials) >= 9
    (chosen,) = {(r.spec.recipe.lr, r.spec.recipe.weight_decay) for r in final}
    tried = {(r.spec.recipe.lr, r.spec.recipe.weight_decay): r for r in trials}
    assert tried[chosen].metrics["val_top1"] == max(r.metrics["val_top1"] for r in trials)
    reported = " ".join(row["run_ids"] for row in json.loads(ran.stdout)["rows"])
    assert sorted(reported.split()) == sorted(record.id for record in final)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--fractions", "0%,100%"), "no share"),
        (("--fractions", "x"), "no share"),
        (("--model", "r11"), "--models"),
        (("--models", "r12"), "Unknown model"),
    ],
)
def test_what_scale_refuses(words, said, tmp_path):
    ran = vitexp("scale", *words, "--dry-run", "--no-probe", out=tmp_path)
    assert (ran.returncode, "Traceback" in ran.stderr) == (2, False)
    assert said in ran.stderr


def test_a_plot_without_runs_says_the_command_that_makes_them(tmp_path):
    for study, command in (("data-size", "vitexp scale"), ("compute", "vitexp ablate compute")):
        ran = vitexp("plot", study, out=tmp_path)
        assert ran.returncode == 2
        assert command in ran.stderr


def test_plot_paper_needs_no_runs(tmp_path):
    ran = vitexp("plot", "compute", "--paper", "--json", out=tmp_path)
    files = json.loads(ran.stdout)["files"]
    assert {name.rpartition(".")[2] for name in files} == {"png", "svg", "pdf", "csv"}
    assert "4.1× less compute" in ran.stderr
    assert vitexp("plot", "pos-emb", "--paper", out=tmp_path).returncode == 2
