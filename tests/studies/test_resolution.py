"""The study of larger images: its cells, fresh and learned tables, and what it claims."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping

import numpy as np
import pytest
import torch

from tests.alone import Memory
from tests.plans import done_of
from tests.studies.test_finetune import CPU, child, parent
from tests.synthetic import draw, record
from tests.synthetic import spec as digits_spec
from vitexp.datasets.load import describe
from vitexp.positions import PAPER_POSITIONS
from vitexp.reporting.report import IntervalFigure, Report
from vitexp.runs.plans import Key
from vitexp.runs.record import Results
from vitexp.runs.store import ready
from vitexp.settings.base import Base
from vitexp.spec import RunSpec
from vitexp.studies import STUDIES
from vitexp.studies.resolution.study import Resolution
from vitexp.training.loop import train
from vitexp.training.start import Start

__all__ = ["parent"]

STUDY = Resolution()
EMPTY = Results(())


def base(seeds: int = 3) -> Base:
    data, _ = describe("digits")
    run = dataclasses.replace(digits_spec("learned_1d"), data=data)
    return Base(run, tuple(range(seeds)), {"*": 0.5, "relative": 2.0})


@functools.cache
def keys() -> dict[str, Key]:
    return STUDY.plan(base(), EMPTY).keys


def how(run: RunSpec) -> str:
    return STUDY.label(keys()[run.id])[1]


def test_each_kind_is_fine_tuned_at_three_sizes_with_learned_and_with_fresh_tables():
    assert STUDIES.load("resolution") is Resolution
    runs = STUDY.plan(base(), EMPTY).runs
    assert len({run.id for run in runs}) == len(runs) == 3 * (6 + 3 * 10)
    one_d = [how(r) for r in runs if r.position.kind == "learned_1d" and r.seed == 0]
    assert one_d == [
        *("pre-trained, 8 px", "8 px, learned", "12 px, learned", "12 px, fresh"),
        *("16 px, learned", "16 px, fresh"),
        *("12 px, learned, not tuned", "12 px, fresh, not tuned"),
        *("16 px, learned, not tuned", "16 px, fresh, not tuned"),
    ]
    assert [how(r) for r in runs if r.position.kind == "none" and r.seed == 0] == [
        *("pre-trained, 8 px", "8 px, learned", "12 px, learned", "16 px, learned"),
        *("12 px, learned, not tuned", "16 px, learned, not tuned"),
    ]
    by_id = {run.id: run for run in runs}
    for run in runs:
        if run.parent is not None:
            before = by_id[run.parent]
            assert (before.seed, before.position) == (run.seed, run.position)
            assert run.data.image_size == run.model.image_size
            tuned = "not tuned" not in how(run)
            assert run.recipe.steps == (before.recipe.steps // 4 if tuned else 0)
    assert {run.parent for run in ready(runs)} == {None}


def test_fresh_tables_are_those_of_the_seed_and_the_rest_is_the_parents(parent, few_digits):
    spec, path = parent
    still = child(spec, lr=1e-30, steps=1)
    kept, fresh = (
        train(still, few_digits, Memory(), CPU, 1, Start(path, "sha", fresh_tables))
        for fresh_tables in (False, True)
    )
    assert kept is not None
    assert fresh is not None
    table = "position.tables.places.0.embedding"
    for name, value in kept[1].items():
        same = torch.allclose(value, fresh[1][name], rtol=0, atol=1e-25)
        assert same != (name == table), name
    assert torch.allclose(fresh[1][table] + 0.01, kept[1][table], atol=1e-6)


def made_up(accuracy: Mapping[str, float], seeds: int = 3) -> Report:
    """A grid in which every run got its images right as often as its column says."""
    rng = np.random.default_rng(7)
    plan = STUDY.plan(base(seeds), EMPTY)
    done = Results(
        record(run, draw(rng, [accuracy.get(how(run), 0.8)], 1, run.data.test)[0, 0])
        for run in plan.runs
    )
    return STUDY.report(done_of(STUDY, plan, done))


WORTH_IT = {
    "12 px, learned": 0.97,
    "16 px, learned": 0.97,
    "12 px, fresh": 0.6,
    "16 px, fresh": 0.6,
    "12 px, learned, not tuned": 0.5,
    "12 px, fresh, not tuned": 0.3,
}


@pytest.mark.parametrize(
    ("accuracy", "seeds", "standing"),
    [
        (WORTH_IT, 3, "SUPPORTED"),
        ({how: min(1.57 - share, 0.97) for how, share in WORTH_IT.items()}, 3, "REFUTED"),
        (WORTH_IT | {"16 px, fresh": 0.97}, 3, "INCONCLUSIVE"),
        (WORTH_IT, 2, "NOT RUN"),
    ],
)
def test_the_claim_needs_every_larger_size(accuracy, seeds, standing):
    said = made_up(accuracy, seeds)
    (claim,) = said.claims
    assert (claim.id, claim.standing) == ("PE9", standing)
    table, before = said.tables
    assert before.columns == (
        *("8 px, pre-trained", "12 px, fresh, not tuned", "12 px, learned, not tuned"),
        *("16 px, fresh, not tuned", "16 px, learned, not tuned"),
    )
    one_d = next(cells for label, cells in before.rows if label.text.startswith("1-D"))
    asked = [100 * accuracy[f"12 px, {tables}, not tuned"] for tables in ("fresh", "learned")]
    assert [float(cell.text.split(",")[0].split()[0]) for cell in one_d[1:3]] == pytest.approx(
        asked, abs=8
    )
    (figure,) = said.figures
    assert isinstance(figure, IntervalFigure)
    assert [len(panel.intervals) for panel in figure.panels] == [18, 18]
    assert table.columns == (
        *("8 px, pre-trained", "8 px, learned", "12 px, fresh", "12 px, learned"),
        *("16 px, fresh", "16 px, learned"),
    )
    assert len(table.rows) == len(PAPER_POSITIONS)
    assert [cell.text for cell in table.rows[0][1]].count("N/A") == 2
    row = next(
        r
        for r in said.rows
        if (r["position"], r["image_size"], r["tables"], r["stage"])
        == ("relative", 16, "learned", "fine-tuned")
    )
    low, delta, high = (row[name] for name in ("delta_low", "delta_fresh", "delta_high"))
    assert isinstance(low, float)
    assert isinstance(delta, float)
    assert isinstance(high, float)
    assert low < delta < high
