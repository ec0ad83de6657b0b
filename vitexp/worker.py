"""A worker process: reads runs from standard input, trains them, tells how it goes.

``python -m vitexp.worker --out DIR --device cpu --checkpoint-seconds 60``; the protocol is in
``launch/events.py``. It ends when its standard input does, so it does not outlive whoever
started it.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import io
import json
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

import torch
from safetensors.torch import save as save_weights

from vitexp.datasets.image_set import ImageSet
from vitexp.datasets.load import images_of
from vitexp.datasets.noise import NOISE, noise
from vitexp.errors import VitexpError
from vitexp.launch.events import LESS_MEMORY, Event
from vitexp.models.weights.files import check, fitted
from vitexp.models.weights.header import header, model_in
from vitexp.models.weights.sources import open_source
from vitexp.runs.files import DiskError, file_hash
from vitexp.runs.lease import Fenced, Lease
from vitexp.runs.soup import Soups
from vitexp.runs.store import Store
from vitexp.runs.wishes import Wishes
from vitexp.spec import (
    Checkpoint,
    DataSpec,
    FromFile,
    FromRun,
    Init,
    ProbeSpec,
    RunSpec,
    SoupSpec,
    from_json,
)
from vitexp.studies.probing import check_channels
from vitexp.training.bench import bench
from vitexp.training.loop import Progress, State, train
from vitexp.training.measure import measure
from vitexp.training.probe import seconds_per_step
from vitexp.training.soup import cook
from vitexp.training.start import Start

PROGRESS_SECONDS = 0.25


class Worker:
    """One device, one run at a time."""

    def __init__(self, out: Path, device: str, checkpoint: float, events: TextIO) -> None:
        self.store = Store(out)
        self.checkpoint_seconds = checkpoint
        self.device = torch.device(device)
        self.events = events
        self.stop = threading.Event()
        self._data: tuple[DataSpec, ImageSet] | None = None

    def serve(self, orders: TextIO) -> None:
        """Works until ``orders`` end or somebody says stop."""
        todo: queue.Queue[dict[str, Any] | None] = queue.Queue()
        threading.Thread(target=self._listen, args=(orders, todo), daemon=True).start()
        while not self.stop.is_set() and (order := todo.get()) is not None:
            self._obey(order)

    def _listen(self, orders: TextIO, todo: queue.Queue[dict[str, Any] | None]) -> None:
        for line in orders:
            todo.put(json.loads(line))
        self.stop.set()
        todo.put(None)

    def _obey(self, order: dict[str, Any]) -> None:
        wishes = Wishes(**order.get("wishes", {}))
        means = {"threads": order["threads"], "wishes": wishes, "memory": order.get("memory")}
        if "soup" in order:
            soup = from_json(SoupSpec, order["soup"])
            return self._watched(soup.id, lambda: self._cook(soup, order["threads"]))
        if "measure" in order:
            probe, of = from_json(ProbeSpec, order["measure"]), _subject(order)
            threads = order["threads"]
            return self._watched(of.id, lambda: self._measure(of, probe, threads, wishes))
        spec = from_json(RunSpec, order.get("run") or order.get("probe") or order["bench"])
        return self._watched(spec.id, lambda: self._train_or_time(spec, order, means))

    def _train_or_time(self, spec: RunSpec, order: dict[str, Any], means: dict[str, Any]) -> None:
        if "probe" in order:
            pace = seconds_per_step(spec, self._images(spec.data), self.device, **means)
            self.tell(Event("probe", spec.id, seconds_per_step=pace))
        elif "bench" in order:
            self._bench(spec, order["seconds"], means)
        else:
            self._work(spec, order["keep"], means)

    def _watched(self, name: str, work: Callable[[], None]) -> None:
        """Does ``work`` and tells what came in between."""
        try:
            work()
        except Fenced as error:
            self.tell(Event("lost", name, message=str(error)))
        except DiskError as error:
            self.tell(Event("refused", name, message=str(error)))
        except Exception as error:
            self.tell(Event("failed", name, message=_reason(error)))

    def _work(self, spec: RunSpec, keep: bool, means: dict[str, Any]) -> None:
        lease = self.store.lease(spec)
        if lease is None:
            self.tell(Event("busy", spec.id))
            return
        try:
            self._train(spec, lease, keep, means)
        except (Fenced, DiskError):
            raise
        except Exception as error:
            lease.fail(traceback.format_exc())
            raise error
        finally:
            lease.release()

    def _train(self, spec: RunSpec, lease: Lease, keep: bool, means: dict[str, Any]) -> None:
        images = self._images(spec.data)
        start = self._start(spec.init) if spec.init else None
        host = LeaseHost(self, lease)
        self.tell(Event("start", spec.id, steps=spec.recipe.steps))
        finished = train(spec, images, host, self.device, start=start, **means)
        if finished is None:
            self.tell(Event("stopped", spec.id, step=host.step, steps=spec.recipe.steps))
            return
        record, tensors = finished
        weights = None
        if keep and record.status == "done":
            weights = save_weights(tensors, metadata=header(spec.model))
            sha = hashlib.sha256(weights).hexdigest()
            record = record.with_weights(sha)
        host.log(record.curve)
        lease.publish(record, weights)
        self.tell(
            Event(
                "done" if record.status == "done" else "diverged",
                spec.id,
                step=spec.recipe.steps,
                steps=spec.recipe.steps,
                images_per_s=record.metrics["images_per_s"],
                train_loss=record.metrics.get("train_loss"),
                val_top1=record.metrics.get("val_top1"),
                test_top1=record.metrics.get("test_top1"),
                message=str(record.execution.get("diverged_at_step", "")),
            )
        )

    def _measure(
        self, of: RunSpec | Checkpoint, probe: ProbeSpec, threads: int, wishes: Wishes
    ) -> None:
        torch.set_num_threads(threads)
        images = self._images(probe.data)
        if isinstance(of, Checkpoint):
            weights = _unchanged(of.file)
            model = model_in(weights) or fitted(of.model, weights)
            check(model, open_source(weights))
            check_channels(model, images)
        else:
            weights, model = self.store.weights(of.id), of.model
        reads = functools.partial(self.store.reads_test, of, probe)
        found = measure(of, model, weights, probe, images, self.device, wishes, reads)
        self.store.keep(of, found)
        self.tell(Event("measured", of.id))

    def _cook(self, spec: SoupSpec, threads: int) -> None:
        torch.set_num_threads(threads)
        weights, soups = {run: self.store.weights(run) for run in spec.runs}, Soups(self.store.out)
        runs = [self.store.result(run) for run in spec.runs]
        images = self._images(runs[0].spec.data)
        reads = functools.partial(soups.reads_test, spec)
        soup, content = cook(spec, runs, weights, images, self.device, reads)
        soups.keep(soup, content)
        self.tell(Event("measured", spec.id))

    def _bench(self, spec: RunSpec, seconds: float, means: dict[str, Any]) -> None:
        model, data = spec.model, spec.data
        made = data.source == NOISE
        images = noise(data, model.channels, model.classes) if made else self._images(data)
        found = bench(spec, images, self.device, seconds=seconds, **means)
        self.tell(Event("benched", spec.id, details=found))

    def _start(self, init: Init) -> Start:
        """Where a run's first weights are.

        Raises:
            VitexpError: the parent has none, or the file is not there or another one by now.
        """
        if isinstance(init, FromRun):
            path = self.store.weights(init.run)
            return Start(path, file_hash(path), init.tables == "fresh", init.head)
        return Start(_unchanged(init), init.sha256)

    def _images(self, data: DataSpec) -> ImageSet:
        """The data set of ``data``, kept for the next run.

        Raises:
            VitexpError: it is not the one that the spec was made from.
        """
        if self._data is None or self._data[0] != data:
            self._data = data, images_of(data)
        return self._data[1]

    def tell(self, event: Event) -> None:
        try:
            self.events.write(event.line())
            self.events.flush()
        except BrokenPipeError:
            self.stop.set()


class LeaseHost:
    """A run's host that keeps its checkpoints in the store."""

    def __init__(self, worker: Worker, lease: Lease) -> None:
        self.worker, self.lease, self.step = worker, lease, 0
        self._saved = self._told = time.monotonic()

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
        buffer = io.BytesIO()
        torch.save(state, buffer)
        self.log(state["curve"])
        self.lease.save(state["step"], buffer.getvalue())
        self._saved = time.monotonic()

    def log(self, curve: list[dict[str, float]]) -> None:
        if self.lease.log(curve):
            self.say("log.jsonl ended in half a line, which was dropped")

    def report(self, progress: Progress) -> None:
        self.step = progress.step
        now = time.monotonic()
        if now - self._told < PROGRESS_SECONDS:
            return
        self._told = now
        self.worker.tell(
            Event(
                "progress",
                self.lease.spec.id,
                progress.step,
                self.lease.spec.recipe.steps,
                progress.images_per_s,
                train_loss=progress.train_loss,
                val_top1=progress.val_top1,
            )
        )

    def checkpoint_due(self) -> bool:
        return time.monotonic() - self._saved > self.worker.checkpoint_seconds

    def stopping(self) -> bool:
        return self.worker.stop.is_set()

    def reads_test(self) -> int:
        return self.lease.reads_test()

    def say(self, message: str) -> None:
        self.worker.tell(Event("note", self.lease.spec.id, message=message))


