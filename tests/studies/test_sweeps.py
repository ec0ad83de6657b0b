"""Studies of a few settings: their cells, who is compared with whom, the paper's claims."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.plans import done_of
from tests.synthetic import draw, record
from vitexp.cli.budget import seconds
from vitexp.cli.main import main
from vitexp.errors import VitexpError
from vitexp.experiment.plan import Grid
from vitexp.experiment.sweep import Sweep
from vitexp.models.count import macs
from vitexp.reporting.report import Claim, IntervalFigure
from vitexp.runs.record import Results
from vitexp.settings.base import Base
from vitexp.settings.flags import Settings
from vitexp.settings.run import resolve
from vitexp.spec import RunSpec
from vitexp.studies.optimizer import Optimizer
from vitexp.studies.patch import Patch
from vitexp.studies.pool import Pool
from vitexp.studies.shape.study import Shape

EMPTY = Results([])


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def base(seeds: int = 3, **settings: Any) -> Base:
    return resolve(Settings(dataset="digits", seeds=seeds, lr=1e-3, **settings), "fp32")


def results(
    study: Sweep, rng: np.random.Generator, accuracy: dict[str, float], seeds: int = 5
) -> Results:
    """Runs of a study's plan whose cells have these accuracies, 0.9 where none is given."""
    plan = study.plan(base(seeds), EMPTY)
    names = {key: study.label(key)[0] for key in plan.cells}
    true = [accuracy.get(name, 0.9) for name in names.values()]
    drawn = dict(zip(names, draw(rng, true, seeds, 1000, seed_luck=0.02), strict=True))
    data = replace(plan.runs[0].data, test=1000)
    return Results(
        record(replace(run, data=data), drawn[key][run.seed])
        for key, runs in plan.cells.items()
        for run in runs
    )


def grid_of(study: Sweep, done: Results) -> Grid:
    """The results of the study's plan, as :func:`results` makes them."""
    seeds = 1 + max(record.spec.seed for record in done)
    plan = study.plan(base(seeds), EMPTY)
    data = next(iter(done)).spec.data
    return done_of(
        study,
        replace(
            plan,
            cells={
                key: [replace(run, data=data) for run in runs] for key, runs in plan.cells.items()
            },
        ),
        done,
    )


def judged(study: Sweep, done: Results) -> dict[str, Claim]:
    return {claim.id: claim for claim in study.report(grid_of(study, done)).claims}


@pytest.mark.parametrize("study", [Shape(), Patch(), Pool(), Optimizer()])
def test_every_cell_of_a_plan_is_a_row_of_one_table(study, rng):
    done = results(study, rng, {})
    said = study.report(grid_of(study, done))
    labels = {study.label(key)[0] for key in study.plan(base(1), EMPTY).cells}
    assert {" ".join(filter(None, (row["group"], row["cell"]))) for row in said.rows} == labels
    assert {row["n"] for row in said.rows} == {5}
    assert [row["delta"] for row in said.rows].count(None) == 1, "the reference alone"
    assert set(study.claim_ids) == {claim.id for claim in said.claims}
    (figure,) = said.figures
    assert isinstance(figure, IntervalFigure)
    gaps = {interval.row: interval.mean for interval in figure.panels[1].intervals}
    ((base_row, _),) = figure.panels[1].notes
    in_order = [gaps.get(row, 0.0) for row in range(len(figure.rows))]
    assert len(figure.rows) == len(labels) and base_row not in gaps
    assert np.diff(in_order).max() < 1e-9, "from the best difference to the worst"
    colours = {colour for colour, _ in figure.looks}
    known = {Patch: {"1-D", "none"}, Optimizer: {"ResNet"}}
    assert colours == known.get(type(study), {"ViT"})


