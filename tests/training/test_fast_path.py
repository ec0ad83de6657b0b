"""The fast path gives the numbers of the plain one, and is what a long run takes by itself."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch._dynamo.utils import counters

from tests.alone import CPU, Memory, comparable, finished
from tests.conftest import model_spec
from tests.models.test_vit import CELLS, POOLS, ident, images_for, randomised
from tests.recording import recorded
from tests.training.test_memory import MODELS
from vitexp.datasets.image_set import ImageSet
from vitexp.launch.devices import cuda_devices
from vitexp.models import count
from vitexp.models.build import build
from vitexp.models.masks import HashNoise
from vitexp.models.vit import attend
from vitexp.runs.options import DEFAULTS, ExecutionOptions
from vitexp.runs.times import Times
from vitexp.spec import PositionSpec, RunSpec
from vitexp.training import capture, compilation, execution, loop, step
from vitexp.training.batches import Batches
from vitexp.training.capture import AHEAD, LEAD
from vitexp.training.compilation import compile_blocks, has_compiler, plain
from vitexp.training.execution import COMPILED_FROM, Execution, choose
from vitexp.training.pace import COMPILING, measured
from vitexp.training.peak import Peak
from vitexp.training.step import Step


@pytest.fixture
def compiler() -> None:
    if not has_compiler(CPU):
        pytest.skip("no C++ compiler that torch.compile can use")


def hashed(step: int) -> HashNoise:
    return HashNoise.drawn(0, step, CPU)


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("position", CELLS, ids=ident)
def test_compiled_blocks_give_the_plain_ones_numbers(compiler, position, pool):
    """Logits and every gradient, dropout included, whatever the position and the pool."""
    spec = model_spec(pool=pool, position=position)
    model, images = randomised(spec, dropout=0.3), images_for(spec)
    compile_blocks(model)
    found = []
    for slow in (False, True):
        model.zero_grad()
        if slow:
            with plain():
                logits = model(images, hashed(5))
        else:
            logits = model(images, hashed(5))
        logits.square().sum().backward()
        grads = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
        found.append((logits.detach(), grads))
    (fast, fast_grads), (slow_logits, slow_grads) = found
    torch.testing.assert_close(fast, slow_logits, rtol=1e-4, atol=1e-5)
    assert fast_grads.keys() == slow_grads.keys()
    for name, grad in slow_grads.items():
        torch.testing.assert_close(fast_grads[name], grad, rtol=1e-3, atol=1e-4, msg=name)


def test_the_compiler_leaves_the_attention_as_two_products(compiler):
    """Rewritten into the fused kernel it would be three times slower on a CPU."""
    from torch._inductor.utils import run_and_get_code

    def code_of(attention: Any) -> str:
        torch.compiler.reset()
        q, k, v = torch.randn(3, 4, 2, 17, 16, requires_grad=True)
        with torch._inductor.config.patch(force_disable_caches=True):
            compiled = torch.compile(attention, dynamic=False)
            _, codes = run_and_get_code(lambda: compiled(q, k, v).sum().backward())
        return "\n".join(codes)

    fused = code_of(torch.nn.functional.scaled_dot_product_attention)
    assert "scaled_dot_product" in fused
    ours = code_of(lambda q, k, v: attend(q, k, v, None))
    assert "scaled_dot_product" not in ours
    assert ours.count("extern_kernels.bmm") == 6


def test_a_long_run_is_compiled_and_a_short_one_is_not(compiler, run_spec, monkeypatch):
    long = dataclasses.replace(run_spec(steps=COMPILED_FROM), precision="bf16")
    assert choose(long, CPU, 1, DEFAULTS) == Execution(1, "hash", compiled=True)
    assert not choose(run_spec(steps=COMPILED_FROM - 1), CPU, 1, DEFAULTS).compiled
    monkeypatch.setattr(compilation, "has_compiler", lambda device: False)
    assert not choose(long, CPU, 1, DEFAULTS).compiled


def test_compiling_can_be_asked_for_and_refused(compiler, run_spec):
    long, short = run_spec(steps=COMPILED_FROM), run_spec()
    long = dataclasses.replace(long, precision="bf16")
    assert choose(short, CPU, 1, ExecutionOptions(compiled=True)).compiled
    assert not choose(long, CPU, 1, ExecutionOptions(compiled=False)).compiled
    assert not choose(
        short, CPU, 1, ExecutionOptions(compiled=True, grad_checkpointing=True)
    ).compiled


def test_on_cuda_a_run_is_compiled_if_it_trains_for_long(run_spec, monkeypatch):
    """Whatever it computes in a second: what counts is how long that takes there."""
    monkeypatch.setattr(compilation, "has_compiler", lambda device: True)
    spec = run_spec(steps=COMPILED_FROM)
    flops = 6 * (count.macs(spec.model) or 0) * spec.recipe.batch * spec.recipe.steps

    def compiled(seconds: float) -> bool:
        rate = flops / seconds / execution.USUAL_SHARE
        monkeypatch.setattr(execution, "peak", lambda *_: Peak(rate, 1024, None))
        return choose(spec, torch.device("cuda"), 1, DEFAULTS).compiled

    assert compiled(execution.REPAYING_SECONDS * 1.01)
    assert not compiled(execution.REPAYING_SECONDS * 0.99)


def test_a_step_on_cuda_is_captured_unless_its_code_or_its_masks_forbid_it(run_spec):
    def captured(**changes: Any) -> bool:
        return choose(run_spec(**changes), torch.device("cuda"), 1, DEFAULTS).captured

    assert captured()
    assert not captured(dropout=0.1)
    assert not captured(stochastic_depth=0.1)
    assert not captured(position=PositionSpec("my.py:Mine", code="0" * 64))
    assert not choose(run_spec(), CPU, 1, DEFAULTS).captured


def test_the_estimate_of_a_long_run_waits_for_no_compiler(few_digits, run_spec, monkeypatch):
    monkeypatch.setattr(compilation, "has_compiler", lambda device: True)
    monkeypatch.setattr(step, "compile_blocks", lambda *_: pytest.fail("compiled"))
    long = dataclasses.replace(run_spec(steps=2 * COMPILED_FROM), precision="bf16")
    told: list[tuple[Times, int]] = []
    measured(long, few_digits, CPU, 1, DEFAULTS, None, 0.5, lambda *found: told.append(found))
    assert [steps for _, steps in told] == list(range(len(told)))
    found, steps = told[-1]
    assert steps > 0 and found.step > found.image > 0
    assert COMPILING <= found.once < 2 * COMPILING
    measured(run_spec(), few_digits, CPU, 1, DEFAULTS, None, 0.5, lambda *found: told.append(found))
    assert told[-1][0].once < COMPILING


WAYS = {
    "compiled": Execution(1, "hash", compiled=True),
    "captured": Execution(1, "hash", captured=True),
}


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_run_on_the_fast_path_ends_where_the_plain_one_does(
    compiler, few_digits, run_spec, monkeypatch, way, optimizer
):
    """And stopped and resumed, to the same bits, although by then another way would be chosen."""
    spec = run_spec(optimizer=optimizer, dropout=0.1, lr=3e-3)
    runs = {}
    for name, chosen in (("plain", Execution(1, "hash")), ("fast", way)):
        monkeypatch.setattr(loop, "choose", lambda *_, chosen=chosen: chosen)
        runs[name] = finished(spec, few_digits)
    record, weights = runs["fast"]
    for name, value in runs["plain"][1].items():
        torch.testing.assert_close(weights[name], value, rtol=0.02, atol=2e-3, msg=name)
    assert Execution.recorded(record.execution) == way
    host = Memory(stop_after=13)
    assert loop.train(spec, few_digits, host, CPU, threads=1) is None
    monkeypatch.setattr(loop, "choose", lambda *_: Execution(1, "host-sfc64"))
    host.stop_after = None
    resumed, resumed_weights = finished(spec, few_digits, host)
    assert comparable(resumed) == comparable(record)
    assert all(torch.equal(weights[name], resumed_weights[name]) for name in weights)


def test_what_was_compiled_for_a_run_serves_the_next(compiler, few_digits, run_spec, monkeypatch):
    """Runs that share a device must not wait while the same is compiled for each."""
    monkeypatch.setattr(loop, "choose", lambda *_: WAYS["compiled"])
    finished(run_spec(dropout=0.1, steps=2), few_digits)
    compiled = counters["stats"]["unique_graphs"]
    assert compiled > 0
    finished(run_spec(dropout=0.1, steps=2, lr=3e-3, seed=1), few_digits)
    assert counters["stats"]["unique_graphs"] == compiled


def same_when_done_again(
    spec: RunSpec,
    images: ImageSet,
    monkeypatch: pytest.MonkeyPatch,
    execution: Execution,
    memory: int | None = None,
) -> bool:
    """Whether a step that is replayed on a CUDA graph's terms is the step that is launched."""
    found = []
    for way in (capture.captured, recorded):
        monkeypatch.setattr(capture, "captured", way)
        batches = Batches(images.train, spec.recipe, 10, 0, CPU, memory)
        model = build(spec.model, 0, spec.recipe.dropout)
        step = Step(spec, model, batches, CPU, execution)
        losses = torch.stack([step(number).clone() for number in range(spec.recipe.steps)])
        assert step.average is not None
        kept = {**step.average.state, **{f"live {n}": p for n, p in model.state_dict().items()}}
        found.append({"losses": losses, "sum": step.losses.sum, **kept})
    launched, again = found
    return all(torch.equal(launched[name], again[name]) for name in launched)


