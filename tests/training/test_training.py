"""Batches, schedules and the loop: what is random follows from the spec, and it learns."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.alone import CPU, RECIPES, Memory, comparable, finished
from tests.conftest import RECIPE, model_spec
from vitexp.datasets.image_set import Split
from vitexp.evaluation.accuracy import accuracy
from vitexp.models import count
from vitexp.models.build import build
from vitexp.positions import POSITIONS, placements
from vitexp.runs.options import ExecutionOptions
from vitexp.runs.record import RunRecord
from vitexp.spec import PositionSpec, Recipe
from vitexp.training.batches import Batches, paste_box, random_box, resized_crop, shifted_crop
from vitexp.training.draws import Site, uniform
from vitexp.training.environment import forget_peak_memory, peak_memory
from vitexp.training.execution import Execution
from vitexp.training.loop import train, training
from vitexp.training.optimisation import is_kernel, optimiser
from vitexp.training.peak import peak
from vitexp.training.schedule import learning_rate
from vitexp.training.step import Step


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_stopped_run_goes_on_to_the_same_bits(few_digits, run_spec, recipe, precision):
    spec = dataclasses.replace(run_spec(**recipe), precision=precision)
    record, weights = finished(spec, few_digits)
    host = Memory(stop_after=13)
    assert train(spec, few_digits, host, CPU, threads=1) is None
    host.stop_after = None
    resumed, resumed_weights = finished(spec, few_digits, host)
    assert [p.step for p in host.progress] == list(range(1, 31))
    assert comparable(resumed) == comparable(record)
    assert weights.keys() == resumed_weights.keys()
    assert all(torch.equal(weights[name], resumed_weights[name]) for name in weights)


def test_early_stopping_reports_the_weights_that_did_best_on_validation(few_digits, run_spec):
    """At this rate accuracy goes up and down, so the last weights are not the best ones."""
    rough = {"lr": 0.1, "schedule": "constant", "steps": 30}
    spec = run_spec(early_stopping=2, **rough)
    record, weights = finished(spec, few_digits)
    looks = {point["step"]: point["val_top1"] for point in record.curve}
    best = max(looks, key=lambda step: looks[step])
    assert list(looks) == list(range(2, 31, 2))
    assert best < 30, "else the test shows nothing"
    assert record.metrics["val_top1"] == looks[best]
    model = build(spec.model, spec.seed, 0.0, 0.0)
    model.load_state_dict(weights)
    val = accuracy(model, few_digits.val, CPU, torch.float32)
    test = accuracy(model, few_digits.test, CPU, torch.float32)
    assert (val.top1, test.top1) == (looks[best], record.metrics["test_top1"])
    last, _ = finished(run_spec(**rough), few_digits)
    assert last.metrics["val_top1"] == looks[30]


def test_a_resumed_run_keeps_its_threads(few_digits, run_spec):
    host = Memory(stop_after=3)
    assert train(run_spec(), few_digits, host, CPU, threads=1) is None
    host.stop_after = None
    result = train(run_spec(), few_digits, host, CPU, threads=2)
    assert result is not None
    assert result[0].execution["threads"] == torch.get_num_threads() == 1


@pytest.mark.parametrize("began", [True, False])
def test_a_resumed_run_is_as_deterministic_as_it_began(few_digits, run_spec, began):
    host, spec = Memory(stop_after=3), run_spec()
    first, second = (ExecutionOptions(deterministic=on) for on in (began, not began))
    assert train(spec, few_digits, host, CPU, threads=1, options=first) is None
    assert torch.are_deterministic_algorithms_enabled() is began
    host.stop_after = None
    result = train(spec, few_digits, host, CPU, threads=1, options=second)
    assert result is not None
    assert result[0].execution["deterministic"] is began
    assert torch.are_deterministic_algorithms_enabled() is began
    word = "with" if began else "without"
    assert host.said == [f"Run {spec.id} began {word} --deterministic and goes on so."]


def test_the_seed_decides(few_digits, run_spec):
    one, again, other = (finished(run_spec(seed=seed), few_digits)[0] for seed in (0, 0, 1))
    assert comparable(one) == comparable(again)
    assert one.curve != other.curve


@pytest.mark.parametrize("kind", POSITIONS)
def test_every_position_learns_real_digits(digits, run_spec, kind):
    """Far above the tenth that guessing gives, within two epochs."""
    spec = run_spec(PositionSpec(kind, placements(kind)[-1], std=0.5), steps=80, lr=3e-3)
    data = dataclasses.replace(spec.data, fingerprint=digits.fingerprint, test=len(digits.test))
    record, _ = finished(dataclasses.replace(spec, data=data), digits)
    assert record.metrics["test_top1"] > 0.35
    assert record.metrics["test_top5"] > record.metrics["test_top1"]
    assert record.curve[-1]["train_loss"] < record.curve[0]["train_loss"]
    assert record.correctness().mean() == pytest.approx(record.metrics["test_top1"])
    assert record.metrics["flops"] == 6 * record.metrics["macs"] * 80 * 32


def test_the_test_split_is_read_once_and_recorded(few_digits, run_spec):
    class Counted(Split):
        reads = 0

        def __getattribute__(self, name: str) -> Any:
            Counted.reads += name == "images"
            return super().__getattribute__(name)

    images = dataclasses.replace(
        few_digits, test=Counted(few_digits.test.images, few_digits.test.labels)
    )
    Counted.reads = 0
    record, _ = finished(run_spec(), images)
    assert Counted.reads == record.execution["test_reads"] == 1


def test_a_run_that_is_killed_before_it_is_published_counts_both_reads_of_test(
    few_digits, run_spec
):
    host = Memory(stop_after=13)
    assert train(run_spec(), few_digits, host, CPU, threads=1) is None
    host.stop_after = None
    reads = [finished(run_spec(), few_digits, host)[0].execution["test_reads"] for _ in range(2)]
    assert reads == [1, 2]


def test_a_run_that_blows_up_is_marked_and_has_no_accuracy(few_digits, run_spec):
    spec = run_spec(lr=1e30, clip=None, optimizer="sgd", warmup=0)
    record, _ = finished(spec, few_digits)
    assert record.status == "diverged"
    assert "test_top1" not in record.metrics
    assert record.correct == ""
    assert 0 < record.execution["diverged_at_step"] < 10
    assert record.execution["test_reads"] == 0
    assert len(record.curve) == 1


def test_accuracy_agrees_with_a_plain_count(few_digits):
    model = build(model_spec(position=PositionSpec(std=0.5)), 0)
    model.head.weight.data.normal_(generator=torch.Generator().manual_seed(0))  # type: ignore[union-attr,operator]
    found = accuracy(model, few_digits.test, CPU, torch.float32, batch=7)
    pixels = torch.from_numpy(np.array(few_digits.test.images)).permute(0, 3, 1, 2) / 127.5 - 1
    with torch.no_grad():
        logits = model.eval()(pixels)
    labels = torch.from_numpy(few_digits.test.labels)
    assert np.array_equal(found.correct, (logits.argmax(1) == labels).numpy())
    rank = (logits > logits.gather(1, labels[:, None])).sum(1)
    assert found.top5 == pytest.approx(float((rank < 5).float().mean()))


def images_of(batches: Batches, steps: range) -> list[bytes]:
    return [batches.at(step).images.numpy().tobytes() for step in steps]


def test_an_epoch_shows_every_image_once_in_an_order_of_its_own(few_digits):
    recipe = dataclasses.replace(RECIPE, batch=50)
    batches = Batches(few_digits.train, recipe, 10, 0, CPU)
    every = (torch.from_numpy(np.array(few_digits.train.images)).float() / 127.5 - 1).flatten(1)
    for epoch in (0, 1):
        seen = torch.cat([batches.at(4 * epoch + i).images for i in range(4)]).flatten(1)
        assert torch.allclose(seen.sort(0).values, every.sort(0).values, atol=1e-6)
    assert not torch.equal(batches.at(0).images, batches.at(4).images)


def test_cells_see_the_same_images_in_the_same_order(few_digits):
    recipe = dataclasses.replace(RECIPE, crop=True, flip=True, mixup=0.5)

    def fresh(seed: int) -> Batches:
        return Batches(few_digits.train, recipe, 10, seed, CPU)

    forward = images_of(fresh(0), range(14))
    assert forward == images_of(fresh(0), range(13, -1, -1))[::-1]
    assert forward != images_of(fresh(1), range(14))


def test_crop_and_flip_move_pixels_and_pad_with_zeros():
    images = torch.arange(1, 1 + 2 * 8 * 8, dtype=torch.uint8).view(2, 8, 8, 1)
    chosen = torch.tensor([1, 0])
    # With a padding of 1 the draws 0, 0.5 and 0.99 stand for offsets -1, 0 and 1.
    shifts, flip = torch.tensor([[0.0, 0.5], [0.99, 0.5]]), torch.tensor([False, True])
    crops = shifted_crop(images, chosen, shifts, flip)
    expected = torch.zeros(8, 8, 1, dtype=torch.uint8)
    expected[1:, :-1] = images[1][:-1, 1:]
    assert torch.equal(crops[0], expected)
    assert torch.equal(crops[1], images[0].flip(1))


def test_resized_crop_of_the_whole_is_the_image_and_of_a_box_is_the_box():
    images = torch.rand(2, 3, 16, 16)
    half = torch.full((4, 2), 0.5)
    whole = resized_crop(images, half, 1.0, None)
    torch.testing.assert_close(whole, images)
    flipped = resized_crop(images, half, 1.0, torch.tensor([True, False]))
    torch.testing.assert_close(flipped[0], images[0].flip(2))
    torch.testing.assert_close(flipped[1], images[1])
    flat = torch.ones(2, 1, 16, 16)
    flat[:, :, :, 8:] = 5.0
    left = resized_crop(flat, torch.tensor([[0.0] * 2, [0.5] * 2, [0.5] * 2, [0.0] * 2]), 0.2, None)
    torch.testing.assert_close(left, torch.ones_like(left))


def test_cutmix_pastes_a_box_from_the_batch_in_reverse():
    images = torch.stack([torch.zeros(1, 16, 16), torch.ones(1, 16, 16)])
    for seed in range(5):
        box = random_box(16, 0.4, np.random.default_rng(seed))
        mixed = paste_box(images, images, torch.from_numpy(box))
        share = (box[1] - box[0]) * (box[3] - box[2]) / 16**2
        assert share == float(mixed[0].mean()) == 1 - float(mixed[1].mean())
        assert 0.0 <= share < 0.5


def test_mixed_targets_are_probabilities_of_the_images_shown(few_digits):
    recipe = dataclasses.replace(RECIPE, mixup=0.4, cutmix=1.0, label_smoothing=0.1)
    batches = Batches(few_digits.train, recipe, 10, 0, CPU)
    targets = torch.cat([batches.at(step).targets for step in range(12)])
    torch.testing.assert_close(targets.sum(1), torch.ones(len(targets)))
    assert float(targets.min()) == pytest.approx(0.01)
    assert ((targets > 0.011).sum(1) <= 2).all()
    assert ((targets > 0.011).sum(1) == 2).any()


def test_draws_are_uniform_and_independent_of_company():
    alone = uniform(3, 1, np.array([17]), Site.FLIP)
    many = uniform(3, 1, np.arange(50_000), Site.FLIP)
    assert many[17] == alone[0]
    counts, _ = np.histogram(many, bins=20, range=(0, 1))
    assert ((counts - 2500) ** 2 / 2500).sum() < 50
    other = uniform(3, 1, np.arange(50_000), Site.ROW)
    assert abs(np.corrcoef(many, other)[0, 1]) < 0.02


@pytest.mark.parametrize(
    ("schedule", "middle"), [("cosine", 0.5), ("linear", 0.5), ("constant", 1.0)]
)
def test_learning_rate_warms_up_then_follows_its_schedule(schedule, middle):
    recipe = Recipe(lr=2.0, weight_decay=0, steps=110, batch=1, warmup=10, schedule=schedule)
    rates = [learning_rate(recipe, step) for step in range(110)]
    assert rates[:10] == pytest.approx([0.2 * (i + 1) for i in range(10)])
    assert rates[10] == 2.0
    assert rates[60] == pytest.approx(2.0 * middle)
    assert rates[109] == (2.0 if schedule == "constant" else pytest.approx(0, abs=0.03))
    assert all(a >= b for a, b in itertools.pairwise(rates[10:]))


def test_weight_decay_is_on_kernels_only():
    model = build(model_spec(pre_logits=8), 0)
    kernels = {name for name, value in model.named_parameters() if is_kernel(name, value)}
    assert "embedding.kernel" in kernels
    block = {"attention.qkv", "attention.projection", "expand", "contract"}
    blocks = {f"blocks.{i}.{name}.weight" for i in range(2) for name in block}
    assert kernels == blocks | {"embedding.kernel", "head.weight", "pre_logits.0.weight"}
    groups = optimiser(model, RECIPE).param_groups
    assert [group["weight_decay"] for group in groups] == [RECIPE.weight_decay, 0.0]
    assert len(groups[0]["params"]) == len(kernels)


def test_a_run_says_what_it_cost_and_how_well_it_used_its_device(few_digits, run_spec):
    spec = run_spec()
    record, _ = finished(spec, few_digits)
    cost, images = record.metrics, spec.recipe.steps * spec.recipe.batch
    assert cost["macs_executed"] == count.executed_macs(spec.model) < cost["macs"]
    assert cost["flops_per_s"] == pytest.approx(6 * cost["macs_executed"] * cost["images_per_s"])
    assert cost["utilisation"] == cost["flops_per_s"] / cost["peak_flops_per_s"]
    assert cost["device_seconds"] == cost["seconds"] > images / cost["images_per_s"]
    # One core does more than a billion and less than a hundred thousand billion a second.
    assert 1e9 < record.execution["peak"]["flops_per_s"] < 1e14
    old = record.to_json()
    old["metrics"] = {k: v for k, v in old["metrics"].items() if k in ("seconds", "images_per_s")}
    assert RunRecord.from_json(old).metrics.keys() == {"seconds", "images_per_s"}


@pytest.mark.parametrize("captured", [False, True])
def test_a_first_step_that_compiles_counts_as_time_and_not_as_speed(
    few_digits, run_spec, monkeypatch, captured
):
    spec, clock = run_spec(), [0.0]
    take = Step.__call__

    def slow(self: Step, step: int) -> torch.Tensor:
        clock[0] += 100.0 if step == 0 else 1.0
        return take(self, step)

    monkeypatch.setattr(Step, "__call__", slow)
    how = Execution(1, "hash", captured=captured)
    monkeypatch.setattr("vitexp.training.loop.choose", lambda *_: how)
    turns = training(spec, few_digits, Memory(), CPU, threads=1, clock=lambda: clock[0])
    finished = None
    while finished is None:
        try:
            next(turns)
        except StopIteration as end:
            finished = end.value
    cost, steps = finished[0].metrics, spec.recipe.steps
    assert cost["seconds"] == 100.0 + steps - 1
    trained = steps - 1 if captured else 100 + steps - 1
    assert cost["images_per_s"] == pytest.approx(steps * spec.recipe.batch / trained)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")
def test_memory_is_that_of_the_run_and_not_of_what_went_before(few_digits, run_spec):
    large = torch.ones(2**28)
    del large
    record, _ = finished(run_spec(), few_digits)
    alone = record.metrics["peak_memory"]
    forget_peak_memory(CPU)
    assert alone < peak_memory(CPU) + 2**29


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_cuda_speed_and_memory_are_the_devices_own(few_digits, run_spec):
    large = torch.ones(2**28, device="cuda")
    del large
    done = train(run_spec(), few_digits, Memory(), torch.device("cuda:0"), threads=1)
    assert done is not None
    cost = done[0].metrics
    assert cost["device_seconds"] == cost["seconds"]
    assert cost["peak_memory"] < 2**29
    assert cost["peak_flops_per_s"] > 1e12
    assert 0 < cost["utilisation"] < 1


def test_memory_is_told_where_proc_does_not_tell_it(monkeypatch):
    """As in gVisor."""
    monkeypatch.setattr(Path, "read_text", lambda self: "Name:\tpython\nVmRSS:\t1 kB\n")
    assert peak_memory(CPU) > 2**20


def test_the_peak_is_that_of_the_products_that_fit(monkeypatch):
    def shortest(side: int, device: torch.device, dtype: torch.dtype) -> float:
        if side > 512:
            raise torch.OutOfMemoryError
        return 1e-3

    monkeypatch.setattr("vitexp.training.peak._shortest", shortest)
    found = peak.__wrapped__(CPU, torch.float32, torch.get_num_threads())
    assert (found.side, found.flops_per_s) == (512, 2 * 512**3 / 1e-3)


def test_the_peak_leaves_the_random_numbers_of_a_run_alone():
    torch.manual_seed(0)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    found = peak(CPU, torch.float32, threads)
    assert torch.equal(before, torch.get_rng_state())
    assert peak(CPU, torch.float32, threads) is found