def test_only_what_is_under_test_differs(rng):
    plain = base(1).run
    for run in Pool().plan(base(1), EMPTY).runs:
        vit = replace(run.model.transformer, pool="token")
        assert vit == plain.model.transformer
        assert replace(run.recipe, lr=plain.recipe.lr) == plain.recipe
    for run in Patch().plan(base(1), EMPTY).runs:
        assert run.recipe == plain.recipe
        assert run.data == plain.data


def test_pools_are_compared_each_at_its_best_rate_on_validation(rng):
    study = Pool()
    at = {"token lr 0.001": 0.95, "gap lr 0.00033": 0.95, "gap lr 0.003": 0.5}
    claim = judged(study, results(study, rng, at, 10))["CT1"]
    assert claim.evidence.startswith("Gap lr 0.00033 over token lr 0.001: ")
    assert "the rates differ" in claim.evidence
    worse = {"token lr 0.001": 0.99, "gap lr 0.001": 0.92}
    assert judged(study, results(study, rng, worse, 10))["CT1"].standing == "REFUTED"


def test_the_gap_to_none_grows_with_smaller_patches(rng):
    study = Patch()
    known = {"patch 4 none": 0.89, "patch 2 none": 0.7, "patch 1 none": 0.4}
    claim = judged(study, results(study, rng, known))["PE4"]
    assert claim.standing == "SUPPORTED"
    assert claim.effect == pytest.approx(49, abs=6)
    same = {f"patch {size} none": 0.6 for size in (1, 2, 4)}
    assert judged(study, results(study, rng, same))["PE4"].standing == "INCONCLUSIVE"


def test_adam_is_ahead_only_if_it_is_for_every_model(rng):
    study = Optimizer()
    ahead = {"r8x1.25 adamw lr 0.001": 0.97, "r8x2.5 adamw lr 0.001": 0.97}
    assert judged(study, results(study, rng, ahead))["OP1"].standing == "SUPPORTED"
    mixed = {"r8x1.25 adamw lr 0.001": 0.97, "r8x2.5 sgd lr 0.03": 0.97}
    assert judged(study, results(study, rng, mixed))["OP1"].standing == "REFUTED"


def test_shapes_are_compared_with_the_one_they_depart_from(rng):
    study = Shape()
    grown = {
        "depth 8, width 64, MLP 256, patch 2": 0.97,
        "depth 4, width 64, MLP 256, patch 1": 0.96,
    }
    done = results(study, rng, grown)
    assert study.reference(grid_of(study, done)) == ("", "depth 4, width 64, MLP 256, patch 2")
    (figure,) = study.report(grid_of(study, done)).figures
    assert isinstance(figure, IntervalFigure)
    best, second = figure.rows[:2]
    assert (best, second) == (("", "depth 8"), ("", "patch 1")), "what each changed"
    assert ("", "depth 4, width 64, MLP 256, patch 2") in figure.rows
    found = judged(study, done)
    assert {name: claim.standing for name, claim in found.items()} == {
        "SH1": "SUPPORTED",
        "SH2": "SUPPORTED",
        "SH3": "SUPPORTED",
        "SH4": "NOT RUN",
    }


def sized(done: Results) -> Results:
    """The same runs with their compute and a made-up number of parameters."""

    def sizes(run: RunSpec) -> dict[str, float]:
        vit = run.model.transformer
        return {
            "macs": float(macs(run.model) or 0),
            "params": float(vit.depth * vit.width * (4 * vit.width + 2 * vit.mlp)),
        }

    return Results(replace(r, metrics=r.metrics | sizes(r.spec)) for r in done)


def test_compute_against_parameters_is_judged_over_the_shapes(rng):
    study = Shape()
    cells = study.plan(base(1), EMPTY).cells
    cost = {study.label(key)[0]: macs(runs[0].model) or 1 for key, runs in cells.items()}
    rises = {name: 0.7 + 0.05 * float(np.log(cost[name] / min(cost.values()))) for name in cost}
    claim = judged(study, sized(results(study, rng, rises, 5)))["SH4"]
    assert claim.standing == "SUPPORTED"
    assert claim.n == len(cost)
    flat = judged(study, sized(results(study, rng, {}, 5)))["SH4"]
    assert flat.standing == "INCONCLUSIVE"
    assert "another --model" in flat.settle
    few = judged(study, results(study, rng, {}, 5))["SH4"]
    assert (few.standing, "vitexp ablate shape" in few.settle) == ("NOT RUN", True)