EVERYTHING: dict[str, Any] = {
    **{"mixup": 0.2, "cutmix": 1.0, "averaging": 0.9, "clip": 1.0, "dropout": 0.1},
    **{"crop": True, "flip": True, "steps": AHEAD + 4},
}


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("position", CELLS, ids=ident)
def test_a_step_done_again_on_the_same_memory_is_the_next_step(
    few_digits, run_spec, monkeypatch, position, pool, optimizer
):
    """The host's part of a step has no say any more, and nothing waits for the device."""
    spec = run_spec(optimizer=optimizer, **EVERYTHING)
    spec = dataclasses.replace(spec, model=model_spec(pool=pool, position=position))
    how = Execution(1, "hash", captured=True)
    assert same_when_done_again(spec, few_digits, monkeypatch, how)


@pytest.mark.parametrize("memory", [None, 1000], ids=["resident", "streamed"])
@pytest.mark.parametrize("micro_batch", [None, 24])
@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_any_models_step_can_be_done_again(
    few_digits, run_spec, monkeypatch, model, micro_batch, memory
):
    dropout = 0.1 if model.vit is not None else 0.0
    changes = EVERYTHING | {"resized_crop": 0.5, "dropout": dropout}
    spec = dataclasses.replace(run_spec(**changes), model=model)
    checkpointing = micro_batch is not None and model.vit is not None
    how = Execution(
        1, "hash", captured=True, micro_batch=micro_batch, grad_checkpointing=checkpointing
    )
    assert same_when_done_again(spec, few_digits, monkeypatch, how, memory)


