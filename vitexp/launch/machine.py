"""Where and how runs run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vitexp.launch import devices
from vitexp.launch.orders import Resources
from vitexp.runs.notes import NO_NOTE, Note
from vitexp.runs.options import DEFAULTS, ExecutionOptions
from vitexp.spec import Precision

CHECKPOINT_SECONDS = 60.0
"""Between two checkpoints of a run."""


@dataclass(frozen=True)
class Machine:
    """What a launch has at hand.

    Attributes:
        out: the folder that holds runs/.
        devices: such as ``("cuda:0", "cuda:1")``; worker i works on device i modulo their number.
        asked: how many runs at the same time were asked for.
        precision: of the arithmetic.
        keep: whether final weights stay.
        checkpoint_seconds: between two checkpoints of a run: how much work a kill may cost.
        options: how runs are computed.
        yes: whether what takes long begins without a question.
        note: what the runs are to be called.
        track: trackers that follow them, each as it is written on the command line.
    """

    out: Path
    devices: tuple[str, ...] = ("cpu",)
    asked: int | None = None
    precision: Precision = "fp32"
    keep: bool = True
    checkpoint_seconds: float = CHECKPOINT_SECONDS
    options: ExecutionOptions = DEFAULTS
    yes: bool = False
    note: Note = NO_NOTE
    track: tuple[str, ...] = ()

    def jobs(self, runs: int) -> int:
        """How many of ``runs`` runs go on at the same time, all devices together."""
        return devices.jobs(self.devices, self.asked, runs)

    @property
    def together(self) -> int:
        """How many runs each of these jobs may come to, where that is faster."""
        return devices.together(self.devices, self.asked)

    def resources(self, jobs: int) -> Resources:
        """What each of so many orders at the same time may take."""
        each = [size for device in self.devices if (size := devices.memory(device)) is not None]
        memory = min(each) // -(-jobs // len(self.devices)) if each else None
        return Resources(max(1, devices.cores() // jobs), memory, self.options)
