"""Whether training got far enough for anything to be concluded, and a report in three lines."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.plans import by_position, sorted_into
from tests.synthetic import draw, grid, paper_grid, record, spec
from vitexp.analysis.groups import Group
from vitexp.experiment.answers import reported
from vitexp.reporting.training import compute_limited, facts, looked_at, loss_falls, undertrained
from vitexp.runs.record import Results, RunRecord
from vitexp.studies.pos_emb.study import PosEmb


@pytest.fixture
def rng():
    return np.random.default_rng(8)


def made(right: int, of: int, seed: int = 0, **metrics: float) -> RunRecord:
    """A run that got so many images right."""
    one = record(spec(seed=seed, images=of), np.arange(of) < right)
    return replace(one, metrics=one.metrics | metrics)


@pytest.mark.parametrize(
    ("right", "of", "majority", "warned", "limited"),
    [
        (40, 360, 0.1, True, False),
        (53, 360, 0.1, True, True),
        (54, 360, 0.1, False, False),
        (60, 100, 0.5, True, True),
        (70, 100, 0.5, False, False),
        (9, 20, 0.2, True, True),
        (2, 5, 0.4, True, True),
    ],
)
def test_what_guessing_reaches_too_concludes_nothing(right, of, majority, warned, limited):
    def said(train_top1: float) -> str:
        best = made(right, of, test_majority=majority, train_top1=train_top1)
        return undertrained([Group([best]), Group([made(1, of)])])

    assert bool(said(right / of)) == warned
    assert ("try --steps 4000." in said(right / of + 0.1)) == warned
    few = said(right / of + 0.1).startswith("Too few test images or under-trained")
    assert few == (warned and limited)
    # More steps are no advice for what has learned its training images by heart.
    assert ("Over-fitted" in said(1.0)) == ("finetune" in said(1.0)) == warned
    assert "--steps" not in said(1.0)


def test_guessing_and_how_far_training_came_are_facts():
    group = Group([made(300, 360, seed, test_majority=0.103, train_top1=0.9) for seed in (0, 1)])
    found = dict(facts([group]))
    assert found["guessing"] == "chance 10.0 %, always the most common class 10.3 %"
    assert found["training"] == "top-1 on training images 90.0 to 90.0 %"
    looked = [made(1, 2, train_images=images) for images in (2000.0, 39.0)]
    assert looked_at(looked) == "39 to 2,000 training images"
    one = undertrained([Group([made(1, 1)])])
    assert "may on 1 image, too" in one
    falling = replace(group.records[0], curve=curve([4, 3, 2, 1, 0.5, 0.3]))
    found = dict(facts([Group([falling, replace(group.records[1], curve=curve([4, 3, 1, 1, 1]))])]))
    assert found["training"].endswith("; loss still falling in 1 of 2 runs")


def curve(losses: list[float]) -> list[dict[str, float]]:
    return [
        {"step": float(i), "train_loss": loss, "val_top1": 0.5} for i, loss in enumerate(losses)
    ]


@pytest.mark.parametrize(
    ("losses", "falls"),
    [
        ([3, 2], None),
        ([3, 2, 1, 0.5], True),
        ([3, 1, 0.51, 0.5], False),
        ([3, 3, 3, 3], False),
        ([1, 2, 3, 4], False),
    ],
)
def test_a_loss_falls_while_its_last_quarter_has_a_part_of_the_fall(losses, falls):
    assert loss_falls(replace(made(1, 10), curve=curve(losses))) is falls


@pytest.mark.parametrize(
    ("metrics", "limited"),
    [
        ({"train_top1": 0.995}, "no"),
        ({"train_top1": 0.9}, "no"),
        ({"train_top1": 0.5, "train_images": 2000.0}, "yes"),
        ({"train_top1": 0.5, "train_images": 48.0}, "perhaps"),
    ],
)
def test_few_training_images_leave_open_what_limits(metrics, limited):
    assert compute_limited(Group([made(1000, 2000, **metrics)])) == limited


def said(results: Results) -> tuple[str, ...]:
    study = PosEmb()
    return reported(study, sorted_into(study, results, by_position, ("none", "stem"))).headline


def test_a_report_says_what_was_found_what_is_open_and_what_to_type(rng):
    found, still, following = said(paper_grid(rng, 5))
    assert found == "Found: PE1 supported, 9 better."
    assert still == "Open: PE2, PE3."
    # More seeds do not settle these on so few images.
    assert following.startswith("Next: `vitexp ablate pos-emb")
    assert following.endswith("--folds 5`")
    still, following = said(paper_grid(rng, none=0.90, others=0.92, images=2000))
    assert still == "Open: PE1, PE2, PE3, 9 undecided."
    assert following.startswith("Next: `vitexp ablate pos-emb --dataset digits --seeds ")
    (few,) = said(grid({("none", "stem"): draw(rng, [0.7], 2, 360)[0]}))
    assert few.startswith("Next: `vitexp ablate pos-emb")


def test_a_report_that_concludes_nothing_says_that_first(rng):
    lines = said(paper_grid(rng, 3, none=0.1, others=0.1))
    assert lines[0].startswith("Over-fitted: nothing here can be concluded.")
    assert len(lines) <= 3
    assert not any("Next:" in line for line in lines)


def test_cells_that_compute_limits_are_a_caution(rng):
    runs = [
        replace(r, metrics=r.metrics | {"train_top1": r.metrics["test_top1"], "train_images": 2e3})
        for r in paper_grid(rng, 5, images=2000, none=0.5, others=0.6)
    ]
    assert "more --steps may change this" in said(Results(runs))[0]
