"""Fine-tuning: what it starts from, in which order runs are made, which rate is reported."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.alone import Memory, comparable
from tests.commands import TINY, call, read
from tests.plans import done_of
from tests.synthetic import draw, record
from tests.synthetic import spec as digits_spec
from vitexp.cli.main import main
from vitexp.datasets.image_set import ImageSet, Split
from vitexp.datasets.load import images_of
from vitexp.errors import VitexpError
from vitexp.evaluation.accuracy import accuracy
from vitexp.evaluation.few_shot import REGULARISERS
from vitexp.models.build import build
from vitexp.runs.record import Results, RunRecord
from vitexp.runs.store import Store, ready
from vitexp.settings.base import Base
from vitexp.settings.finetune import resolve_finetune
from vitexp.settings.flags import Settings
from vitexp.spec import TUNING_SEEDS, FromFile, FromRun, RunSpec, from_json, to_json
from vitexp.studies.finetune.study import FineTune
from vitexp.training.loop import train
from vitexp.training.start import Start

CPU = torch.device("cpu")
STUDY = FineTune()
EMPTY = Results(())
RATES = (0.01, 0.03, 0.1)


# Weights


def larger(images: ImageSet, factor: int) -> ImageSet:
    """Each pixel as factor x factor pixels."""

    def grown(split: Split) -> Split:
        return Split(split.images.repeat(factor, 1).repeat(factor, 2), split.labels)

    return dataclasses.replace(
        images, train=grown(images.train), val=grown(images.val), test=grown(images.test)
    )


@pytest.fixture
def parent(run_spec: Callable[..., RunSpec], tmp_path: Path) -> tuple[RunSpec, Path]:
    """A run and a file with weights of its model, none of them zero."""
    spec = run_spec()
    model = build(spec.model, spec.seed)
    state = {name: value + 0.01 for name, value in model.state_dict().items()}
    save_file(state, tmp_path / "parent.safetensors")
    return spec, tmp_path / "parent.safetensors"


def child(parent: RunSpec, side: int = 8, **recipe: Any) -> RunSpec:
    changed = dataclasses.replace(
        parent.recipe, **{"optimizer": "sgd", "lr": 0.01, "weight_decay": 0.0, **recipe}
    )
    model = dataclasses.replace(parent.model, image_size=side)
    return dataclasses.replace(parent, model=model, recipe=changed, init=FromRun(parent.id))


def test_all_but_the_head_starts_from_the_file_and_the_head_from_zero(parent, few_digits):
    spec, path = parent
    start, old = Start(path, "sha"), load_file(path)
    still = child(spec, lr=1e-30, steps=1)
    finished = train(still, few_digits, Memory(), CPU, 1, start)
    assert finished is not None
    result, weights = finished
    for name, value in weights.items():
        expected = torch.zeros_like(value) if name.startswith("head.") else old[name]
        assert torch.allclose(value, expected, rtol=0, atol=1e-25), name
    assert result.execution["init_weights"] == "sha"
    assert result.metrics["train_loss"] == pytest.approx(np.log(10), abs=1e-6)


def test_tables_are_interpolated_to_the_grid_of_larger_images(parent, few_digits):
    """On a 4x4 grid made 7x7 the old vectors stay where they were, and means come in between."""
    spec, path = parent
    still = child(spec, side=14, lr=1e-30, steps=1)
    images = larger(few_digits, 2)

    def cut(split: Split) -> Split:
        return Split(np.ascontiguousarray(split.images[:, :14, :14]), split.labels)

    images = dataclasses.replace(
        images, train=cut(images.train), val=cut(images.val), test=cut(images.test)
    )
    finished = train(still, images, Memory(), CPU, 1, Start(path, "sha"))
    assert finished is not None
    name = "position.tables.places.0.embedding"
    new, old = finished[1][name], load_file(path)[name]
    assert torch.equal(new[0], old[0])
    grid, before = new[1:].view(7, 7, -1), old[1:].view(4, 4, -1)
    assert torch.allclose(grid[::2, ::2], before, atol=1e-6)
    assert torch.allclose(grid[1, ::2], (before[0] + before[1]) / 2, atol=1e-6)


def test_a_run_of_no_steps_measures_what_it_starts_from(parent, few_digits):
    spec, path = parent
    trained = finished_run(spec, few_digits, None)
    save_file(trained[1], path)
    asked = dataclasses.replace(child(spec, steps=0, warmup=0), init=FromRun(spec.id, None, "kept"))
    kept, weights = finished_run(asked, few_digits, Start(path, "sha", head="kept"))
    assert kept.correct == trained[0].correct
    assert all(torch.equal(weights[name], value) for name, value in trained[1].items())
    names = ("test_top1", "val_top1", "few_shot_5_top1")
    assert [kept.metrics[n] for n in names] == [trained[0].metrics[n] for n in names]
    assert "train_loss" not in kept.metrics
    assert kept.metrics["flops"] == 0
    assert RunRecord.from_json(json.loads(json.dumps(kept.to_json()))) == kept


def test_a_head_by_ridge_regression_agrees_with_plain_normal_equations(parent, few_digits):
    spec, path = parent
    asked = dataclasses.replace(
        child(spec, steps=0, warmup=0), init=FromRun(spec.id, None, "ridge")
    )
    found, weights = finished_run(asked, few_digits, Start(path, "sha", head="ridge"))
    model = build(spec.model, 0)
    model.load_state_dict(load_file(path))
    parts = (few_digits.train, few_digits.val, few_digits.test)
    seen = [accuracy(model, part, CPU, torch.float32).features for part in parts]
    x, val, test = (f.double().numpy() for f in seen if f is not None)
    mean, std = x.mean(0), x.std(0) + 1e-5

    def right(z: np.ndarray, part: Split, penalty: float) -> float:
        a, b = (np.c_[(v - mean) / std, np.ones(len(v))] for v in (x, z))
        y = np.where(np.eye(10)[few_digits.train.labels] > 0, 1.0, -1.0)
        w = np.linalg.solve(a.T @ a + penalty * np.eye(a.shape[1]), a.T @ y)
        return float(((b @ w).argmax(1) == part.labels).mean())

    shares = [right(val, parts[1], penalty) for penalty in REGULARISERS]
    best = REGULARISERS[max(i for i, s in enumerate(shares) if np.isclose(s, max(shares)))]
    assert found.execution["ridge_penalty"] == best
    assert found.metrics["val_top1"] == pytest.approx(max(shares), abs=0.021)
    assert found.metrics["test_top1"] == pytest.approx(right(test, parts[2], best), abs=0.017)
    same = [name for name in weights if not name.startswith("head.")]
    assert all(torch.equal(weights[name], load_file(path)[name]) for name in same)


def finished_run(
    spec: RunSpec, images: ImageSet, start: Start | None
) -> tuple[RunRecord, dict[str, torch.Tensor]]:
    result = train(spec, images, Memory(), CPU, 1, start)
    assert result is not None
    return result


def test_a_stopped_fine_tune_goes_on_to_the_same_bits(parent, few_digits):
    spec, path = parent
    tuned, start = child(spec, dropout=0.1), Start(path, "sha")
    whole = train(tuned, few_digits, Memory(), CPU, 1, start)
    host = Memory(stop_after=13)
    assert train(tuned, few_digits, host, CPU, 1, start) is None
    host.stop_after = None
    resumed = train(tuned, few_digits, host, CPU, 1, start)
    assert whole is not None
    assert resumed is not None
    assert comparable(resumed[0]) == comparable(whole[0])
    assert all(torch.equal(resumed[1][name], whole[1][name]) for name in whole[1])


# Specs


def test_where_weights_are_from_is_part_of_the_id_and_survives_the_file(run_spec):
    plain = run_spec()
    inits = (FromRun("a"), FromRun("b"), FromFile("c", "here"), FromFile("d", "here"))
    specs = [plain, *(dataclasses.replace(plain, init=init) for init in inits)]
    assert len({spec.id for spec in specs}) == 5
    moved = dataclasses.replace(plain, init=FromFile("c", "elsewhere"))
    assert moved.id == specs[3].id
    for spec in specs:
        assert from_json(RunSpec, json.loads(json.dumps(to_json(spec)))) == spec
    old = {name: value for name, value in to_json(plain).items() if name != "init"}
    assert from_json(RunSpec, old) == plain


# The plan


def base(seeds: tuple[int, ...] = (0, 1, 2), rates: tuple[float, ...] = RATES) -> Base:
    before = digits_spec("learned_1d")
    return Base(child(before, side=16), seeds, {"*": 0.0}, parent=before, rates=rates)


def finished(run: RunSpec, val: float | None) -> RunRecord:
    rng = np.random.default_rng(run.seed)
    done = record(run, draw(rng, [0.9], 1, 360)[0, 0] if val is not None else None)
    if val is not None:
        done.metrics["val_top1"] = val
    return done


def searched(scores: dict[float, float | None], asked: Base) -> Results:
    """Results of a search in which each rate got this validation score."""
    done: list[RunRecord] = []
    for rate, score in scores.items():
        runs = STUDY.plan(asked, Results(done)).runs
        run = next(r for r in runs if r.tries and r.recipe.lr == rate)
        done.append(finished(run, score))
    return Results(done)


def test_the_search_and_the_parents_are_planned_before_a_parent_exists():
    runs = STUDY.plan(base(), EMPTY).runs
    search = [run for run in runs if run.init is not None]
    parents = [run for run in runs if run.init is None]
    assert [run.recipe.lr for run in search] == list(RATES)
    assert {run.seed for run in search} == {TUNING_SEEDS}
    assert {run.parent for run in search} == {parents[0].id}
    assert [run.seed for run in parents] == [0, 1, 2]
    assert ready(runs) == parents
    assert ready(search) == search


def test_the_best_rate_on_validation_is_trained_with_the_seeds_of_the_parents():
    asked = base()
    done = searched({0.01: 0.7, 0.03: 0.8, 0.1: 0.6}, asked)
    tuned = [r for r in STUDY.plan(asked, done).runs if r.init and not r.tries]
    assert [(r.seed, r.recipe.lr) for r in tuned] == [(0, 0.03), (1, 0.03), (2, 0.03)]
    assert asked.parent is not None
    assert [r.parent for r in tuned] == [asked.parent.seeded(seed).id for seed in range(3)]


def test_a_best_rate_at_the_edge_widens_the_search_a_few_times():
    asked = base()
    done = searched({0.01: 0.5, 0.03: 0.6, 0.1: 0.7}, asked)
    runs = STUDY.plan(asked, done).runs
    assert [r.recipe.lr for r in runs if r.id not in done and r.init] == [0.316]
    assert all(r.tries for r in runs if r.init)
    done = searched({0.01: 0.5, 0.03: 0.6, 0.1: 0.7, 0.316: 0.8, 0.999: 0.9}, asked)
    assert {r.recipe.lr for r in STUDY.plan(asked, done).runs if r.seed in (1, 2) and r.init} == {
        0.999
    }


def test_rates_that_diverge_are_not_chosen():
    asked = base()
    done = searched({0.01: 0.5, 0.03: 0.6, 0.1: None}, asked)
    assert {r.recipe.lr for r in STUDY.plan(asked, done).runs if r.init and r.seed < 3} == {0.03}
    with pytest.raises(VitexpError, match="Every learning rate that was tried diverged"):
        STUDY.plan(asked, searched({0.01: None, 0.03: None, 0.1: None}, asked))


def test_one_rate_needs_no_search():
    runs = STUDY.plan(base(rates=(0.05,)), EMPTY).runs
    assert [r.recipe.lr for r in runs if r.init] == [0.05] * 3


def test_the_report_compares_each_seed_with_its_parent():
    asked, rng = base(), np.random.default_rng(5)
    done = list(searched({0.01: 0.7, 0.03: 0.8, 0.1: 0.6}, asked))
    before, after = draw(rng, [0.7, 0.9], 3, 360)
    for run in STUDY.plan(asked, Results(done)).runs:
        if not run.tries:
            done.append(record(run, (after if run.init else before)[run.seed]))
    everything = Results(done)
    grid = done_of(STUDY, STUDY.plan(asked, everything), everything)
    assert len(grid.records) + len(grid.tries) == 9
    said = STUDY.report(grid)
    first, second = said.rows
    assert (first["stage"], second["stage"], second["lr"]) == ("pre-trained", "fine-tuned", 0.03)
    assert second["delta_parent"] == pytest.approx(100 * (after.mean() - before.mean()), abs=1e-3)
    assert second["verdict"] == "better"
    assert second["top1_mean"] == pytest.approx(100 * after.mean(), abs=1e-3)
    assert "best of 0.01, 0.03, 0.1" in " ".join(said.notes)


# The program


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one run on the digits, fine-tuned at twice its image size."""
    out = tmp_path_factory.mktemp("finetune")
    train_one = ["train", *TINY, "--steps", "40", "--lr", "3e-3", "--seed", "1", "--out", str(out)]
    tune = ["finetune", "--from", "", "--image-size", "16", "--steps", "10", "--batch", "32",
            "--jobs", "1", "--rates", "0.01,0.1", "--precision", "fp32",
            "--out", str(out)]  # fmt: skip
    for command in (train_one, tune):
        with pytest.raises(SystemExit) as left:
            main(command)
        assert not left.value.code
    return out


