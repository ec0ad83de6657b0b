"""What has to work before anything is measured; each check takes seconds.

    python -m tools.cuda_proof.canary DEVICE CHECK...

A captured step is held against the plain one over 8 steps with all that is random in a recipe: its
losses may differ by ``LOSS`` of them, its weights by ``MOVED`` of how far they moved.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tests.processes import workers_of
from tools.bench.record import environment
from tools.cuda_proof.answers import Answers
from vitexp.catalog import sizes
from vitexp.datasets.image_set import ImageSet
from vitexp.datasets.noise import noise, noise_spec
from vitexp.models.build import build
from vitexp.models.masks import DeviceNoise, HostNoise
from vitexp.positions import POSITIONS, placements, position_spec
from vitexp.runs.options import ExecutionOptions
from vitexp.spec import ModelSpec, Precision, Recipe, RunSpec
from vitexp.training.batches import Batches
from vitexp.training.environment import synchronise
from vitexp.training.execution import Execution
from vitexp.training.fallback import first_line, usable
from vitexp.training.host import Progress, State, Waits
from vitexp.training.loop import Finished, train, training
from vitexp.training.sharing import ActiveRun, ActiveRuns
from vitexp.training.step import Step

STEPS = 8
LOSS, MOVED = 0.01, 0.05
"""How far the fast path may be from the plain one."""

STRICT = ExecutionOptions(strict=True)
"""What would be done another way has failed here."""

Found = dict[str, Any]
Check = Callable[[torch.device], Found]


class Wrong(Exception):
    """Something that ran gave a wrong result."""


def facts(device: torch.device) -> Found:
    """Versions and the device."""
    found = environment(str(device))
    if device.type == "cuda":
        made = torch.cuda.get_device_properties(device)
        found |= {
            "memory": made.total_memory,
            "multiprocessors": made.multi_processor_count,
            "capability": f"{made.major}.{made.minor}",
            "cudnn": torch.backends.cudnn.version(),
        }
    return found


def _run(model: ModelSpec, precision: Precision = "bf16", **changes: Any) -> RunSpec:
    recipe = Recipe(
        lr=1e-3,
        weight_decay=0.05,
        steps=STEPS,
        batch=32,
        warmup=2,
        evaluate_every=STEPS,
        clip=1.0,
        crop=True,
        flip=True,
        mixup=0.2,
        averaging=0.9,
    )
    data = noise_spec(model.image_size, train=256)
    return RunSpec(model, data, dataclasses.replace(recipe, **changes), 0, precision=precision)


@functools.cache
def _images(run: RunSpec) -> ImageSet:
    return noise(run.data, run.model.channels, run.model.classes)


Taken = tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]
"""Losses of the steps, the weights before and after them."""


def _taken(run: RunSpec, device: torch.device, how: Execution, memory: int | None = None) -> Taken:
    model = build(run.model, run.seed, run.recipe.dropout, run.recipe.stochastic_depth)
    first = {name: value.clone() for name, value in model.state_dict().items()}
    model.to(device)
    batches = Batches(_images(run).train, run.recipe, run.model.classes, 0, device, memory)
    step = Step(run, model, batches, device, how)
    losses = [step(0).clone()]
    with _never_waiting(device, how.captured and memory is None):
        losses += [step(number).clone() for number in range(1, STEPS)]
    last = {name: value.cpu() for name, value in model.state_dict().items()}
    return torch.stack(losses).cpu(), first, last


@contextmanager
def _never_waiting(device: torch.device, asked: bool) -> Iterator[None]:
    """Whatever waits for the device meanwhile is an error."""
    if device.type != "cuda" or not asked:
        yield
        return
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def _held(fast: Taken, plain: Taken) -> Found:
    """How far two ways to take the same steps are apart.

    Raises:
        Wrong: too far.
    """
    loss = float(((fast[0] - plain[0]).abs() / plain[0].abs()).max())
    apart, moved = (
        torch.stack([(one[2][n] - other[n]).float().norm() for n in one[2]]).norm()
        for one, other in ((fast, plain[2]), (plain, plain[1]))
    )
    weights = float(apart / moved)
    if not (loss <= LOSS and weights <= MOVED):
        raise Wrong(f"losses {loss:.2g} apart, weights {weights:.2g} of how far they went")
    return {"loss": loss, "weights": weights, "allowed": [LOSS, MOVED]}


def step_of(model: ModelSpec, device: torch.device) -> Found:
    """The captured step of a model."""
    run = _run(model)
    how = Execution(1, "hash", captured=True)
    return _held(_taken(run, device, how), _taken(run, device, Execution(1, "hash")))


SMALL = sizes.model("vit-xxs/2", 8, channels=1, classes=10)


def _models() -> Mapping[str, ModelSpec]:
    """Each position in each of its places, and the other families."""
    found = {}
    for kind in POSITIONS:
        for placement in placements(kind):
            position = position_spec(kind, placement, 0.5)
            vit = dataclasses.replace(SMALL.transformer, position=position)
            found[f"{kind}, {placement}"] = dataclasses.replace(SMALL, vit=vit)
    for name in ("r8", "r11", "r11x0.5+vit-xxs"):
        found[name] = sizes.model(name, 8, channels=1, classes=10)
    return found


def gap(device: torch.device) -> Found:
    """Without a class token."""
    vit = dataclasses.replace(SMALL.transformer, pool="gap")
    return step_of(dataclasses.replace(SMALL, vit=vit), device)


def masks(device: torch.device) -> Found:
    """Dropout and stochastic depth inside a graph."""
    run = _run(SMALL, dropout=0.1, stochastic_depth=0.1)
    how = Execution(1, "hash", captured=True)
    return _held(_taken(run, device, how), _taken(run, device, Execution(1, "hash")))


def generator(device: torch.device) -> Found:
    """Masks that the device's generator draws: the same ones again."""
    run = _run(SMALL, dropout=0.1)
    how = Execution(1, (DeviceNoise if device.type == "cuda" else HostNoise).source)
    return _held(_taken(run, device, how), _taken(run, device, how))


