"""The stacked contender trains each of its models as that model is trained alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn.utils import get_total_norm

from tools.bench.stacked import StackedStep, clip
from vitexp.launch.devices import cuda_devices
from vitexp.models.build import build
from vitexp.training.batches import Batches
from vitexp.training.compilation import has_compiler
from vitexp.training.execution import Execution
from vitexp.training.step import Step

CPU = torch.device("cpu")
SEEDS = (3, 0, 7)
STEPS = 8


def runs(run_spec, precision="fp32"):
    recipe = {"lr": 3e-3, "weight_decay": 0.5, "clip": 0.3, "label_smoothing": 0.1}
    spec = replace(run_spec(crop=True, flip=True, cutmix=1.0, **recipe), precision=precision)
    return [spec.seeded(seed) for seed in SEEDS]


def feed(spec, images, device):
    return Batches(images.train, spec.recipe, spec.model.classes, spec.seed, device)


def alone(spec, images, device):
    """Its loss at each step, (steps,), and its last weights."""
    model = build(spec.model, spec.seed).to(device)
    step = Step(spec, model, feed(spec, images, device), device, Execution(1, "hash"))
    losses = [step(number).clone() for number in range(STEPS)]
    return torch.stack(losses), model.state_dict()


def stacked(specs, images, device, compiled=False):
    """The same of each spec, from one stacked model."""
    step = StackedStep(specs, [feed(spec, images, device) for spec in specs], device, compiled)
    losses = torch.stack([step(number).clone() for number in range(STEPS)], dim=1)
    return [(losses[index], step.model.of(index)) for index in range(len(specs))]


def same(found, expected, **within):
    for (losses, weights), (their_losses, their_weights) in zip(found, expected, strict=True):
        torch.testing.assert_close(losses, their_losses, **within)
        assert weights.keys() == their_weights.keys()
        for name, value in their_weights.items():
            torch.testing.assert_close(
                told(name, weights[name]), told(name, value), **within, msg=name
            )


def told(name, value):
    """Without the keys' biases, whose gradients are nothing but rounding."""
    return value.unflatten(0, (3, -1))[::2] if name.endswith("qkv.bias") else value


def test_each_slice_ends_where_its_model_does_when_it_is_trained_alone(few_digits, run_spec):
    """Each with its own order of images, draws, first weights and norm of the gradient."""
    specs = runs(run_spec)
    expected = [alone(spec, few_digits, CPU) for spec in specs]
    same(stacked(specs, few_digits, CPU), expected, rtol=1e-5, atol=1e-5)
    # They are not one another's.
    first, other = (weights for _, weights in expected[:2])
    assert (first["head.weight"] - other["head.weight"]).abs().max() > 1e-2


def test_so_it_does_in_bf16(few_digits, run_spec):
    specs = runs(run_spec, "bf16")
    expected = [alone(spec, few_digits, CPU) for spec in specs]
    same(stacked(specs, few_digits, CPU), expected, rtol=2e-3, atol=2e-3)


def test_so_it_does_with_compiled_blocks(few_digits, run_spec):
    if not has_compiler(CPU):
        pytest.skip("no C++ compiler that torch.compile can use")
    specs = runs(run_spec)
    plain = stacked(specs, few_digits, CPU)
    same(stacked(specs, few_digits, CPU, compiled=True), plain, rtol=1e-4, atol=1e-4)


def test_each_seed_is_clipped_by_its_own_norm():
    gradients = [torch.full((2, 3), 4.0), torch.full((2, 2, 2), 4.0)]
    gradients[0][1], gradients[1][1] = 0.01, 0.01
    kept = [gradient[1].clone() for gradient in gradients]
    clip(gradients, 1.0)
    assert get_total_norm([gradient[0] for gradient in gradients]).item() == pytest.approx(1.0)
    assert all(torch.equal(g[1], before) for g, before in zip(gradients, kept, strict=True))


@pytest.mark.cuda
@pytest.mark.skipif(not cuda_devices(), reason="needs a CUDA device")
@pytest.mark.parametrize("compiled", [False, True])
def test_its_captured_graph_trains_each_model_as_alone_and_never_waits(
    few_digits, run_spec, compiled
):
    device, specs = torch.device("cuda"), runs(run_spec)
    expected = [alone(spec, few_digits, device) for spec in specs]
    same(stacked(specs, few_digits, device, compiled), expected, rtol=0.02, atol=2e-3)
    step = StackedStep(specs, [feed(spec, few_digits, device) for spec in specs], device, compiled)
    torch.cuda.set_sync_debug_mode("error")
    step(0)
    torch.cuda.set_sync_debug_mode("default")
