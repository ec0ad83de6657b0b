"""More than fits: a batch in parts, blocks computed twice, images that stay on the disk."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.alone import CPU, RECIPES, Memory, comparable, finished
from tests.conftest import DATA, RECIPE, model_spec
from vitexp.datasets.image_set import ImageSet, Split
from vitexp.errors import VitexpError
from vitexp.evaluation.accuracy import accuracy
from vitexp.launch.devices import cuda_devices
from vitexp.models.build import build
from vitexp.models.masks import SOURCES, HostNoise
from vitexp.models.memory import SLACK, training_bytes
from vitexp.models.recompute import recompute_blocks
from vitexp.models.stream import AHEAD, Stream
from vitexp.runs.options import ExecutionOptions
from vitexp.spec import ModelSpec, PositionSpec, Recipe, ResNetShape, RunSpec
from vitexp.training.batches import Batch, Batches
from vitexp.training.execution import choose
from vitexp.training.fit import largest, try_step
from vitexp.training.loop import train
from vitexp.training.step import Step

TRUNK = ResNetShape((1, 1), 8, "small")
MODELS = {
    "vit": model_spec(position=PositionSpec("relative", "every-layer", std=0.5)),
    "resnet": ModelSpec("resnet", 8, 1, 10, trunk=TRUNK),
    "hybrid": dataclasses.replace(model_spec(patch=1), family="hybrid", trunk=TRUNK),
}


class Doubles(Batches):
    """In float64, so that only mistakes show and no rounding."""

    def made(self, drawn: dict[str, torch.Tensor], images: torch.Tensor) -> Batch:
        batch = super().made(drawn, images)
        return Batch(batch.images.double(), batch.targets)


def one_step(
    model: ModelSpec, images: ImageSet, options: ExecutionOptions, noise: str = HostNoise.source
) -> tuple[Tensor, list[Tensor]]:
    """The loss and the gradient of a step with everything that may differ between samples."""
    changed = {**RECIPES["everything"], "dropout": 0.1 if model.vit else 0.0}
    recipe: Recipe = dataclasses.replace(RECIPE, **changed)
    net = build(model, 0, recipe.dropout, recipe.stochastic_depth).double()
    for value in net.parameters():
        torch.nn.init.normal_(value, std=0.1, generator=torch.Generator().manual_seed(0))
    spec = RunSpec(model, DATA, recipe, 0)
    how = dataclasses.replace(choose(spec, CPU, 1, options), noise=noise)
    step = Step(spec, net, Doubles(images.train, recipe, 10, 0, CPU), CPU, how)
    loss = step(3)
    return loss, [v.grad for v in net.parameters() if v.grad is not None]


@pytest.mark.parametrize("noise", SOURCES)
@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_a_batch_in_parts_has_the_gradient_of_the_whole(few_digits, model, noise):
    """Parts of 5 of a batch of 32, with dropout, mixed images and smoothed labels."""
    loss, whole = one_step(model, few_digits, ExecutionOptions(), noise)
    parts_loss, parts = one_step(model, few_digits, ExecutionOptions(micro_batch=5), noise)
    torch.testing.assert_close(parts_loss, loss, rtol=1e-6, atol=0)
    scale = max(float(gradient.abs().max()) for gradient in whole)
    assert scale > 1e-3
    for one, other in zip(parts, whole, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7 * scale)


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_blocks_that_are_computed_twice_give_the_same_bits(few_digits, model):
    loss, kept = one_step(model, few_digits, ExecutionOptions())
    again_loss, again = one_step(model, few_digits, ExecutionOptions(grad_checkpointing=True))
    assert torch.equal(loss, again_loss)
    assert all(torch.equal(one, other) for one, other in zip(kept, again, strict=True))


def test_blocks_that_are_computed_twice_keep_less():
    """What autograd holds between the two passes, counted."""

    def held(recompute: bool) -> int:
        model = build(model_spec(depth=6, position=PositionSpec(std=0.5)), 0)
        if recompute:
            recompute_blocks(model)
        seen: dict[int, int] = {}

        def pack(value: Tensor) -> Tensor:
            seen[value.untyped_storage().data_ptr()] = value.untyped_storage().nbytes()
            return value

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
            model(torch.rand(64, 1, 8, 8))
        return sum(seen.values())

    assert held(True) < held(False) / 4


def test_a_model_without_blocks_of_ours_cannot_be_computed_twice():
    with pytest.raises(VitexpError, match=r"--grad-checkpointing knows the blocks of ViTs"):
        recompute_blocks(torch.nn.Linear(2, 2))


def test_a_batch_that_does_not_fit_is_halved_before_the_run_and_that_is_kept(few_digits, run_spec):
    """Begun with little memory, gone on with plenty: the bits of a run with little all along."""
    spec = run_spec(**RECIPES["everything"])
    little = SLACK * (training_bytes(spec.model, 8) or 0)
    whole, _ = finished(spec, few_digits)
    result = train(spec, few_digits, Memory(), CPU, threads=1, memory=little)
    assert result is not None
    record, weights = result
    assert (whole.execution["micro_batch"], record.execution["micro_batch"]) == (None, 8)
    losses = [[point["train_loss"] for point in run.curve] for run in (whole, record)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    host = Memory(stop_after=13)
    assert train(spec, few_digits, host, CPU, threads=1, memory=little) is None
    assert host.said == [
        f"Run {spec.id} computes its batch of 32 in parts of 8, which fit into memory; "
        "the gradient is the same."
    ]
    host.stop_after = None
    resumed, resumed_weights = finished(spec, few_digits, host)
    assert comparable(resumed) == comparable(record)
    assert all(torch.equal(weights[name], resumed_weights[name]) for name in weights)
    assert len(host.said) == 1


def test_a_batch_is_halved_until_a_step_of_it_fits():
    tried: list[int] = []

    def trial(size: int) -> None:
        tried.append(size)
        if size > 5:
            raise torch.OutOfMemoryError

    assert largest(100, trial) == 4
    assert tried == [100, 50, 25, 13, 7, 4]
    with pytest.raises(torch.OutOfMemoryError):
        largest(2, lambda size: trial(size + 5))


def test_the_step_that_shows_what_fits_leaves_no_trace(few_digits, run_spec):
    spec = run_spec(**RECIPES["everything"])
    record, _ = finished(spec, few_digits)
    batches = Batches(few_digits.train, spec.recipe, 10, 0, CPU)
    chosen = choose(spec, CPU, 1, ExecutionOptions())
    seen: list[bytes] = []
    for size in (32, 8):
        before = torch.get_rng_state()
        try_step(chosen, size, spec, batches)
        assert torch.equal(torch.get_rng_state(), before)
        seen.append(batches.at(0).images.numpy().tobytes())
    assert seen == [seen[0]] * 2
    again, _ = finished(spec, few_digits)
    assert comparable(again) == comparable(record)


def mapped(split: Split, path: Path) -> Split:
    """The split with its images on the disk."""
    np.save(path, split.images)
    return Split(np.load(path, mmap_mode="r"), split.labels)


STREAMED = {**RECIPES, "crop": {"crop": True, "flip": True}, "flip": {"flip": True}}


@pytest.mark.parametrize("recipe", STREAMED.values(), ids=STREAMED)
def test_streamed_batches_are_the_resident_ones(few_digits, tmp_path, recipe):
    """Also over the end of an epoch, after a jump as when a run is resumed, and backwards."""
    split = mapped(few_digits.train, tmp_path / "images.npy")
    changed = dataclasses.replace(RECIPE, **recipe)
    streamed = Batches(split, changed, 10, 0, CPU, memory=10_000)
    resident = Batches(split, changed, 10, 0, CPU, memory=10_000_000)
    assert (streamed.streamed, resident.streamed) == (True, False)
    for step in [*range(8), 20, 21, 5, *range(24, 30)]:
        one, other = streamed.at(step), resident.at(step)
        assert torch.equal(one.images, other.images), step
        assert torch.equal(one.targets, other.targets), step


def test_a_run_on_streamed_images_gives_the_same_bits(few_digits, run_spec, tmp_path):
    images = dataclasses.replace(few_digits, train=mapped(few_digits.train, tmp_path / "i.npy"))
    spec, whole = run_spec(), ExecutionOptions(micro_batch=32)
    record, weights = finished(spec, few_digits)
    result = train(spec, images, Memory(), CPU, threads=1, options=whole, memory=10_000)
    assert result is not None
    assert (record.execution["streamed"], result[0].execution["streamed"]) == (False, True)
    assert comparable(result[0]) == comparable(record)
    assert all(torch.equal(weights[name], result[1][name]) for name in weights)


def test_batches_are_read_ahead_and_none_twice():
    asked: list[int] = []

    def rows(number: int) -> np.ndarray | None:
        asked.append(number)
        return np.array([number, 0]) if number < 6 else None

    images = np.arange(6, dtype=np.uint8).reshape(6, 1, 1, 1)
    stream = Stream(images, rows, CPU)
    for number in range(6):
        assert stream.at(number).flatten().tolist() == [number, 0]
        assert max(asked) == number + AHEAD
    assert [number for number in asked if number < 6] == list(range(6))


def test_evaluation_reads_the_rows_that_are_asked_for(few_digits, tmp_path):
    split = mapped(few_digits.train, tmp_path / "images.npy")
    model = build(model_spec(position=PositionSpec(std=0.5)), 0)
    torch.nn.init.normal_(model.get_parameter("head.weight"))
    every = accuracy(model, split, CPU, torch.float32)
    rows = np.array([7, 3, 150])
    some = accuracy(model, split, CPU, torch.float32, batch=2, rows=rows)
    assert np.array_equal(some.correct, every.correct[rows])
    assert some.features is not None and every.features is not None
    torch.testing.assert_close(some.features, every.features[rows])


needs_cuda = pytest.mark.skipif(not cuda_devices(), reason="needs a CUDA device")


@pytest.mark.cuda
@needs_cuda
@pytest.mark.parametrize("recipe", STREAMED.values(), ids=STREAMED)
def test_streamed_batches_are_the_resident_ones_on_cuda(few_digits, tmp_path, recipe):
    split, device = mapped(few_digits.train, tmp_path / "images.npy"), torch.device("cuda")
    changed = dataclasses.replace(RECIPE, **recipe)
    streamed = Batches(split, changed, 10, 0, device, memory=10_000)
    resident = Batches(split, changed, 10, 0, device)
    for step in [*range(30), 5]:
        assert torch.equal(streamed.at(step).images, resident.at(step).images), step


@pytest.mark.cuda
@needs_cuda
def test_a_batch_that_does_not_fit_on_cuda_is_halved_before_the_run(few_digits, run_spec):
    """Held to 1 GiB of the device, which a step of 128 images of this model does not fit into."""
    shape = {"patch": 1, "depth": 8, "width": 256, "heads": 4, "mlp": 1024}
    model = model_spec(position=PositionSpec(std=0.5), **shape)
    spec = dataclasses.replace(run_spec(batch=128, steps=3), model=model)
    device = torch.device("cuda")
    # In this order: what the allocator holds already is not counted.
    little = train(spec, few_digits, Memory(), device, threads=1, memory=2**30)
    torch.cuda.set_per_process_memory_fraction(1.0)
    whole = train(spec, few_digits, Memory(), device, threads=1)
    assert whole is not None and little is not None
    assert whole[0].execution["micro_batch"] is None
    assert little[0].execution["micro_batch"] < 128
    losses = [run[0].curve[-1]["train_loss"] for run in (whole, little)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-2)