@pytest.mark.parametrize(
    ("words", "flag"),
    [
        (("pos-emb", "--placement", "shared"), "--placement"),
        (("compute", "--model", "r11"), "--model"),
        (("pool", "--pool", "gap"), "--pool"),
        (("data-size", "--model", "r20"), "--model"),
        (("resolution", "--position", "2d"), "--position"),
        (("pretrain", "--fraction", "0.1"), "--fraction"),
    ],
)
def test_a_flag_for_what_a_study_compares_is_refused_and_not_ignored(words, flag, tmp_path, capsys):
    with pytest.raises(SystemExit) as left:
        main(["ablate", *words, "--dry-run", "--no-probe", "--out", str(tmp_path)])
    assert left.value.code == 2
    said = capsys.readouterr().err
    assert f"compares several values of {flag} by itself" in said
    assert f"`vitexp train` takes {flag}" in said


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        *(((study, "r20"), "ResNet") for study in ("pos-emb", "shape", "patch", "pool")),
        (("resolution", "r20"), "ResNet"),
        (("shape", "r20+vit-xxs"), "hybrid"),
        (("patch", "r20+vit-xxs"), "hybrid"),
    ],
)
def test_a_model_without_what_a_study_is_about_is_refused(words, kind, tmp_path, capsys):
    study, model = words
    with pytest.raises(SystemExit) as left:
        main(["ablate", study, "--model", model, "--dry-run", "--no-probe", "--out", str(tmp_path)])
    said = capsys.readouterr().err.splitlines()
    assert (left.value.code, len(said)) == (2, 2)
    assert said[0].startswith(f"Error: vitexp ablate {study} is about a")
    assert said[0].endswith(f", and {model} is a {kind}.")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words",
    [
        *((study, "r20+vit-xxs") for study in ("pos-emb", "pool", "resolution")),
        *(("pretrain", model) for model in ("r20", "r20+vit-xxs")),
    ],
)
def test_what_has_a_transformer_or_needs_none_is_planned(words, tmp_path, capsys):
    study, model = words
    words = ("--model", model, "--image-size", "16", "--dry-run", "--no-probe", "--json")
    with pytest.raises(SystemExit) as left:
        main(["ablate", study, *words, "--out", str(tmp_path)])
    assert not left.value.code
    plan = json.loads(capsys.readouterr().out)
    assert plan["runs"]["done"] == 0 < plan["runs"]["total"]


def test_runs_are_counted_by_id(tmp_path, capsys):
    words = ("--depth", "1", "--dry-run", "--no-probe", "--json", "--out", str(tmp_path))
    with pytest.raises(SystemExit) as left:
        main(["ablate", "shape", *words])
    assert not left.value.code
    plan = json.loads(capsys.readouterr().out)
    assert plan["runs"] == {"total": 30, "done": 0, "todo": 30}, "half of one block is one, too"
    assert [cell["seeds"] for cell in plan["cells"]] == [[0, 1, 2]] * 10


def test_a_wrong_study_lists_the_names_as_they_are_typed(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["plot", "pos-em", "--out", str(tmp_path)])
    said = capsys.readouterr().err
    assert "Did you mean 'pos-emb'?" in said
    assert "pos_emb" not in said


@pytest.mark.parametrize(("text", "value"), [("90s", 90), ("30min", 1800), ("1.5h", 5400)])
def test_a_budget_is_a_time(text, value):
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["2", "h", "-1h", "0s", "2 weeks"])
def test_a_budget_that_is_no_time_is_refused(text):
    with pytest.raises(VitexpError, match="is no time"):
        seconds(text)
