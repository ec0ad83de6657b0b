"""What a worker does: one order at a time, and on a CUDA device several runs in turns."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import queue
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import torch
from safetensors.torch import save as save_weights
from torch import Tensor

from vitexp.datasets.image_set import ImageSet
from vitexp.datasets.load import images_of
from vitexp.datasets.noise import NOISE, noise
from vitexp.errors import VitexpError
from vitexp.launch.events import LESS_MEMORY, Event
from vitexp.launch.orders import Average, Bench, Measure, Order, Pace, Predict, Train, parse
from vitexp.models.check import check_channels
from vitexp.models.weights.copies import open_weights
from vitexp.models.weights.files import fitted
from vitexp.models.weights.header import header, model_in
from vitexp.runs.files import DiskError, file_hash
from vitexp.runs.lease import A_WHILE, Fenced, Lease, alone
from vitexp.runs.record import RunRecord
from vitexp.runs.soup import Soups
from vitexp.runs.store import Store
from vitexp.runs.times import Times
from vitexp.runs.weights_file import unchanged
from vitexp.spec import (
    Checkpoint,
    DataSpec,
    FromRun,
    Init,
    ModelSpec,
    RunSpec,
    digest,
    identity,
)
from vitexp.training.bench import Stopwatch, bench
from vitexp.training.fallback import usable
from vitexp.training.host import Waits
from vitexp.training.loop import training
from vitexp.training.measure import measure
from vitexp.training.pace import measured
from vitexp.training.predict import predict, shown_batches, test_batches
from vitexp.training.sharing import ActiveRun, ActiveRuns, has_room
from vitexp.training.soup import average
from vitexp.training.start import Start
from vitexp.worker.host import LeaseHost

Lines = queue.Queue[str | None]


class Stopped(Exception):
    """The worker was stopped while it waited for another process."""


class Worker:
    """One device.

    Args:
        out: the folder that holds runs/.
        device: such as ``cuda:0``.
        checkpoint: seconds between two checkpoints of a run.
        events: where to tell what happens.
        together: runs at the same time, at most; it asks for as many as are faster together.
    """

    def __init__(
        self, out: Path, device: str, checkpoint: float, events: TextIO, together: int = 1
    ) -> None:
        self.store = Store(out)
        self.checkpoint_seconds = checkpoint
        self.device = torch.device(device)
        if self.device.type == "cuda":
            # What names no device must not take memory of the first one.
            torch.cuda.set_device(self.device)
        self.events = events
        self._telling = threading.Lock()
        self.stop = threading.Event()
        self.active = ActiveRuns(
            self.device, together, lambda runs: self.tell(Event("capacity", "", capacity=runs))
        )
        self._data: tuple[tuple[DataSpec, int], ImageSet] | None = None

    def serve(self, orders: TextIO) -> None:
        """Works until ``orders`` end or it is stopped."""
        todo: Lines = queue.Queue()
        threading.Thread(target=self._listen, args=(orders, todo), daemon=True).start()
        while not self.stop.is_set():
            if not self.active or not todo.empty():
                self._take(todo)
            else:
                self.active.turn()
        while self.active:
            self.active.turn()

    def _listen(self, orders: TextIO, todo: Lines) -> None:
        for line in orders:
            todo.put(line)
        self.stop.set()
        todo.put(None)

    def _take(self, todo: Lines) -> None:
        """The next order, once there is one and, where others run, there is memory for it."""
        line = todo.get()
        if line is None:
            return
        order = parse(line)
        while self.active and not self._has_room(order):
            self.active.turn()
        if not self.stop.is_set():
            self.carry_out(order)

    def _has_room(self, order: Order) -> bool:
        if not isinstance(order, Train):
            return not self.active
        return has_room(order.spec, self.device, order.resources.memory)

    def carry_out(self, order: Order) -> None:
        """Do what is asked; a run is only begun, and goes on in turns."""
        if isinstance(order, Train):
            kind = (digest(identity(order.spec.model)), order.spec.recipe.batch)
            return self.active.start(kind, lambda run: self._work(order, run))
        with self._watched(order.spec.id):
            match order:
                case Average():
                    self._average(order)
                case Measure():
                    self._measure(order)
                case Predict():
                    self._predict(order)
                case Pace():
                    self._pace(order)
                case Bench():
                    self._bench(order)

    @contextmanager
    def _watched(self, name: str) -> Iterator[None]:
        """Tells what came in between."""
        try:
            yield
        except Stopped:
            self.tell(Event("stopped", name))
        except Fenced as error:
            self.tell(Event("lost", name, message=str(error)))
        except DiskError as error:
            self.tell(Event("refused", name, message=str(error)))
        except Exception as error:
            # After some errors a CUDA device does nothing more for a process: it has to end then.
            fatal = isinstance(error, torch.AcceleratorError) or not usable(self.device)
            self.tell(Event("failed", name, message=_reason(error), crashed=fatal))
            if fatal:
                raise

    def _work(self, order: Train, run: ActiveRun) -> Waits:
        spec = order.spec
        with self._watched(spec.id):
            lease = self.store.lease(spec)
            if lease is None:
                self.tell(Event("busy", spec.id))
                return
            try:
                yield from self._train(order, lease, run)
            except (Fenced, DiskError):
                raise
            except Exception as error:
                lease.fail(traceback.format_exc())
                raise error
            finally:
                lease.release()

    def _train(self, order: Train, lease: Lease, run: ActiveRun) -> Waits:
        spec, resources = order.spec, order.resources
        images = self._images(spec.data, spec.model)
        start = self._start(spec.init) if spec.init else None
        host = LeaseHost(
            lease,
            self.tell,
            self.stop.is_set,
            self.checkpoint_seconds,
            in_thread=self.device.type == "cuda",
            sharing=self.active.__len__,
        )
        clock = functools.partial(self.active.seconds, run)
        with host:
            self.tell(Event("start", spec.id, steps=spec.recipe.steps))
            finished = yield from training(
                spec,
                images,
                host,
                self.device,
                resources.threads,
                start,
                resources.options,
                resources.memory,
                clock,
                order.crash,
            )
            host.settle()
            if finished is None:
                self.tell(Event("stopped", spec.id, step=host.step, steps=spec.recipe.steps))
                return
            record, tensors = finished
            host.log(record.curve)
        record.execution["together"] = run.most
        self._publish(record, tensors, lease, order.keep)

    def _publish(
        self, record: RunRecord, tensors: dict[str, Tensor], lease: Lease, keep: bool
    ) -> None:
        spec, weights = record.spec, None
        if keep and record.status == "done":
            weights = save_weights(tensors, metadata=header(spec.model))
            sha = hashlib.sha256(weights).hexdigest()
            record = record.with_weights(sha)
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

    def _measure(self, order: Measure) -> None:
        of, probe, options = order.spec, order.probe, order.resources.options
        torch.set_num_threads(order.resources.threads)
        weights, model = self._trained(of)
        images = self._images(probe.data, model)
        reads = functools.partial(self.store.reads_test, of, probe)
        with alone(self.store.folder_for(of), self._waiting):
            if self.store.measurement(of, probe) is None:
                found = measure(of, model, weights, probe, images, self.device, options, reads)
                self.store.keep(of, found)
        self.tell(Event("measured", of.id))

    def _trained(self, of: RunSpec | Checkpoint) -> tuple[Path, ModelSpec]:
        """The file with the weights of a run, or that was given, and their model."""
        if isinstance(of, RunSpec):
            return self.store.weights(of.id), of.model
        weights = unchanged(of.file)
        return weights, model_in(weights) or fitted(of.model, open_weights(weights, of.file.copy))

    def _predict(self, order: Predict) -> None:
        of, shown, device = order.spec, order.shown, self.device
        torch.set_num_threads(order.resources.threads)
        weights, model = self._trained(of)
        if shown.source is None:
            assert isinstance(of, RunSpec)
            images = self._images(of.data, model)
            self.store.looks_at_test(of.id)
            batches = test_batches(images, of.data, self.store.result(of.id), device)
        else:
            batches = shown_batches(shown, model, device)

        def count(done: int) -> None:
            if self.stop.is_set():
                raise Stopped
            self.tell(Event("progress", of.id, step=done))

        to, options = Path(shown.to), order.resources.options
        predict(of, model, weights, batches, to, device, options, count)
        self.tell(Event("measured", of.id))

    def _average(self, order: Average) -> None:
        spec = order.spec
        torch.set_num_threads(order.resources.threads)
        weights, soups = {run: self.store.weights(run) for run in spec.runs}, Soups(self.store.out)
        runs = [self.store.result(run) for run in spec.runs]
        images = self._images(runs[0].spec.data, runs[0].spec.model)
        reads = functools.partial(soups.reads_test, spec)
        with alone(soups.folder_for(spec), self._waiting):
            if soups.find(spec) is None:
                soup, content = average(spec, runs, weights, images, self.device, reads)
                soups.keep(soup, content)
        self.tell(Event("measured", spec.id))

    def _waiting(self) -> None:
        if self.stop.wait(A_WHILE):
            raise Stopped

    def _pace(self, order: Pace) -> None:
        spec, resources = order.spec, order.resources
        self.tell(Event("start", spec.id))
        images = self._images(spec.data, spec.model)

        def tell(times: Times, steps: int) -> None:
            self.tell(Event("progress", spec.id, steps, details=dataclasses.asdict(times)))

        measured(
            spec,
            images,
            self.device,
            resources.threads,
            resources.options,
            resources.memory,
            order.seconds,
            tell,
        )
        self.tell(Event("paced", spec.id))

    def _bench(self, order: Bench) -> None:
        spec, resources = order.spec, order.resources
        model, data = spec.model, spec.data
        made = data.source == NOISE
        images = noise(data, model.channels, model.classes) if made else self._images(data, model)

        def report(what: str, steps: int) -> None:
            self.tell(Event("progress", spec.id, step=steps, message=what))

        def note(message: str) -> None:
            self.tell(Event("note", spec.id, message=message))

        watch = Stopwatch(self.device, order.seconds, report, note, self.stop.is_set)
        found = bench(spec, images, watch, resources.threads, resources.options, resources.memory)
        if self.stop.is_set():
            raise Stopped
        self.tell(Event("benched", spec.id, details=found))

    def _start(self, init: Init) -> Start:
        """Where a run's first weights are.

        Raises:
            VitexpError: the parent has none, or the file is not there or another one by now.
        """
        if isinstance(init, FromRun):
            path = self.store.weights(init.run)
            return Start(path, file_hash(path), init.tables == "fresh", init.head)
        return Start(unchanged(init), init.sha256, copy=init.copy)

    def _images(self, data: DataSpec, model: ModelSpec) -> ImageSet:
        """The data set of ``data`` as ``model`` sees it, kept for the next run.

        Raises:
            VitexpError: it is not the one that the spec was made from, or has colours that the
                model does not know.
        """
        key = (data, model.channels)
        if self._data is None or self._data[0] != key:
            self._data = key, images_of(data, model.channels)
        check_channels(model, self._data[1])
        return self._data[1]

    def tell(self, event: Event) -> None:
        try:
            with self._telling:
                self.events.write(event.line())
                self.events.flush()
        except BrokenPipeError:
            self.stop.set()


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
