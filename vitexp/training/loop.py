"""One training run, from its spec to its record."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import asdict

import torch
from torch import Tensor

from vitexp.datasets.image_set import ImageSet
from vitexp.runs.options import DEFAULTS, ExecutionOptions
from vitexp.runs.record import RunRecord
from vitexp.spec import RunSpec
from vitexp.training.batches import Batches
from vitexp.training.determinism import set_deterministic
from vitexp.training.environment import synchronise
from vitexp.training.execution import Execution, choose, ways
from vitexp.training.fallback import first_that_works
from vitexp.training.fit import fitting, keep_within, remarks_on
from vitexp.training.host import Host
from vitexp.training.run import Run
from vitexp.training.start import Start

Finished = tuple[RunRecord, dict[str, Tensor]]
"""A run's record and its final weights, on the CPU."""

Turns = Generator[torch.cuda.Event | None, None, Finished | None]
"""As :data:`Waits`, and a run's end."""


def train(
    spec: RunSpec,
    images: ImageSet,
    host: Host,
    device: torch.device,
    threads: int,
    start: Start | None = None,
    options: ExecutionOptions = DEFAULTS,
    memory: int | None = None,
    crash: str | None = None,
) -> Finished | None:
    """Trains ``spec`` alone; the arguments and what is returned are those of :func:`training`."""
    turns = training(
        spec, images, host, device, threads, start, options, memory, time.perf_counter, crash
    )
    while True:
        try:
            event = next(turns)
        except StopIteration as end:
            finished: Finished | None = end.value
            return finished
        if event is not None:
            event.synchronize()


def training(
    spec: RunSpec,
    images: ImageSet,
    host: Host,
    device: torch.device,
    threads: int,
    start: Start | None = None,
    options: ExecutionOptions = DEFAULTS,
    memory: int | None = None,
    clock: Callable[[], float] = time.perf_counter,
    crash: str | None = None,
) -> Turns:
    """Trains ``spec`` to its end, going on from the host's checkpoint if there is one.

    What fails at its first step here is done by a plainer way, which is said and recorded.

    Args:
        spec: the resolved run.
        images: the data set whose fingerprint the spec names.
        host: checkpoints, progress and whether to stop.
        device: where to train.
        threads: CPU threads; a resumed run keeps the number that it started with.
        start: what ``spec.init`` names; without it the weights are drawn, as a run that only
            times its steps may do.
        options: how to compute; a resumed run keeps what it started with, if that still works.
        memory: bytes for this run; None for as many as it takes.
        clock: seconds of the device that are charged to this run.
        crash: how the process ended that tried this before, if that was the device's doing.

    Returns:
        The record and the final weights, or None when the host stopped the run.
    """
    assert images.fingerprint == spec.data.fingerprint
    keep_within(memory, device)
    batches = Batches(images.train, spec.recipe, spec.model.classes, spec.seed, device, memory)
    state = host.restore()
    if state is None:
        before, first = 0, choose(spec, device, threads, options)
    else:
        before, first = state["step"], Execution.recorded(state["execution"])
    begun = state is not None

    def begin(way: Execution) -> Run:
        nonlocal state
        torch.set_num_threads(way.threads)
        set_deterministic(way.deterministic)
        if not begun:
            way = fitting(way, spec, batches, memory)
        run = Run(spec, images, batches, way, start, clock)
        if begun:
            # Read again where a step failed, which may have written into what was loaded.
            state = state or host.restore()
            assert state is not None
            run.load(state)
            state = None
        run.measure_peak()
        if not run.over and not host.stopping():
            run.take()
            # What is queued on the device fails here, and not at some later step.
            synchronise(device)
        return run

    left = ways(first, spec, device, begun)
    run, failures = first_that_works(left, begin, device, options.strict, crash)
    execution = run.optimise.execution
    asked = (
        options.overruled(asdict(first))
        if begun
        else remarks_on(execution, options, spec.recipe.batch)
    )
    for remark in asked + failures.remark(execution):
        host.say(f"Run {spec.id} {remark}")
    if failures.known:
        run.execution["fell_back"] = run.execution.get("fell_back", []) + failures.known
    taken = run.step > before
    while taken or not run.over:
        if not taken:
            if host.stopping():
                yield from run.save(host)
                return None
            run.take()
        taken = False
        yield from run.settle()
        host.report(run.progress())
        if host.checkpoint_due():
            yield from run.save(host)
    record = yield from run.record(host)
    return record, run.weights()
