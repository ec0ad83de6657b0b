"""The mean of the weights over the steps: its formula, what is measured with it."""

from __future__ import annotations

import pytest
import torch

from tests.alone import CPU, finished
from vitexp.evaluation.accuracy import accuracy
from vitexp.models.build import build
from vitexp.spec import identity

FACTOR = 0.7
STEPS = 5


@pytest.fixture
def flat(run_spec):
    """Runs with a rate that does not depend on their number of steps."""

    def make(steps, **recipe):
        same = {"schedule": "constant", "warmup": 0, "lr": 3e-3, "evaluate_every": 2}
        return run_spec(steps=steps, **same | recipe)

    return make


def test_the_mean_agrees_with_its_formula_and_is_what_is_measured(few_digits, flat):
    each = [finished(flat(steps), few_digits)[1] for steps in range(1, STEPS + 1)]
    shares = [FACTOR ** (STEPS - step) for step in range(1, STEPS + 1)]
    record, weights = finished(flat(STEPS, averaging=FACTOR), few_digits)
    for name, value in weights.items():
        expected = sum(w[name].double() * s for w, s in zip(each, shares, strict=True))
        assert torch.allclose(value.double(), expected / sum(shares), atol=1e-6), name
    model = build(record.spec.model, 0)
    model.load_state_dict(weights)
    for split in ("val", "test"):
        measured = accuracy(model, getattr(few_digits, split), CPU, torch.float32).top1
        assert record.metrics[f"{split}_top1"] == pytest.approx(measured)
    last = finished(flat(STEPS), few_digits)[0]
    losses = [[point["train_loss"] for point in r.curve] for r in (record, last)]
    assert losses[0] == losses[1]


def test_with_a_factor_near_1_it_is_the_plain_mean(few_digits, flat):
    each = [finished(flat(steps), few_digits)[1] for steps in range(1, 4)]
    _, weights = finished(flat(3, averaging=0.9999), few_digits)
    for name, value in weights.items():
        assert torch.allclose(value, sum(w[name] for w in each) / 3, atol=1e-5), name


def test_a_recipe_without_it_keeps_its_id(flat):
    assert "averaging" not in identity(flat(3).recipe)
    assert flat(3, averaging=0.9).id != flat(3, averaging=0.99).id != flat(3).id
