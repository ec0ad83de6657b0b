"""What a run in a worker process needs from its surroundings."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

import torch
from torch.utils._pytree import tree_map_only

from vitexp.launch.events import Event
from vitexp.runs.lease import Lease
from vitexp.training.host import Progress, State

PROGRESS_SECONDS = 0.25


class LeaseHost:
    """A run's host that keeps its checkpoints in the store.

    To be left as a context: then what it has begun to write is written.

    Args:
        lease: of the run.
        tell: takes what happens to the run.
        stopping: whether the run has to end now.
        every: seconds between two checkpoints.
        in_thread: whether checkpoints are written by a thread, from a copy, while a device goes on.
        sharing: how many runs share the device at this moment, this one included.
    """

    def __init__(
        self,
        lease: Lease,
        tell: Callable[[Event], None],
        stopping: Callable[[], bool],
        every: float,
        in_thread: bool,
        sharing: Callable[[], int] = lambda: 1,
    ) -> None:
        self.lease, self.tell, self.stopping, self.step = lease, tell, stopping, 0
        self._sharing = sharing
        self._every = every
        self._saved = self._told = time.monotonic()
        self._evaluated: int | None = None
        self._thread = ThreadPoolExecutor(1) if in_thread else None
        self._writing: Future[None] | None = None

    def __enter__(self) -> LeaseHost:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._thread is not None:
            self._thread.shutdown()

    def restore(self) -> State | None:
        content, damaged = self.lease.restore()
        state: State | None = None
        if content is not None:
            state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
            self.step = state["step"]
        for path in damaged:
            self.say(f"{path.name} was damaged and removed; going on from step {self.step}")
        return state

    def save(self, state: State) -> None:
        self.settle()
        if self._thread is None:
            self._write(state)
        else:
            copy = tree_map_only(torch.Tensor, lambda t: t.to("cpu", copy=True), state)
            # What is not a tensor goes on to change, too.
            copy["curve"], copy["seconds"] = list(state["curve"]), dict(state["seconds"])
            self._writing = self._thread.submit(self._write, copy)
        self._saved = time.monotonic()

    def settle(self) -> None:
        """Waits until what was saved is on the disk.

        Raises:
            Fenced: a newer attempt has the run.
            DiskError: the disk is full or not writable.
        """
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def _write(self, state: State) -> None:
        buffer = io.BytesIO()
        torch.save(state, buffer)
        self.log(state["curve"])
        self.lease.save(state["step"], buffer.getvalue())

    def log(self, curve: list[dict[str, float]]) -> None:
        if self.lease.log(curve):
            self.say("log.jsonl ended in half a line, which was dropped")

    def report(self, progress: Progress) -> None:
        self.step = progress.step
        now = time.monotonic()
        if now - self._told < PROGRESS_SECONDS and progress.evaluated == self._evaluated:
            return
        self._told, self._evaluated = now, progress.evaluated
        self.tell(
            Event(
                "progress",
                self.lease.spec.id,
                progress.step,
                self.lease.spec.recipe.steps,
                progress.images_per_s / self._sharing(),
                train_loss=progress.train_loss,
                val_top1=progress.val_top1,
                evaluated=progress.evaluated,
            )
        )

    def checkpoint_due(self) -> bool:
        if self._writing is not None and self._writing.done():
            self.settle()
        return time.monotonic() - self._saved > self._every

    def reads_test(self) -> int:
        return self.lease.reads_test()

    def say(self, message: str) -> None:
        self.tell(Event("note", self.lease.spec.id, message=message))
