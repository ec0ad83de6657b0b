"""What workers say, a line of JSON each; what they are asked is in ``launch/orders.py``."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal[
    "start", "progress", "done", "diverged", "failed", "refused", "stopped", "busy", "lost",
    "note", "paced", "measured", "benched", "capacity",
]  # fmt: skip

LESS_MEMORY = "Use a smaller --batch, --width or --image-size, or fewer --jobs."


@dataclass(frozen=True)
class Event:
    """Something that happened to a run.

    Attributes:
        kind: ``busy``: another process works on the run or has done it; ``lost``: another one
            took it over; ``refused``: by the disk, which will refuse the other runs, too;
            ``note``: a message for the user; ``paced``: its pace was measured; ``measured``: a
            measurement, or a soup, is in the store, or predictions are in their file;
            ``benched``: a run was timed; ``capacity``: of no run: the worker works best with so
            many at once.
        step, steps: done and in all.
        images_per_s: training images a second.
        train_loss, val_top1: of the last evaluation.
        evaluated: the step of that evaluation; a run in progress tells of each.
        message: why it failed, the note, or what is done in a run that is timed.
        details: of a run that was timed, what ``vitexp.training.bench.bench`` gives; as
            progress of one whose pace is measured, its :class:`vitexp.runs.times.Times` so far.
        capacity: runs at the same time.
        crashed: of what failed, whether the device or the process went with it.
    """

    kind: Kind
    run_id: str
    step: int = 0
    steps: int = 0
    images_per_s: float | None = None
    train_loss: float | None = None
    val_top1: float | None = None
    test_top1: float | None = None
    message: str = ""
    details: dict[str, Any] | None = None
    capacity: int = 1
    crashed: bool = False
    evaluated: int | None = None

    def line(self) -> str:
        return json.dumps(dataclasses.asdict(self)) + "\n"

    @classmethod
    def parse(cls, line: str) -> Event:
        return cls(**json.loads(line))
