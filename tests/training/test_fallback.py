"""First contact: what fails at a run's first step here is done in a plainer way, and said."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest
import torch

from tests.alone import CPU, Memory, comparable, finished
from tests.recording import recorded
from vitexp.cli.execute import machine_of
from vitexp.datasets.image_set import ImageSet
from vitexp.launch.devices import cuda_devices
from vitexp.models.inputs import pinned
from vitexp.models.masks import DeviceNoise, HashNoise, HostNoise
from vitexp.runs.options import DEFAULTS, ExecutionOptions
from vitexp.settings.flags import Settings
from vitexp.spec import RunSpec
from vitexp.training import capture, loop
from vitexp.training.compilation import has_compiler
from vitexp.training.execution import Execution, ways
from vitexp.training.loop import train
from vitexp.training.losses import Losses
from vitexp.training.step import Step

Break = Callable[[pytest.MonkeyPatch], AbstractContextManager[None] | None]
"""Lets something fail, for the rest of the test or within what it returns."""

PLAIN = Execution(1, HostNoise.source)
CAPTURED = Execution(1, HashNoise.source, captured=True)
COMPILED = Execution(1, HashNoise.source, compiled=True)


def no_compiler(monkeypatch: pytest.MonkeyPatch) -> AbstractContextManager[None]:
    """One that is there, and fails; what was compiled before would be found again."""
    from torch._inductor import config

    torch.compiler.reset()
    # What monkeypatch takes back of this module is gone afterwards.
    changed = {"force_disable_caches": True, "cpp.cxx": (None, "/bin/false")}
    within: AbstractContextManager[None] = config.patch(changed)
    return within


def no_capture(monkeypatch: pytest.MonkeyPatch) -> None:
    def captured(take: Callable[[], None], rehearse: Callable[[], object], _: object) -> None:
        rehearse()
        take()
        raise RuntimeError("CUDA error: operation not permitted\nwhen a stream is capturing")

    monkeypatch.setattr(capture, "captured", captured)


def no_replay(monkeypatch: pytest.MonkeyPatch) -> None:
    class Graph:
        def __init__(self, *means: Any) -> None:
            recorded(*means)

        def replay(self) -> None:
            raise RuntimeError("CUDA error: invalid argument")

    monkeypatch.setattr(capture, "captured", Graph)


def another_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the graph than of the same step when it was launched."""
    rehearse = Step.rehearse
    monkeypatch.setattr(capture, "captured", recorded)
    monkeypatch.setattr(Step, "rehearse", lambda *means: 2 * rehearse(*means))


def no_fused_update(monkeypatch: pytest.MonkeyPatch) -> None:
    """It fails once the weights are changed already."""

    class Half(torch.optim.AdamW):
        def step(self, closure: Any = None) -> Any:
            super().step()
            if self.defaults["fused"]:
                raise RuntimeError("CUDA error: no kernel image is available")

    monkeypatch.setattr("torch.optim.AdamW", Half)