def of(store: Path, tuned: bool) -> RunRecord:
    runs = [r for r in Store(store).results() if not r.spec.tries]
    return next(r for r in runs if (r.spec.init is not None) == tuned)


def test_a_run_is_fine_tuned_at_a_larger_size(store, capsys):
    parent, tuned = of(store, False), of(store, True)
    assert tuned.spec.init == FromRun(parent.id)
    assert (tuned.spec.model.image_size, tuned.spec.seed) == (16, 1)
    assert tuned.execution["init_weights"] == parent.weights_sha
    assert tuned.spec.recipe.optimizer == "sgd"
    said = read(capsys, "table", "finetune", "--out", store)
    assert [row["run_ids"] for row in said["rows"]] == [parent.id, tuned.id]
    assert "16 px" in (store / "tables" / "finetune.md").read_text()
    again = ["finetune", "--from", parent.id, "--image-size", "16", "--steps", "10"]
    again += ["--batch", "32", "--rates", "0.01,0.1", "--precision", "fp32", "--out", store]
    code, _, err = call(capsys, *again)
    assert code == 0
    assert "Nothing to run" in err


def test_parents_that_are_not_there_are_planned_first(store, capsys):
    command = ["finetune", "--from", of(store, False).id, "--seeds", "3", "--lr", "0.1"]
    plan = read(capsys, *command, "--out", store, "--dry-run", "--no-probe")
    cells = {cell["row"]: cell for cell in plan["cells"]}
    assert (cells["pre-trained"]["seeds"], cells["pre-trained"]["done"]) == ([1, 2, 3], 1)
    assert cells["fine-tuned"]["seeds"] == [1, 2, 3]