def parts(device: torch.device) -> Found:
    """A batch computed in parts, its blocks computed again, in a graph."""
    # A sum in another order: in bf16 the optimiser would make much of its rounding.
    run = _run(SMALL, "fp32")
    how = Execution(1, "hash", captured=True, micro_batch=12, grad_checkpointing=True)
    return _held(_taken(run, device, how), _taken(run, device, Execution(1, "hash")))


def streamed(device: torch.device) -> Found:
    """Images that come batch by batch, through pinned memory."""
    run, how = _run(SMALL), Execution(1, "hash", captured=True)
    return _held(_taken(run, device, how, memory=1000), _taken(run, device, how))


def sgd(device: torch.device) -> Found:
    run = _run(SMALL, optimizer="sgd", momentum=0.9)
    how = Execution(1, "hash", captured=True)
    return _held(_taken(run, device, how), _taken(run, device, Execution(1, "hash")))


def compiled(device: torch.device) -> Found:
    """Blocks compiled, and the graph around them."""
    run = _run(SMALL, "fp32")
    how = Execution(1, "hash", compiled=True, captured=device.type == "cuda")
    start = time.perf_counter()
    fast = _taken(run, device, how)
    seconds = round(time.perf_counter() - start, 1)
    return {"seconds": seconds, **_held(fast, _taken(run, device, Execution(1, "hash")))}


