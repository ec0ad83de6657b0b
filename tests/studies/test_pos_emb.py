"""The positional ablation: what it plans, which runs it compares, what it says about them."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.special import expit, logit

from tests.plans import by_position, sorted_into
from tests.synthetic import PAPER_CELLS, draw, grid, paper_grid, record, spec
from vitexp.analysis.decide import ALPHA
from vitexp.analysis.groups import Group
from vitexp.catalog import paper
from vitexp.positions import PAPER_POSITIONS
from vitexp.reporting.report import IntervalFigure, Report
from vitexp.runs.record import Results
from vitexp.settings.base import Base
from vitexp.spec import PositionSpec, RunSpec
from vitexp.studies import STUDIES
from vitexp.studies.pos_emb.study import PosEmb

STUDY = PosEmb()
EMPTY = Results(())
STD = {"*": 0.5, "relative": 2.0}


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def base(position: PositionSpec | None = None, seeds: tuple[int, ...] = (0, 1, 2)) -> Base:
    run = spec()
    if position is not None:
        vit = replace(run.model.transformer, position=position)
        run = replace(run, model=replace(run.model, vit=vit))
    return Base(run, seeds, STD)


def cells_of(runs: list[RunSpec]) -> list[tuple[str, str]]:
    return [(run.position.kind, run.position.placement) for run in runs]


def report(results: Results) -> Report:
    # The order of the plan, which made-up runs need not have.
    order = {cell: place for place, cell in enumerate((*PAPER_CELLS, ("sincos_2d", "stem")))}
    runs = sorted(results, key=lambda r: order[by_position(r.spec)])
    return STUDY.report(sorted_into(STUDY, runs, by_position, ("none", "stem")))


def row(said: Report, kind: str, placement: str = "stem") -> dict[str, Any]:
    return next(dict(r) for r in said.rows if (r["position"], r["placement"]) == (kind, placement))


def notes(said: Report) -> str:
    return "\n".join(said.notes)


# The plan


def test_it_is_the_registered_study():
    assert STUDIES.load("pos-emb") is PosEmb


def test_the_plan_is_the_papers_ten_cells_for_each_seed():
    runs = STUDY.plan(base(), EMPTY).runs
    assert len({run.id for run in runs}) == 30
    assert cells_of(runs[:10]) == list(PAPER_CELLS)
    assert [run.seed for run in runs] == [0] * 10 + [1] * 10 + [2] * 10
    assert {run.position.kind: run.position.std for run in runs} == {
        "none": 0,
        "learned_1d": 0.5,
        "learned_2d": 0.5,
        "relative": 2.0,
    }


def test_only_the_position_and_the_seed_differ_from_the_base():
    run = base().run
    for planned in STUDY.plan(base(), EMPTY).runs:
        assert (planned.data, planned.recipe, planned.precision) == (
            *(run.data, run.recipe, run.precision),
        )
        assert replace(planned.model.transformer, position=run.position) == run.model.transformer


def test_another_position_is_added_to_the_papers():
    more = base(PositionSpec("sincos_2d", std=0.0), seeds=(7,))
    runs = STUDY.plan(more, EMPTY).runs
    assert cells_of(runs)[10:] == [("sincos_2d", "stem"), ("sincos_2d", "shared")]
    assert cells_of(STUDY.plan(base(PositionSpec("relative")), EMPTY).runs) == list(PAPER_CELLS) * 3


def test_the_options_of_relative_reach_its_cells():
    asked = base(PositionSpec("learned_1d", scaled=False, per_head=False), seeds=(0,))
    options = {(r.position.kind, r.position.scaled) for r in STUDY.plan(asked, EMPTY).runs}
    assert options == {(k, k != "relative") for k in PAPER_POSITIONS}


# Which runs are one question


def test_a_question_is_its_cells_and_not_its_seeds():
    def name(asked: Base) -> str:
        return STUDY.plan(asked, EMPTY).asked("pos_emb", "pos_emb").name

    run = base().run
    preset = replace(run, recipe=replace(run.recipe, name="mine"))
    faster = replace(run, recipe=replace(run.recipe, lr=3e-3))
    assert name(base()) == name(base(seeds=(3, 4))) == name(Base(preset, (0,), STD))
    others = [Base(faster, (0,), STD), Base(run, (0,), STD | {"relative": 1.0})]
    others.append(base(PositionSpec("sincos_2d", std=0.0)))
    assert len({name(asked) for asked in (base(), *others)}) == 4


def test_each_kinds_initial_std_is_said(rng):
    assert "1-D 0.5, 2-D 0.5, relative 0.5" in dict(report(paper_grid(rng)).facts).values()


def test_a_single_cell_is_no_table(rng):
    single = sorted_into(STUDY, grid({("none", "stem"): draw(rng, [0.7], 3, 100)[0]}), by_position)
    assert not STUDY.answered(single.keys())


# The report


def test_the_table_has_the_papers_layout(rng):
    (table,) = report(paper_grid(rng)).tables
    assert [label.text for label, _ in table.rows] == ["none", "1-D", "2-D", "relative"]
    assert table.columns == ("stem", "every-layer", "shared")
    none, one_d, _, relative = table.rows
    assert [cell.text for cell in none[1][1:]] == ["N/A", "N/A"]
    assert one_d[1][0].lines[-1] == "paper 64.2 (+2.8)"
    assert relative[0].details == ("paper 64.0", "for the row")
    assert not any("paper" in line for cell in relative[1] for line in cell.lines)


def test_the_rows_are_the_long_form_in_percent(rng):
    results = paper_grid(rng)
    said = report(results)
    assert said.columns == (
        *("position", "placement", "n", "top1_mean", "top1_sd", "top1_low", "top1_high"),
        *("val_top1_mean", "delta_none", "delta_low", "delta_high", "p_adjusted", "verdict"),
        *("paper", "paper_delta", "run_ids"),
        *("few_shot_5_mean", "few_shot_5_sd", "few_shot_5_low", "few_shot_5_high"),
    )
    assert [(r["position"], r["placement"]) for r in said.rows] == list(PAPER_CELLS)
    got, none = row(said, "learned_1d"), row(said, "none")
    runs = [r for r in results if r.spec.position.kind == "learned_1d"]
    top1 = [100 * r.metrics["test_top1"] for r in runs if r.spec.position.placement == "stem"]
    assert got["n"] == 3
    assert got["top1_mean"] == pytest.approx(np.mean(top1), abs=1e-3)
    assert got["top1_sd"] == pytest.approx(np.std(top1, ddof=1), abs=1e-3)
    assert got["top1_low"] < got["top1_mean"] < got["top1_high"]
    assert got["val_top1_mean"] == pytest.approx(got["top1_mean"] + 0.4, abs=2e-3)
    assert got["delta_none"] == pytest.approx(got["top1_mean"] - none["top1_mean"], abs=2e-3)
    assert got["delta_low"] < got["delta_none"] < got["delta_high"]
    assert got["few_shot_5_mean"] == pytest.approx(got["top1_mean"] - 10, abs=2e-3)
    assert got["few_shot_5_low"] < got["few_shot_5_mean"] < got["few_shot_5_high"]
    assert (got["paper"], got["paper_delta"]) == (64.206, 2.824)
    assert got["run_ids"].split() == [r.id for r in runs if r.spec.position.placement == "stem"]
    assert (none["delta_none"], none["p_adjusted"], none["verdict"]) == (None, None, "")
    assert (none["paper"], none["paper_delta"]) == (61.382, None)
    assert (row(said, "relative")["paper"], row(said, "relative")["paper_delta"]) == (None, None)


def test_the_5_shot_probe_stands_beside_the_papers_number_where_it_was_measured(rng):
    runs = list(paper_grid(rng))
    (table,) = report(Results(runs)).tables
    shot, published = table.rows[1][1][0].lines[-2:]
    assert shot.startswith("5-shot 8")
    assert "±" in shot
    assert published == "paper 64.2 (+2.8)"
    bare = [replace(r, metrics={"test_top1": 0.9, "val_top1": 0.9}) for r in runs[:3]]
    said = report(Results([*bare, *runs[3:]]))
    assert not any("5-shot" in line for line in said.tables[0].rows[0][1][0].lines)
    assert (row(said, "none")["few_shot_5_mean"], row(said, "none")["n"]) == (None, 3)


def test_digits_decide_against_none_and_do_not_rank_the_others(rng):
    said = report(paper_grid(rng, seeds=5))
    assert {r["verdict"] for r in said.rows[1:]} == {"better"}
    assert all(row(said, *cell)["p_adjusted"] < ALPHA for cell in PAPER_CELLS[1:])
    assert "does not rank them" in notes(said)
    standing = {claim.id: claim.standing for claim in said.claims}
    assert standing == {"PE1": "SUPPORTED", "PE2": "INCONCLUSIVE", "PE3": "INCONCLUSIVE"}
    assert "must exceed 1 point" in said.claims[0].evidence
    assert len(said.claims[0].runs) == 50
    assert said.claims[0].sentence == paper.claims()["PE1"].sentence


def test_equal_cells_are_undecided_with_the_command_that_may_settle_it(rng):
    said = report(paper_grid(rng, none=0.90, others=0.92, images=2000))
    assert {r["verdict"] for r in said.rows[1:]} == {"undecided"}
    assert "`vitexp ablate pos-emb --dataset digits --seeds " in notes(said)
    assert said.claims[0].standing == "INCONCLUSIVE"
    assert said.claims[0].settle


def test_an_interval_of_a_claim_ends_where_a_difference_can(rng):
    said = report(paper_grid(rng, none=0.4, others=0.6, images=5))
    ends = [end for claim in said.claims for end in (claim.low, claim.high)]
    assert {abs(end) for end in ends if end is not None and abs(end) >= 100} == {100}
    assert "100.0]" in said.claims[0].evidence


def test_none_that_is_better_refutes_the_first_claim(rng):
    said = report(paper_grid(rng, seeds=5, none=0.9, others=0.7))
    assert said.claims[0].standing == "REFUTED"
    assert {r["verdict"] for r in said.rows[1:]} == {"worse"}


def test_a_kind_that_falls_behind_refutes_the_second_claim_only(rng):
    accuracy = [0.6] + [0.97] * 6 + [0.9] * 3
    drawn = draw(rng, accuracy, 10, 3000, image_luck=0.2, seed_luck=0.02)
    said = report(grid(dict(zip(PAPER_CELLS, drawn, strict=True))))
    _, kinds, places = said.claims
    assert kinds.standing == "REFUTED"
    assert kinds.evidence.startswith("Relative against ")
    assert places.standing != "REFUTED"
    assert "rank" in notes(said)


def test_verdicts_wait_for_three_seeds_and_then_for_the_next_look(rng):
    two = report(paper_grid(rng, seeds=2))
    assert {r["verdict"] for r in two.rows} == {""}
    assert {claim.standing for claim in two.claims} == {"NOT RUN"}
    assert row(two, "relative")["delta_low"] is not None
    one = report(paper_grid(rng, seeds=1))
    assert row(one, "relative")["top1_low"] is None
    assert row(one, "relative")["delta_none"] is not None
    assert row(one, "relative")["delta_low"] is None
    assert "±" not in one.tables[0].rows[1][1][0].text
    four = report(paper_grid(rng, seeds=4))
    assert "interval at 3 seeds" in notes(four)
    assert row(four, "relative")["n"] == 4


def test_a_grid_in_progress_says_what_was_not_run(rng):
    some = paper_grid(rng).where(
        lambda r: (
            r.spec.position.kind in ("none", "learned_1d") and r.spec.position.placement != "shared"
        )
    )
    said = report(some)
    (table,) = said.tables
    assert table.rows[1][1][2].text == "not run"
    assert table.rows[3][1][0].text == "not run"
    assert said.claims[0].standing == "NOT RUN"
    assert "1-D shared" in said.claims[0].evidence
    assert row(said, "learned_1d")["verdict"] == "better"


def test_without_none_there_are_no_differences(rng):
    said = report(paper_grid(rng).where(lambda r: r.spec.position.kind != "none"))
    assert {r["delta_none"] for r in said.rows} == {None}
    assert said.claims[0].standing == "NOT RUN"
    assert said.claims[1].standing != "NOT RUN"


def test_diverged_runs_are_shown_and_never_averaged(rng):
    runs = list(paper_grid(rng))
    lost = next(r for r in runs if r.spec.position == spec("learned_2d", "shared").position)
    every = [r for r in runs if r.spec.position == spec("relative", "stem").position]
    gone = {r.id: record(r.spec, None) for r in (lost, *every)}
    said = report(Results(gone.get(r.id, r) for r in runs))
    partly, wholly = row(said, "learned_2d", "shared"), row(said, "relative")
    assert (partly["n"], partly["verdict"], partly["p_adjusted"]) == (2, "diverged", None)
    kept = [r for r in runs if r.spec.position == lost.spec.position and r.id != lost.id]
    assert partly["top1_mean"] == pytest.approx(
        np.mean([100 * r.metrics["test_top1"] for r in kept]), abs=1e-3
    )
    assert (wholly["n"], wholly["top1_mean"], len(wholly["run_ids"].split())) == (0, None, 3)
    assert said.tables[0].rows[3][1][0].text == "diverged"
    assert lost.id in notes(said)
    assert {claim.standing for claim in said.claims} == {"INCONCLUSIVE"}


def test_a_run_that_collapsed_is_named_and_stays_in_the_numbers(rng):
    runs = list(paper_grid(rng))
    assert "Collapsed" not in notes(report(Results(runs)))
    lost = next(r for r in runs if r.spec.position == spec("learned_2d", "shared").position)
    worse = record(lost.spec, lost.correctness() & (rng.random(360) < 0.5))
    said = report(Results(worse if r is lost else r for r in runs))
    assert f"seed {lost.spec.seed} ({lost.id})" in notes(said)
    assert row(said, "learned_2d", "shared")["n"] == 3


@pytest.mark.parametrize(("images", "accuracy"), [(72, 0.97), (360, 0.73), (10_000, 0.97)])
def test_runs_collapse_seldom_by_chance_and_are_found_when_they_do(rng, images, accuracy):
    """Seeds vary by 0.3 in log odds; one in ten loses 3."""

    def group(drops):
        odds = logit(accuracy) + 0.3 * rng.normal(size=len(drops)) - drops
        right = np.arange(images) < images * expit(odds)[:, None]
        return Group(record(spec(seed=i, images=images), one) for i, one in enumerate(right))

    cells = [group(np.zeros(5)) for _ in range(200)]
    assert sum(bool(cell.collapsed) for cell in cells) <= 2
    alike = [group(3.0 * (np.arange(5) == 2)) for _ in range(100)]
    assert np.mean([[r.spec.seed for r in cell.collapsed] == [2] for cell in alike]) > 0.7
    assert not group(np.array([0.0, 9.0])).collapsed


def test_an_added_position_is_a_row_of_its_own_and_no_part_of_the_claims(rng):
    extra = grid({("sincos_2d", "stem"): draw(rng, [0.3], 3, 360)[0]})
    plain = paper_grid(rng)
    said = report(Results([*plain, *extra]))
    label, cells = said.tables[0].rows[4]
    assert label.text == "sincos_2d"
    assert [cell.text for cell in cells[1:]] == ["N/A", "not run"]
    assert row(said, "sincos_2d")["paper"] is None
    assert said.claims == report(plain).claims


def test_the_figure_shows_every_seed_and_the_papers_gaps(rng):
    (figure,) = report(paper_grid(rng)).figures
    assert isinstance(figure, IntervalFigure)
    accuracy, difference = figure.panels
    assert len(figure.rows) == len(accuracy.intervals) == 10
    assert [len(interval.points) for interval in accuracy.intervals] == [3] * 10
    assert [interval.row for interval in difference.intervals] == list(range(1, 10))
    relative = difference.references[-1]
    assert (relative.first, relative.last) == (7, 9)
    assert relative.value == pytest.approx(2.65)
    assert len(difference.references) == 7


def test_the_papers_numbers_are_those_of_table_8():
    published = paper.table8()
    assert len(published) == 8
    assert published["none", "stem"] == 0.61382
    assert published["learned_1d", "shared"] == 0.64292
    assert published["relative", None] == 0.64032


def test_reporting_needs_no_torch():
    code = (
        "import sys, vitexp.render, vitexp.render.figure, vitexp.studies.pos_emb.study;"
        "sys.exit('torch' in sys.modules or 'pandas' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
