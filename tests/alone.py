"""A run trained alone in the test's own process, and what may be compared of it."""

from __future__ import annotations

import io
from typing import Any

import torch

from vitexp.datasets.image_set import ImageSet
from vitexp.runs.record import CLOCKED, RunRecord
from vitexp.training.host import Progress
from vitexp.training.loop import train

CPU = torch.device("cpu")


class Memory:
    """A host that keeps its checkpoint in memory, as bytes, and can stop after some steps."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.stop_after = stop_after
        self.saved: bytes | None = None
        self.progress: list[Progress] = []
        self.said: list[str] = []
        self.reads = 0

    def restore(self) -> dict[str, Any] | None:
        if self.saved is None:
            return None
        state: dict[str, Any] = torch.load(io.BytesIO(self.saved), weights_only=True)
        return state

    def save(self, state: dict[str, Any]) -> None:
        buffer = io.BytesIO()
        torch.save(state, buffer)
        self.saved = buffer.getvalue()

    def report(self, progress: Progress) -> None:
        self.progress.append(progress)

    def reads_test(self) -> int:
        self.reads += 1
        return self.reads

    def say(self, message: str) -> None:
        self.said.append(message)

    def checkpoint_due(self) -> bool:
        return False

    def stopping(self) -> bool:
        return bool(self.progress) and self.progress[-1].step == self.stop_after


def finished(spec: Any, images: ImageSet, host: Memory | None = None) -> Any:
    result = train(spec, images, host or Memory(), CPU, threads=1)
    assert result is not None
    return result


def comparable(record: RunRecord) -> dict[str, Any]:
    metrics = {name: value for name, value in record.metrics.items() if name not in CLOCKED}
    return {"metrics": metrics, "curve": record.curve, "correct": record.correct}


RECIPES: dict[str, dict[str, Any]] = {
    "plain": {},
    "everything": {
        "dropout": 0.1,
        "stochastic_depth": 0.1,
        "crop": True,
        "flip": True,
        "mixup": 0.2,
        "cutmix": 1.0,
        "label_smoothing": 0.1,
    },
    "sgd": {"optimizer": "sgd", "lr": 0.05, "resized_crop": 0.5},
    "best": {"early_stopping": 3, "lr": 0.03, "schedule": "constant"},
    "mean": {"early_stopping": 3, "averaging": 0.9},
}
