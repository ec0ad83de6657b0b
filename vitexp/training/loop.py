"""One training run, from its spec to its record."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import asdict

import torch
from torch import Tensor

from vitexp.datasets.image_set import ImageSet
from vitexp.runs.record import RunRecord
from vitexp.runs.wishes import NONE, Wishes
from vitexp.spec import RunSpec
from vitexp.training.batches import Batches
from vitexp.training.determinism import set_deterministic
from vitexp.training.execution import Execution, choose
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
    wishes: Wishes = NONE,
    memory: int | None = None,
) -> Finished | None:
    """Trains ``spec`` alone; the arguments and what is returned are those of :func:`training`."""
    turns = training(spec, images, host, device, threads, start, wishes, memory)
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
    wishes: Wishes = NONE,
    memory: int | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Turns:
    """Trains ``spec`` to its end, going on from the host's checkpoint if there is one.

    Args:
        spec: the resolved run.
        images: the data set whose fingerprint the spec names.
        host: checkpoints, progress and the wish to stop.
        device: where to train.
        threads: CPU threads; a resumed run keeps the number that it started with.
        start: what ``spec.init`` names; without it the weights are drawn, as a run that only
            times its steps may do.
        wishes: how to compute; a resumed run keeps what it started with.
        memory: bytes for this run; None for as many as it takes.
        clock: seconds of the device that are this run's to pay.

    Returns:
        The record and the final weights, or None when the host stopped the run.
    """
    assert images.fingerprint == spec.data.fingerprint
    keep_within(memory, device)
    batches = Batches(images.train, spec.recipe, spec.model.classes, spec.seed, device, memory)
    state = host.restore()
    if state is None:
        execution = fitting(choose(spec, device, threads, wishes), spec, batches, memory)
        remarks = remarks_on(execution, wishes, spec.recipe.batch)
    else:
        execution = Execution.recorded(state["execution"])
        remarks = wishes.overruled(asdict(execution))
    for remark in remarks:
        host.say(f"Run {spec.id} {remark}")
    torch.set_num_threads(execution.threads)
    set_deterministic(execution.deterministic)
    run = Run(spec, images, batches, execution, start, clock)
    if state is not None:
        run.load(state)
    run.measure_peak()
    while run.step < spec.recipe.steps and not run.diverged:
        if host.stopping():
            yield from run.save(host)
            return None
        yield from run.advance()
        host.report(run.progress())
        if host.checkpoint_due():
            yield from run.save(host)
    record = yield from run.record(host)
    return record, run.weights()