def test_a_share_of_the_images_is_drawn_by_each_seed(store):
    parent = of(store, False)
    settings = Settings(fraction=0.5, lr=0.1, seeds=2, seed=1, out=str(store))
    asked = resolve_finetune(settings, parent.id, (), Store(store), "fp32", no_progress, print)
    tuned = [run for run in STUDY.plan(asked, EMPTY).runs if run.init]
    assert [(run.data.fraction, run.data.subset_seed) for run in tuned] == [(0.5, 1), (0.5, 2)]
    assert tuned[0].recipe.steps == 10 * (round(0.5 * parent.spec.data.train) // 64)


@pytest.mark.parametrize(
    ("recipe", "steps", "rates", "val"),
    [
        ("paper-finetune-imagenet", 20_000, (0.003, 0.01, 0.03, 0.06), 14),
        ("paper-finetune-cifar", 10_000, (0.001, 0.003, 0.01, 0.03), 29),
        ("paper-finetune-pets", 500, (0.001, 0.003, 0.01, 0.03), 144),
        ("paper-finetune-vtab", 2_500, (0.01,), 144),
    ],
)
def test_the_papers_recipes_are_those_of_table_4(store, recipe, steps, rates, val):
    """With the dev splits of appendix B.1.1: 1, 2 and 10 % of the 1,437 digits."""
    settings = Settings(recipe=recipe, out=str(store))
    parent = of(store, False).id
    asked = resolve_finetune(settings, parent, (), Store(store), "fp32", no_progress, print)
    made = asked.run.recipe
    assert (made.steps, asked.rates, made.batch) == (steps, rates, 512)
    assert (asked.run.data.val, asked.run.data.test) == (val, 360)
    assert images_of(asked.run.data).fingerprint == asked.run.data.fingerprint
    assert (made.optimizer, made.momentum, made.schedule, made.clip) == ("sgd", 0.9, "cosine", 1)
    assert made.weight_decay == 0


def no_progress(stage: str, done: int, total: int) -> None:
    """Digits are not decoded."""


def test_a_parent_is_removed_only_with_its_fine_tunes(store, capsys):
    parent, tuned = of(store, False), of(store, True)
    code, _, err = call(capsys, "runs", "rm", parent.id, "--out", store)
    assert code == 2
    assert f"starts from run {parent.id}." in err.splitlines()[0]
    assert parent.id in Store(store).results()
    assert tuned.id in Store(store).results()


def test_a_file_of_weights_is_fine_tuned(store, capsys, tmp_path):
    parent = of(store, False)
    file = tmp_path / "mine.npz"
    code, _, err = call(capsys, "weights", "export", parent.id, "--to", "npz", file, "--out", store)
    assert code == 0, err
    shape = ["--model", "vit-xxs/2", *TINY[4:]]
    command = ["finetune", "--from", file, *shape, "--steps", "2", "--batch", "16", "--lr", "0.1"]
    said = read(capsys, *command, "--seeds", "2", "--out", tmp_path)
    (row,) = said["rows"]
    assert (row["stage"], row["n"]) == ("fine-tuned", 2)
    assert "concerns that file" in " ".join(said["notes"])


@pytest.mark.parametrize(
    ("arguments", "problem", "remedy"),
    [
        (["--from", "ffff"], "No run's id begins with 'ffff'", "vitexp runs list"),
        (["--from", "no.npz"], "There is no file 'no.npz'.", "a run or a file"),
        (["--from", "", "--width", "32"], "--width is a part of the model", "Leave --width out"),
        (["--from", "", "--image-size", "15"], "A patch of 2 pixels does not divide", "--patch"),
        (["--from", "", "--rates", "fast"], "--rates is 'fast'.", "Write numbers above 0"),
        (["--from", "", "--no-keep"], "--no-keep leaves no weights", "Leave it out."),
    ],
)
def test_bad_input_is_two_lines(store, capsys, arguments, problem, remedy, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    parent = of(store, False).id
    words = [parent if word == "" else word for word in arguments]
    code, _, err = call(capsys, "finetune", *words, "--out", store)
    lines = err.splitlines()
    assert (code, len(lines)) == (2, 2), err
    assert problem in lines[0]
    assert remedy in lines[1]


def test_other_seeds_of_a_fine_tuned_run_are_refused(store, capsys):
    tuned = of(store, True).id
    code, _, err = call(capsys, "finetune", "--from", tuned, "--seeds", "2", "--out", store)
    assert code == 2
    assert "was itself fine-tuned" in err