def _subject(order: dict[str, Any]) -> RunSpec | Checkpoint:
    if "file" in order:
        return from_json(Checkpoint, order["file"])
    return from_json(RunSpec, order["of"])


def _unchanged(file: FromFile) -> Path:
    """Where a file is.

    Raises:
        VitexpError: it is not there, or another one by now.
    """
    path = Path(file.path)
    if not path.is_file() or file_hash(path) != file.sha256:
        raise VitexpError(
            f"{path} is no longer the file that it was when the command began.",
            "Put it back, or repeat the command with the file's new path.",
        )
    return path


def _reason(error: Exception) -> str:
    if isinstance(error, VitexpError):
        return str(error)
    if isinstance(error, torch.OutOfMemoryError):
        return f"The device ran out of memory.\n{LESS_MEMORY}"
    if "does not have a deterministic implementation" in str(error):
        return f"{str(error).partition(', but')[0]}.\nLeave out --deterministic."
    # PyTorch's allocator for the CPU has no error of its own.
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
        return f"The machine ran out of memory.\n{LESS_MEMORY}"
    return f"{type(error).__name__}: {error}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="vitexp.worker", description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", required=True)
    parser.add_argument("--checkpoint-seconds", type=float, required=True)
    arguments = parser.parse_args()
    # Whatever a library prints must not end up among the events.
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    worker = Worker(arguments.out, arguments.device, arguments.checkpoint_seconds, events)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: worker.stop.set())
    worker.serve(sys.stdin)
    # A thread that waits for standard input must not hold up the end.
    events.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