def no_fused_optimiser(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refused(torch.optim.AdamW):
        def __init__(self, groups: Any, **settings: Any) -> None:
            if settings["fused"]:
                raise RuntimeError("`fused=True` requires all the params to be supported")
            super().__init__(groups, **settings)

    monkeypatch.setattr("torch.optim.AdamW", Refused)


UNFUSED = dataclasses.replace(PLAIN, fused=False)
FAILURES: dict[str, tuple[Break, Execution, Execution, str, str]] = {
    "capture": (
        no_capture, CAPTURED, PLAIN, "capturing its step",
        "RuntimeError: CUDA error: operation not permitted",
    ),
    "replay": (
        no_replay, CAPTURED, PLAIN, "capturing its step",
        "RuntimeError: CUDA error: invalid argument",
    ),
    "graph": (
        another_loss, CAPTURED, PLAIN, "capturing its step",
        "RuntimeError: the captured step's loss is",
    ),
    "compile": (
        no_compiler, COMPILED, PLAIN, "compiling its blocks",
        "InductorError: InvalidCxxCompiler: No working C++ compiler",
    ),
    "update": (
        no_fused_update, PLAIN, UNFUSED, "fused kernels",
        "RuntimeError: CUDA error: no kernel image is available",
    ),
    "optimiser": (
        no_fused_optimiser, PLAIN, UNFUSED, "fused kernels",
        "RuntimeError: `fused=True` requires",
    ),
}  # fmt: skip


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
def test_what_fails_at_the_first_step_is_said_recorded_and_done_plainly(
    few_digits, run_spec, monkeypatch, failure
):
    """To the bits of a run that was plain from the start; with --strict the run fails instead."""
    broken, first, plain, what, error = failure
    if first.compiled and not has_compiler(CPU):
        pytest.skip("no C++ compiler to pretend that it fails")
    spec = run_spec(steps=12, dropout=0.1, averaging=0.9)
    monkeypatch.setattr(loop, "choose", lambda *_: plain)
    expected, expected_weights = finished(spec, few_digits)
    monkeypatch.setattr(loop, "choose", lambda *_: first)
    with broken(monkeypatch) or nullcontext():
        host = Memory()
        record, weights = finished(spec, few_digits, host)
        (said,) = host.said
        assert said.startswith(f"Run {spec.id} goes on without {what}, since that failed: {error}")
        assert "\n" not in said
        (known,) = record.execution["fell_back"]
        assert known["error"].startswith(error)
        assert known["from"] == [n for n in ("compiled", "captured", "fused") if getattr(first, n)]
        assert Execution.recorded(record.execution) == plain
        assert comparable(record) == comparable(expected)
        assert all(torch.equal(weights[name], value) for name, value in expected_weights.items())
        assert [p.step for p in host.progress] == list(range(1, 13))
        with pytest.raises(RuntimeError, match=error.partition(": ")[2][:20].replace("`", ".")):
            train(spec, few_digits, Memory(), CPU, threads=1, options=ExecutionOptions(strict=True))
        torch.compiler.reset()


def test_a_run_that_works_says_nothing_and_is_not_slowed_by_strictness(few_digits, run_spec):
    host = Memory()
    result = train(
        run_spec(), few_digits, host, CPU, threads=1, options=ExecutionOptions(strict=True)
    )
    assert result is not None
    assert host.said == []
    assert "fell_back" not in result[0].execution
    assert "strict" not in result[0].execution


def captured_until(
    step: int, spec: RunSpec, images: ImageSet, monkeypatch: pytest.MonkeyPatch
) -> Memory:
    """A captured run with a checkpoint at ``step``."""
    host = Memory(stop_after=step)
    with monkeypatch.context() as patch:
        patch.setattr(loop, "choose", lambda *_: CAPTURED)
        patch.setattr(capture, "captured", recorded)
        assert train(spec, images, host, CPU, threads=1) is None
    host.stop_after = None
    return host


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_resumed_run_goes_on_plainly_from_its_checkpoint(
    few_digits, run_spec, monkeypatch, optimizer
):
    """With the masks that it would have drawn, and nothing left of the step that failed."""
    spec = run_spec(dropout=0.1, averaging=0.9, optimizer=optimizer)
    host = captured_until(13, spec, few_digits, monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr(capture, "captured", recorded)
        whole, whole_weights = finished(spec, few_digits, captured_copy(host, CAPTURED))
    plain = dataclasses.replace(CAPTURED, captured=False)
    expected, expected_weights = finished(spec, few_digits, captured_copy(host, plain))
    no_capture(monkeypatch)
    record, weights = finished(spec, few_digits, host)
    assert len(host.said) == len(record.execution["fell_back"]) == 1
    assert "goes on without capturing its step" in host.said[0]
    assert Execution.recorded(record.execution) == plain
    assert comparable(record) == comparable(expected)
    assert all(torch.equal(weights[name], value) for name, value in expected_weights.items())
    for name, value in whole_weights.items():
        torch.testing.assert_close(weights[name], value, rtol=0.02, atol=2e-3, msg=name)
    assert whole.execution["captured"]


def captured_copy(host: Memory, execution: Execution) -> Memory:
    """A host with the same checkpoint, of a run that began with ``execution``."""
    assert host.saved is not None
    state = torch.load(io.BytesIO(host.saved), weights_only=True)
    state["execution"] |= dataclasses.asdict(execution)
    other = Memory()
    other.save(state)
    return other


def test_after_a_crash_the_plainest_way_is_taken_at_once(few_digits, run_spec, monkeypatch):
    spec = run_spec(steps=6)
    monkeypatch.setattr(loop, "choose", lambda *_: CAPTURED)
    host, crash = Memory(), "The worker process was ended by SIGSEGV."
    result = train(spec, few_digits, host, CPU, threads=1, crash=crash)
    assert result is not None
    assert host.said == [
        f"Run {spec.id} goes on without capturing its step and fused kernels, "
        f"since that failed: {crash}"
    ]
    assert result[0].execution["fell_back"] == [{"from": ["captured", "fused"], "error": crash}]
    assert Execution.recorded(result[0].execution) == UNFUSED
    monkeypatch.setattr(loop, "choose", lambda *_: UNFUSED)
    host = Memory()
    assert train(spec, few_digits, host, CPU, threads=1, crash=crash) is not None
    assert host.said == []


def test_an_error_that_no_way_avoids_is_the_plainest_ones(few_digits, run_spec, monkeypatch):
    tried: list[bool] = []

    def gradients(step: Step, *_: Any) -> None:
        tried.append(step.execution.fused)
        raise RuntimeError(f"attempt {len(tried)}")

    monkeypatch.setattr(Step, "_gradients", gradients)
    with pytest.raises(RuntimeError, match="attempt 2"):
        finished(run_spec(), few_digits)
    assert tried == [True, False]


def test_a_device_that_does_nothing_more_is_not_asked_again(few_digits, run_spec, monkeypatch):
    """The process has to end; another one takes the plain way."""
    tried: list[bool] = []

    def gradients(step: Step, *_: Any) -> None:
        tried.append(step.execution.fused)
        raise torch.AcceleratorError("an illegal memory access was encountered")

    def synchronise(_: object) -> None:
        if tried:
            raise torch.AcceleratorError("an illegal memory access was encountered")

    monkeypatch.setattr(Step, "_gradients", gradients)
    monkeypatch.setattr("vitexp.training.fallback.synchronise", synchronise)
    with pytest.raises(torch.AcceleratorError):
        finished(run_spec(), few_digits)
    assert tried == [True]


def test_the_ways_get_plainer_and_masks_stay_where_some_were_drawn(run_spec):
    both = dataclasses.replace(COMPILED, captured=True)

    def parts(spec: RunSpec, begun: bool) -> list[tuple[str, bool, bool, bool]]:
        found = ways(both, spec, torch.device("cuda"), begun)
        return [(way.noise, way.compiled, way.captured, way.fused) for way in found]

    hashed, drawn = HashNoise.source, DeviceNoise.source
    assert parts(run_spec(), begun=False) == [
        (hashed, True, True, True),
        (hashed, True, False, True),
        (hashed, False, True, True),
        (drawn, False, False, True),
        (drawn, False, False, False),
    ]
    assert parts(run_spec(dropout=0.1), begun=True) == [
        (hashed, True, True, True),
        (hashed, True, False, True),
        (hashed, False, False, True),
        (hashed, False, False, False),
    ]
    assert ways(PLAIN, run_spec(), CPU, begun=False) == [PLAIN, UNFUSED]


def test_memory_that_cannot_be_pinned_is_memory_all_the_same():
    assert pinned((2, 3), torch.uint8).shape == (2, 3)


def test_strictness_is_asked_for_and_is_no_part_of_how_a_run_is_computed(tmp_path):
    machine = machine_of(Settings(device="cpu", out=str(tmp_path), strict=True))
    assert machine.options == ExecutionOptions(strict=True)
    assert machine_of(Settings(device="cpu", out=str(tmp_path))).options == DEFAULTS
    assert machine.options.of_execution() == DEFAULTS.of_execution()


@pytest.mark.cuda
@pytest.mark.skipif(not cuda_devices(), reason="needs a CUDA device")
def test_on_cuda_a_step_that_cannot_be_captured_is_launched_and_the_next_run_is_captured(
    few_digits, run_spec, monkeypatch
):
    """A step that waits for the device while it is captured, which invalidates the capture."""
    device, spec = torch.device("cuda"), run_spec(averaging=0.9)
    options = ExecutionOptions(deterministic=True)
    add, waits = Losses.add, [True]

    def wait(losses: Losses, loss: torch.Tensor, step: Any) -> None:
        if waits[0] and torch.cuda.is_current_stream_capturing():
            float(loss)
        add(losses, loss, step)

    def weights_of(host: Memory) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
        result = train(spec, few_digits, host, device, threads=1, options=options)
        assert result is not None
        return result[0].execution, result[1]

    monkeypatch.setattr(Losses, "add", wait)
    before, host = torch.cuda.current_stream(), Memory()
    execution, weights = weights_of(host)
    assert torch.cuda.current_stream() == before
    assert (execution["captured"], len(execution["fell_back"])) == (False, 1)
    assert "goes on without capturing its step" in host.said[0]
    waits[0] = False
    execution, captured = weights_of(Memory())
    assert execution["captured"]
    for name, value in captured.items():
        torch.testing.assert_close(weights[name], value, rtol=0.02, atol=2e-3, msg=name)
    plain = Execution(1, DeviceNoise.source, deterministic=True)
    monkeypatch.setattr(loop, "choose", lambda *_: plain)
    _, launched = weights_of(Memory())
    assert all(torch.equal(weights[name], value) for name, value in launched.items())
