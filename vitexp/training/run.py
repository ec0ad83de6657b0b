"""The mutable middle of a run."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from datetime import UTC, datetime

import numpy as np
import torch
from torch import Tensor

from vitexp.datasets.image_set import ImageSet, Split, spread
from vitexp.evaluation.accuracy import Classified, classified
from vitexp.evaluation.few_shot import few_shot
from vitexp.runs.record import TRAIN_IMAGES, RunRecord, Status, pack_classes, pack_correct
from vitexp.spec import RunSpec
from vitexp.training.batches import Batches
from vitexp.training.compilation import plain
from vitexp.training.cost import cost
from vitexp.training.environment import (
    completion,
    environment,
    forget_peak_memory,
    peak_memory,
    taken_memory,
)
from vitexp.training.execution import DTYPES, Execution
from vitexp.training.host import Host, Progress, State, Waits
from vitexp.training.optimisation import restore
from vitexp.training.peak import peak
from vitexp.training.start import Start
from vitexp.training.step import Step, model_of


class Run:
    """A model on its way: how far it has come, and what was measured of it.

    Args:
        spec: the resolved run.
        images: its data set.
        batches: of its training split, on the device where it trains.
        execution: how its steps are computed.
        start: where its first weights come from; None to draw them.
        clock: seconds of the device that are charged to this run.
    """

    def __init__(
        self,
        spec: RunSpec,
        images: ImageSet,
        batches: Batches,
        execution: Execution,
        start: Start | None,
        clock: Callable[[], float],
    ) -> None:
        device = batches.device
        self._beside = taken_memory(device) - batches.resident_bytes
        self._memory: int | None = None
        self.spec, self.images, self.device = spec, images, device
        self.dtype = DTYPES[spec.precision]
        self.model = model_of(spec, execution)
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
        # Of preparing: the first step, where that is the one that compiles or captures.
        self.seconds = {"prepare": 0.0, "train": 0.0, "evaluate": 0.0}
        self._prepared = not (execution.compiled or execution.captured)
        self._clock = clock
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
        self._since = self._clock()

    @property
    def diverged(self) -> bool:
        return bool(self.curve) and "val_top1" not in self.curve[-1]

    @property
    def over(self) -> bool:
        """Whether there are no more steps to take."""
        return self.step == self.spec.recipe.steps or self.diverged

    def take(self) -> None:
        """One optimiser step; :meth:`settle` has to follow."""
        self.optimise(self.step)
        self.window += 1
        self.step += 1
        if self._memory is None and self.optimise.captured:
            # All is allocated by now, and no other run has had a turn meanwhile.
            self._memory = peak_memory(self.device) - self._beside
        self._spent("train" if self._prepared else "prepare")
        self._prepared = True

    def settle(self) -> Waits:
        """Waits for the device where it is far behind; an evaluation where one is due."""
        recipe = self.spec.recipe
        every = recipe.early_stopping or recipe.evaluate_every
        yield self.optimise.backlog
        if self.step % every == 0 or self.step == recipe.steps:
            yield completion(self.device)
            self._spent("train")
            yield from self._evaluate()
            self._spent("evaluate")

    def _evaluate(self) -> Waits:
        sound = self._sound()
        with self._averaged():
            found = self._classified(self.images.val)
        yield completion(self.device)
        point = {"step": float(self.step)}
        # A run of no steps has no loss.
        losses = {"train_loss": float(self.losses.sum) / self.window} if self.window else {}
        if all(map(math.isfinite, losses.values())) and bool(sound):
            point |= losses | {"val_top1": found.accuracy().top1}
            self._keep_best(point["val_top1"])
        self.curve.append(point)
        self.losses.forget()
        self.window = 0

    def _keep_best(self, val_top1: float) -> None:
        earlier = [point["val_top1"] for point in self.curve]
        if self.spec.recipe.early_stopping and val_top1 > max(earlier, default=-1.0):
            with self._averaged():
                self.best = {k: v.detach().clone() for k, v in self.model.state_dict().items()}

    def _averaged(self) -> AbstractContextManager[None]:
        """The model has the weights that are evaluated."""
        return nullcontext() if self.average is None else self.average.used()

    def _classified(self, split: Split, rows: np.ndarray | None = None) -> Classified:
        with plain():
            return classified(self.model, split, self.device, self.dtype, self._at_once, rows)

    @property
    def _at_once(self) -> int | None:
        """Images to classify at once.

        As many as training computes fit without a gradient, too; on CUDA, where training has them
        all at once, several times as many.
        """
        micro = self.optimise.execution.micro_batch
        whole = 4 * self.spec.recipe.batch if self.device.type == "cuda" else None
        return micro or whole

    def progress(self) -> Progress:
        last = self.curve[-1] if self.curve else {}
        rate = self.step * self.spec.recipe.batch / max(self.seconds["train"], 1e-9)
        return Progress(
            self.step,
            rate,
            last.get("train_loss"),
            last.get("val_top1"),
            int(last["step"]) if last else None,
        )

    def record(self, host: Host) -> Generator[torch.cuda.Event | None, None, RunRecord]:
        """Measures the final weights; the only place where the test split is read."""
        if not self.curve:
            yield from self._evaluate()
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
        self.execution["test_reads"] = host.reads_test()
        on_test = self._classified(self.images.test)
        on_train = self._classified(self.images.train, spread(len(self.images.train), TRAIN_IMAGES))
        yield completion(self.device)
        test, train = on_test.accuracy(), on_train.accuracy()
        with plain():
            probes = few_shot(self.model, self.images, test, self.device, self.dtype, self._at_once)
        self._spent("evaluate")
        accuracies = {
            "test_top1": test.top1,
            "test_top5": test.top5,
            "val_top1": reported["val_top1"],
            "train_top1": train.top1,
            "train_images": float(len(train.correct)),
            "test_majority": float(np.bincount(self.images.test.labels).max() / len(test.correct)),
        }
        if "train_loss" in reported:
            accuracies["train_loss"] = reported["train_loss"]
        accuracies |= {f"{p.name}_top1": p.mean for p in probes}
        self.execution["few_shot"] = [p.details() for p in probes]
        mistaken = pack_classes(test.taken[~test.correct])
        return self._record(accuracies, pack_correct(test.correct), mistaken)

    def _record(
        self, accuracies: dict[str, float], correct: str, mistaken: str | None = None
    ) -> RunRecord:
        images_seen = self.step * self.spec.recipe.batch
        threads = self.execution["threads"]
        metrics = dict(accuracies)
        metrics["params"] = sum(p.numel() for p in self.model.parameters())
        memory = self._memory or peak_memory(self.device)
        metrics |= cost(
            self.spec, images_seen, self.seconds, memory, self.device, threads, self.peak
        )
        self.execution["ended"] = _now()
        status: Status = "done" if accuracies else "diverged"
        tested = self.images.tested
        return RunRecord(
            self.spec,
            status,
            metrics,
            correct,
            self.curve,
            self.execution,
            tested=None if tested is None or not correct else pack_correct(tested),
            mistaken=mistaken,
        )

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

    def save(self, host: Host) -> Waits:
        """Checkpoint, unless the run has diverged: the last checkpoint is always a good one."""
        sound = self._sound()
        yield completion(self.device)
        self._spent("train")
        if bool(sound):
            host.save(self.state())
            self.saved = self.step
        self._spent(None)

    @torch.no_grad()
    def _sound(self) -> Tensor:
        """Whether all losses so far, the weights and the optimiser's moments are finite."""
        moments = (value for state in self.optimizer.state.values() for value in state.values())
        tensors = [value for value in moments if torch.is_tensor(value)]
        tensors += [
            value for value in self.model.state_dict().values() if value.is_floating_point()
        ]
        largest = torch._foreach_norm(tensors, math.inf)
        finite = torch.stack([value.to(self.device) for value in largest]).isfinite().all()
        return finite & (self.losses.first_bad < 0)

    def load(self, state: State) -> None:
        self.model.load_state_dict(state["model"])
        restore(self.optimizer, state["optimizer"])
        if self.average is not None:
            self.average.load(state["average"])
        self.losses.load(state["loss_sum"], state["first_bad"])
        for name in ("step", "curve", "best", "window", "execution"):
            setattr(self, name, state[name])
        self.seconds |= state["seconds"]
        # Another way than before, where that one failed.
        self.execution |= asdict(self.optimise.execution)
        self.execution["streamed"] = self.optimise.batches.streamed
        self.saved = self.step

    def _spent(self, what: str | None) -> None:
        """Books the time since this was last asked."""
        now = self._clock()
        if what is not None:
            self.seconds[what] += now - self._since
        self._since = now


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