def test_the_host_is_a_few_steps_ahead_and_no_more(few_digits, run_spec, monkeypatch):
    launched: list[int] = []

    def completion(device: torch.device) -> int:
        launched.append(len(launched))
        return launched[-1]

    monkeypatch.setattr(capture, "captured", recorded)
    monkeypatch.setattr(capture, "completion", completion)
    spec = run_spec(steps=LEAD + 4)
    batches = Batches(few_digits.train, spec.recipe, 10, 0, CPU)
    step = Step(spec, build(spec.model, 0), batches, CPU, Execution(1, "hash", captured=True))
    waits: list[object] = []
    for number in range(spec.recipe.steps):
        step(number)
        waits.append(step.backlog)
    assert waits == [None] * (LEAD - 1) + [0, 1, 2, 3, 4]


def test_what_the_host_decides_is_not_decided_again():
    """Else the tests above would show nothing."""
    chosen, total = [1.0], torch.zeros(())

    def add() -> None:
        total.add_(chosen[0])

    def wait() -> None:
        total.fill_(float(total))

    graph = recorded(add, lambda: None, CPU)
    chosen[0] = 2.0
    for expected in (1.0, 2.0, 3.0):
        graph.replay()
        assert float(total) == expected
    with pytest.raises(AssertionError, match="waits"):
        recorded(wait, lambda: None, CPU)


@pytest.mark.parametrize("memory", [None, 1000], ids=["resident", "streamed"])
@pytest.mark.parametrize("micro_batch", [None, 48])
def test_a_captured_step_draws_what_the_plain_one_draws(few_digits, run_spec, memory, micro_batch):
    """Over two blocks of draws, with all that is random in a recipe and the weights' mean."""
    changes = {"mixup": 0.2, "cutmix": 1.0, "label_smoothing": 0.1, "averaging": 0.9, "clip": 1.0}
    spec = run_spec(steps=AHEAD + 8, dropout=0.1, crop=True, flip=True, **changes)
    found = []
    for captured in (False, True):
        batches = Batches(few_digits.train, spec.recipe, 10, 0, CPU, memory)
        model = build(spec.model, 0, 0.1)
        how = Execution(1, "hash", captured=captured, micro_batch=micro_batch)
        step = Step(spec, model, batches, CPU, how)
        losses = torch.stack([step(number).clone() for number in range(spec.recipe.steps)])
        assert step.average is not None
        found.append((losses, step.losses.sum, step.average.state["head.weight"]))
    for fast, slow in zip(*found, strict=True):
        torch.testing.assert_close(fast, slow, rtol=1e-3, atol=1e-4)


@pytest.mark.cuda
@pytest.mark.skipif(not cuda_devices(), reason="needs a CUDA device")
@pytest.mark.parametrize("dropout", [0.0, 0.1])
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("position", CELLS, ids=ident)
def test_a_captured_graph_gives_the_plain_steps_numbers_and_never_waits(
    few_digits, run_spec, position, optimizer, dropout
):
    device = torch.device("cuda")
    spec = run_spec(position, optimizer=optimizer, dropout=dropout, crop=True, lr=3e-3)
    found = []
    for captured in (False, True):
        batches = Batches(few_digits.train, spec.recipe, spec.model.classes, 0, device)
        model = build(spec.model, 0, dropout).to(device)
        step = Step(spec, model, batches, device, Execution(1, "hash", captured=captured))
        losses = [step(0).clone()]
        torch.cuda.set_sync_debug_mode("error")
        losses += [step(number).clone() for number in range(1, AHEAD + 4)]
        torch.cuda.set_sync_debug_mode("default")
        found.append(torch.stack(losses))
    torch.testing.assert_close(found[1], found[0], rtol=0.02, atol=2e-3)
