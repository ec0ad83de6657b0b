"""One training run, from its spec to its record."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from vitexp.datasets.image_set import ImageSet, Split
from vitexp.evaluation.accuracy import Accuracy, accuracy
from vitexp.evaluation.few_shot import few_shot
from vitexp.models.build import build
from vitexp.runs.record import RunRecord, Status, pack_correct
from vitexp.runs.wishes import NONE, Wishes
from vitexp.spec import RunSpec
from vitexp.training.batches import Batches
from vitexp.training.compilation import plain
from vitexp.training.cost import cost
from vitexp.training.determinism import set_deterministic
from vitexp.training.environment import environment, forget_peak_memory, synchronise
from vitexp.training.execution import Execution, choose
from vitexp.training.fit import fitting, keep_within, remarks_on
from vitexp.training.optimisation import restore
from vitexp.training.peak import peak
from vitexp.training.start import Start
from vitexp.training.step import DTYPES, Step

State = dict[str, Any]


@dataclass(frozen=True)
class Progress:
    """Where a run stands; losses and accuracies are of the last evaluation, None before it."""

    step: int
    images_per_s: float
    train_loss: float | None
    val_top1: float | None


class Host(Protocol):
    """What a run needs from whoever runs it."""

    def restore(self) -> State | None:
        """The state of the last good checkpoint, or None."""

    def save(self, state: State) -> None:
        """Makes ``state`` the last good checkpoint."""

    def report(self, progress: Progress) -> None:
        """Takes note of progress; called at every step, so cheap."""

    def checkpoint_due(self) -> bool:
        """Whether it is time for a checkpoint."""

    def stopping(self) -> bool:
        """Whether the run has to checkpoint and end now."""

    def reads_test(self) -> int:
        """Counts a read of the test split before it is made; how many there were, with this."""

    def say(self, message: str) -> None:
        """Tells the user."""


def train(
    spec: RunSpec,
    images: ImageSet,
    host: Host,
    device: torch.device,
    threads: int,
    start: Start | None = None,
    wishes: Wishes = NONE,
    memory: int | None = None,
) -> tuple[RunRecord, dict[str, Tensor]] | None:
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

    Returns:
        The record and the final weights (CPU), or None when the host stopped the run.
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
    run = _Run(spec, images, batches, execution, start)
    if state is not None:
        run.load(state)
    run.measure_peak()
    while run.step < spec.recipe.steps and not run.diverged:
        if host.stopping():
            run.save(host)
            return None
        run.advance()
        host.report(run.progress())
        if host.checkpoint_due():
            run.save(host)
    return run.record(host), run.weights()


class _Run:
    """The mutable middle of a run."""

    def __init__(
        self,
        spec: RunSpec,
        images: ImageSet,
        batches: Batches,
        execution: Execution,
        start: Start | None,
    ) -> None:
        recipe, device = spec.recipe, batches.device
        self.spec, self.images, self.device = spec, images, device
        self.dtype = DTYPES[spec.precision]
        self.model = build(spec.model, spec.seed, recipe.dropout, recipe.stochastic_depth)
        if start is not None:
            start.give(self.model, spec.model)
        self.model.to(device)
        micro = execution.micro_batch
        penalty = start and start.solve(self.model, images, device, self.dtype, micro)
        self.optimise = Step(spec, self.model, batches, device, execution)
        self.optimizer, self.losses = self.optimise.optimizer, self.optimise.losses
        self.average = self.optimise.average
        self.step = 0
        self.curve: list[dict[str, float]] = []
        self.best: dict[str, Tensor] = {}
        self.seconds = {"train": 0.0, "evaluate": 0.0}
        self.window = 0
        self.saved: int | None = None
        self.execution = {
            **environment(device),
            **asdict(execution),
            "streamed": batches.streamed,
            "precision": spec.precision,
            "init_weights": start and start.sha,
            **({} if penalty is None else {"ridge_penalty": penalty}),
            "started": _now(),
        }

    def measure_peak(self) -> None:
        """Takes the device's peak, before anything of the run is timed or its memory looked at."""
        self.peak = peak(self.device, self.dtype, self.execution["threads"])
        self.execution["peak"] = self.peak.as_json()
        forget_peak_memory(self.device)

    @property
    def diverged(self) -> bool:
        return bool(self.curve) and "val_top1" not in self.curve[-1]

    def advance(self) -> None:
        """One optimiser step, and an evaluation where one is due."""
        recipe = self.spec.recipe
        every = recipe.early_stopping or recipe.evaluate_every
        with self._timed("train"):
            self.optimise(self.step)
            self.window += 1
            self.step += 1
            due = self.step % every == 0 or self.step == recipe.steps
            if due:
                synchronise(self.device)
        if due:
            with plain(), self._timed("evaluate"):
                self._evaluate()

    def _evaluate(self) -> None:
        point = {"step": float(self.step)}
        # A run of no steps has no loss.
        losses = {"train_loss": float(self.losses.sum) / self.window} if self.window else {}
        if all(map(math.isfinite, losses.values())) and self._sound():
            with self.average.used() if self.average is not None else nullcontext():
                point |= losses | {"val_top1": self._accuracy(self.images.val).top1}
                self._keep_best(point["val_top1"])
        self.curve.append(point)
        self.losses.forget()
        self.window = 0

    def _keep_best(self, val_top1: float) -> None:
        earlier = [point["val_top1"] for point in self.curve]
        if self.spec.recipe.early_stopping and val_top1 > max(earlier, default=-1.0):
            self.best = {k: v.detach().clone() for k, v in self.model.state_dict().items()}

    def _accuracy(self, split: Split, rows: np.ndarray | None = None) -> Accuracy:
        # As many images as training computes at once fit without a gradient, too.
        batch = self.optimise.execution.micro_batch
        return accuracy(self.model, split, self.device, self.dtype, batch, rows)

    def progress(self) -> Progress:
        last = self.curve[-1] if self.curve else {}
        rate = self.step * self.spec.recipe.batch / max(self.seconds["train"], 1e-9)
        return Progress(self.step, rate, last.get("train_loss"), last.get("val_top1"))

    def record(self, host: Host) -> RunRecord:
        """Measures the final weights; the only place where the test split is read."""
        if not self.curve:
            self._evaluate()
        if self.diverged:
            first = int(self.losses.first_bad)
            self.execution["diverged_at_step"] = first if first >= 0 else self.step - 1
            self.execution["last_good_step"] = self.saved
            self.execution["test_reads"] = 0
            return self._record({}, "")
        if self.average is not None:
            self.model.load_state_dict(self.average.state, strict=False)
        if self.best:
            self.model.load_state_dict(self.best)
        reported = max(self.curve, key=lambda p: p["val_top1"]) if self.best else self.curve[-1]
        with plain(), self._timed("evaluate"):
            self.execution["test_reads"] = host.reads_test()
            test = self._accuracy(self.images.test)
            as_many = np.arange(min(len(self.images.train), len(self.images.val)))
            train = self._accuracy(self.images.train, as_many)
            batch = self.optimise.execution.micro_batch
            probes = few_shot(self.model, self.images, test, self.device, self.dtype, batch)
        accuracies = {
            "test_top1": test.top1,
            "test_top5": test.top5,
            "val_top1": reported["val_top1"],
            "train_top1": train.top1,
        }
        if "train_loss" in reported:
            accuracies["train_loss"] = reported["train_loss"]
        accuracies |= {f"{p.name}_top1": p.mean for p in probes}
        self.execution["few_shot"] = [p.details() for p in probes]
        return self._record(accuracies, pack_correct(test.correct))

    def _record(self, accuracies: dict[str, float], correct: str) -> RunRecord:
        images_seen = self.step * self.spec.recipe.batch
        threads = self.execution["threads"]
        metrics = dict(accuracies)
        metrics["params"] = sum(p.numel() for p in self.model.parameters())
        metrics |= cost(self.spec, images_seen, self.seconds, self.device, threads, self.peak)
        self.execution["ended"] = _now()
        status: Status = "done" if accuracies else "diverged"
        return RunRecord(self.spec, status, metrics, correct, self.curve, self.execution)

    def weights(self) -> dict[str, Tensor]:
        return {name: value.cpu().contiguous() for name, value in self.model.state_dict().items()}

    def state(self) -> State:
        """Everything that the rest of the run depends on."""
        return {
            "step": self.step,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "curve": self.curve,
            "best": self.best,
            "average": self.average and self.average.state,
            "loss_sum": self.losses.sum,
            "first_bad": self.losses.first_bad,
            "window": self.window,
            "seconds": self.seconds,
            "execution": self.execution,
        }

    def save(self, host: Host) -> None:
        """Checkpoint, unless the run is beyond help: the last checkpoint is always a good one."""
        # What the device has still to do is time of its steps, not of this.
        with self._timed("train"):
            synchronise(self.device)
        if self._sound():
            host.save(self.state())
            self.saved = self.step

    def _sound(self) -> bool:
        """Whether all losses so far, the weights and the optimiser's moments are finite."""
        moments = (value for state in self.optimizer.state.values() for value in state.values())
        tensors = [value for value in moments if torch.is_tensor(value)]
        tensors += [
            value for value in self.model.state_dict().values() if value.is_floating_point()
        ]
        return int(self.losses.first_bad) < 0 and all(
            bool(torch.isfinite(t).all()) for t in tensors
        )

    def load(self, state: State) -> None:
        self.model.load_state_dict(state["model"])
        restore(self.optimizer, state["optimizer"])
        if self.average is not None:
            self.average.load(state["average"])
        self.losses.load(state["loss_sum"], state["first_bad"])
        for name in ("step", "curve", "best", "window", "seconds", "execution"):
            setattr(self, name, state[name])
        self.execution["streamed"] = self.optimise.batches.streamed
        self.saved = self.step

    def _timed(self, what: str) -> _Stopwatch:
        return _Stopwatch(lambda seconds: self._spent(what, seconds))

    def _spent(self, what: str, seconds: float) -> None:
        self.seconds[what] += seconds


class _Stopwatch:
    def __init__(self, spent: Callable[[float], None]) -> None:
        self._spent = spent

    def __enter__(self) -> None:
        self._start = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._spent(time.perf_counter() - self._start)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