class Kept:
    """A host that keeps nothing and stops nothing."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def restore(self) -> State | None:
        return None

    def save(self, state: State) -> None:
        return None

    def report(self, progress: Progress) -> None:
        return None

    def checkpoint_due(self) -> bool:
        return False

    def stopping(self) -> bool:
        return False

    def reads_test(self) -> int:
        return 1

    def say(self, message: str) -> None:
        self.said.append(message)


def whole_run(device: torch.device) -> Found:
    """From the first weights to the record."""
    run, host = _run(SMALL, steps=40, evaluate_every=20), Kept()
    finished = train(run, _images(run), host, device, threads=1, options=STRICT)
    assert finished is not None
    record = finished[0]
    if record.status != "done":
        raise Wrong(f"the run ended as {record.status}")
    kept = ("captured", "compiled", "noise", "streamed", "micro_batch")
    return {**{name: record.execution.get(name) for name in kept}, "said": host.said}


def two_at_once(device: torch.device) -> Found:
    """Two runs that share the device end as they end alone."""
    runs = [_run(SMALL, steps=40).seeded(seed) for seed in range(2)]
    images, ends = _images(runs[0]), dict[int, Finished | None]()
    active = ActiveRuns(device, len(runs), lambda capacity: None)

    def begun(run: RunSpec, one: ActiveRun) -> Waits:
        ends[run.seed] = yield from training(run, images, Kept(), device, threads=1, options=STRICT)

    for run in runs:
        active.start("small", functools.partial(begun, run))
    while active:
        active.turn()
    apart = 0.0
    for run in runs:
        alone = train(run, images, Kept(), device, threads=1, options=STRICT)
        shared = ends[run.seed]
        assert alone is not None and shared is not None
        far = max(float((alone[1][n] - shared[1][n]).abs().max()) for n in alone[1])
        apart = max(apart, far)
    if apart > 0.01:
        raise Wrong(f"weights up to {apart:.2g} from those of the runs alone")
    return {"weights": apart}


PROGRAM = [sys.executable, "-c", "from vitexp.cli.main import main; main()"]


def _flags(device: torch.device, out: Path) -> list[str]:
    where = ["--out", str(out), "--device", str(device), "--strict"]
    return ["--dataset", "digits", *where, *(["--jobs", "1"] if device.type == "cpu" else [])]


def _vitexp(*words: str) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen([*PROGRAM, *words], stdout=pipe, stderr=subprocess.STDOUT, text=True)


def _well(program: subprocess.Popen[str]) -> str:
    said, _ = program.communicate()
    if program.returncode != 0:
        raise Wrong(f"exit code {program.returncode}: {said.strip().splitlines()[-1:]}")
    return said


def two_cells(device: torch.device) -> Found:
    """A grid through the command line."""
    with tempfile.TemporaryDirectory() as folder:
        grid = ["scale", "--models", "vit-xxs/2,r8", "--fractions", "100%", "--seeds", "1"]
        _well(_vitexp(*grid, "--steps", "20", *_flags(device, Path(folder))))
        records = [json.loads(p.read_text()) for p in Path(folder).glob("runs/*/result.json")]
        if sorted(record["status"] for record in records) != ["done", "done"]:
            raise Wrong(f"{[record['status'] for record in records]}")
        return {r["spec"]["model"]["name"]: r["metrics"]["test_top1"] for r in records}


def kill_and_resume(device: torch.device) -> Found:
    """SIGKILL of the program and its worker; the same command ends with the same bits."""
    with tempfile.TemporaryDirectory() as folder:
        train = ["train", "--model", "vit-xxs/2", "--steps", "1500", "--deterministic"]
        train += ["--checkpoint-seconds", "0.1"]
        whole, resumed = Path(folder, "whole"), Path(folder, "resumed")
        undisturbed = _vitexp(*train, *_flags(device, whole))
        killed = _vitexp(*train, *_flags(device, resumed))
        while not (saved := list(resumed.glob("runs/*/checkpoint-*"))) and killed.poll() is None:
            time.sleep(0.01)
        for process in (*workers_of(resumed), killed.pid):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        killed.wait()
        unfinished = not list(resumed.glob("runs/*/result.json"))
        _well(_vitexp(*train, *_flags(device, resumed)))
        _well(undisturbed)
        ends = [_sha(out) for out in (whole, resumed)]
        if ends[0] != ends[1]:
            raise Wrong("the weights differ from those of the run that was not killed")
        return {"checkpoints": len(saved), "killed_before_its_end": unfinished}


def _sha(out: Path) -> str:
    (weights,) = out.glob("runs/*/weights.safetensors")
    return hashlib.sha256(weights.read_bytes()).hexdigest()


ASIDE: dict[str, Check] = {"grid of two cells": two_cells, "kill and resume": kill_and_resume}
"""Checks of the command line, which go on beside the others."""

CHECKS: dict[str, Check] = {
    "facts": facts,
    **{name: functools.partial(step_of, model) for name, model in _models().items()},
    "gap": gap,
    "dropout, hashed masks": masks,
    "dropout, drawn masks": generator,
    "sgd": sgd,
    "parts of a batch": parts,
    "streamed images": streamed,
    "whole run": whole_run,
    "two runs at once": two_at_once,
    **ASIDE,
    "compiled blocks": compiled,
}


def main() -> None:
    answers, device = Answers(), torch.device(sys.argv[1])
    names = sys.argv[2:]
    with ThreadPoolExecutor(len(ASIDE)) as aside:
        running = {n: aside.submit(ASIDE[n], device) for n in names if n in ASIDE}
        for name in names:
            answers.say(name, "begun")
            try:
                value = _checked(name, device, running)
            except Exception as error:
                traceback.print_exc()
                answers.say(name, "failed", error=first_line(error)[:300])
                if not usable(device):
                    # Another process is started for the rest; this one must wait for nobody.
                    os._exit(1)
            else:
                answers.say(name, "done", value=value)


def _checked(name: str, device: torch.device, running: Mapping[str, Future[Found]]) -> Found:
    if name in running:
        return running[name].result()
    found = CHECKS[name](device)
    synchronise(device)
    return found


if __name__ == "__main__":
    main()
