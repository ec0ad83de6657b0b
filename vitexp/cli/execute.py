"""The one loop behind every command that trains: ask which runs are missing, and run those."""

from __future__ import annotations

import os
import shlex
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import typer

from vitexp.cli import live, screen
from vitexp.errors import VitexpError
from vitexp.experiment.plan import Plan
from vitexp.launch import devices, local
from vitexp.launch.events import Event
from vitexp.launch.machine import CHECKPOINT_SECONDS, Machine
from vitexp.models.memory import check_fits
from vitexp.reporting.described import facts, images_words, shared
from vitexp.runs import notes
from vitexp.runs.files import TEMPORARY
from vitexp.runs.notes import Note
from vitexp.runs.options import ExecutionOptions
from vitexp.runs.plans import Key
from vitexp.runs.record import Results
from vitexp.runs.store import Store, ready
from vitexp.settings.base import Base
from vitexp.settings.finetune import resolve_finetune
from vitexp.settings.flags import Settings
from vitexp.settings.model import check_model
from vitexp.settings.run import resolve
from vitexp.spec import Copy, ProbeKind, RunSpec, own_probe
from vitexp.trackers import destinations
from vitexp.trackers.sink import Sinks, following

Planner = Callable[[Results], Plan]
Label = Callable[[Key], tuple[str, str]]
"""Row and column of a cell."""


def machine_of(settings: Settings) -> Machine:
    """What ``settings`` come to on this machine.

    Raises:
        VitexpError: a device that is not there, or a folder that cannot be written.
    """
    out = Path(settings.out or ".")
    check_writable(out)
    found = devices.resolve(settings.device or "auto")
    return Machine(
        out=out,
        devices=found,
        asked=settings.jobs,
        precision=devices.precision(settings.precision or "auto", found[0]),
        keep=settings.keep is not False,
        checkpoint_seconds=settings.checkpoint_seconds or CHECKPOINT_SECONDS,
        options=ExecutionOptions(
            deterministic=bool(settings.deterministic),
            micro_batch=settings.micro_batch,
            grad_checkpointing=bool(settings.grad_checkpointing),
            compiled=settings.compile,
            strict=bool(settings.strict),
        ),
        yes=bool(settings.yes),
        note=Note(settings.name or "", tuple(settings.tag or ())),
        track=tuple(map(str, destinations(settings.track or ()))),
    )


def prepare(settings: Settings, seeds: int) -> tuple[Machine, Base]:
    """The machine and the base run that ``settings`` ask for.

    Raises:
        VitexpError: whatever is wrong with them; nothing is written before.
    """
    machine = machine_of(settings)
    with live.counting(screen.stderr()) as progress:
        return machine, resolve(settings, machine.precision, seeds, progress, screen.say)


def prepare_finetune(
    settings: Settings, source: str, rates: tuple[float, ...], copy: Copy | None
) -> tuple[Machine, Base]:
    """The machine and the fine-tune of ``source`` that ``settings`` ask for.

    Raises:
        VitexpError: whatever is wrong with them; nothing is written before.
    """
    machine = machine_of(settings)
    if not machine.keep:
        raise VitexpError("--no-keep leaves no weights to start from.", "Leave it out.")
    with live.counting(screen.stderr()) as progress:
        base = resolve_finetune(
            settings,
            source,
            rates,
            Store(machine.out),
            machine.precision,
            progress,
            screen.say,
            copy,
        )
    return machine, base


def check_writable(out: Path) -> None:
    """Refuse an out folder in which nothing can be made; nothing stays of the try.

    Raises:
        VitexpError: a file is in the way, or the folder may not be written.
    """
    there = next(path for path in (out, *out.absolute().parents) if path.exists())
    if not there.is_dir():
        raise VitexpError(f"--out {out}: {there} is a file.", "Choose a folder with --out.")
    if not os.access(there, os.W_OK | os.X_OK):
        raise VitexpError(
            f"--out {out}: {there} is read-only.", "Choose a folder that you may write to."
        )
    # What may be written to by its permissions may be no place for folders, such as /proc.
    try:
        os.rmdir(tempfile.mkdtemp(prefix=TEMPORARY, dir=there))
    except OSError as error:
        raise VitexpError(
            f"--out {out}: nothing can be made in {there}: {error.strerror}.",
            "Choose a folder that you may write to.",
        ) from error


def planned(plan: Planner, done: Results, machine: Machine) -> Plan:
    """A plan whose models are checked.

    Raises:
        VitexpError: no runs, a planned model whose sizes do not fit one another, or one that is
            too big for the machine.
    """
    found = plan(done)
    if not found.runs:
        raise VitexpError("The study plans no runs.", "Its plan() has to return at least one.")
    device = machine.devices[0]
    # Each CUDA device has its own memory; runs on the CPU share the host's.
    jobs = -(-machine.jobs(len(found.runs)) // len(machine.devices))
    for model in {spec.model for spec in found.runs}:
        check_model(model)
        recompute = machine.options.grad_checkpointing
        check_fits(model, jobs, devices.memory(device), device, recompute)
    return found


def execute(machine: Machine, plan: Planner, label: Label) -> bool:
    """Run what a plan lacks until it lacks nothing.

    Returns:
        whether each planned run ended well.

    Raises:
        typer.Exit: with code 128 + the signal's number (130 for Ctrl-C), after a
            word on how to go on, where it was interrupted.
    """
    with following(destinations(machine.track), machine.out, screen.say) as sinks:
        return _executed(machine, plan, label, sinks)


def _executed(machine: Machine, plan: Planner, label: Label, sinks: Sinks) -> bool:
    store = Store(machine.out)
    well, ran = True, 0
    done = store.results()
    found = planned(plan, done, machine)
    store.tidy(done[spec.id] for spec in found.runs if spec.id in done)
    screen.say(setting(found.runs))
    _note(machine, found)
    while todo := store.missing(found.runs):
        called = labelled(found, label)
        outcome = _wave(machine, found.runs, ready(todo), store.results(), called, sinks)
        ran += len(outcome.done) + len(outcome.diverged)
        well = not outcome.failed
        if outcome.signal is not None:
            _interrupted(len(store.missing(found.runs)), outcome.signal)
        if outcome.failed:
            _failed(outcome.failed, {spec.id: spec for spec in found.runs}, called, store)
            break
        assert outcome.done or outcome.diverged
        found = planned(plan, store.results(), machine)
        _note(machine, found)
    if well and not ran:
        screen.say(f"Nothing to run: {screen.count(len(found.runs), 'run')} done already.")
    return well and not _diverged(found.runs, store.results(), labelled(found, label))


def measure(machine: Machine, plan: Planner, kind: ProbeKind) -> bool:
    """Measure the finished runs of a plan that were not measured yet; what is found stays with
    them.

    Returns:
        whether each could be measured.
    """
    store = Store(machine.out)
    done = store.results()
    runs = [run for run in plan(done).runs if run.id in done and done[run.id].status == "done"]
    asked = [(run, own_probe(run, kind)) for run in runs]
    todo = [(run, probe) for run, probe in asked if store.measurement(run, probe) is None]
    if not todo:
        return True
    screen.say(f"{screen.count(len(todo), 'run')} to measure.")
    failed = local.measure(list(todo), machine)
    for run, message in failed.items():
        screen.say(f"Failed: {run}: {message}")
    return not failed


def _note(machine: Machine, plan: Plan) -> None:
    """Write down what the runs of a plan are to be called."""
    name, tags = machine.note.name or None, machine.note.tags
    if name or tags:
        notes.note(machine.out, (spec.id for spec in plan.runs), name, tags)


def labelled(plan: Plan, label: Label) -> live.Label:
    """Row and column of the cell of a run."""
    return lambda spec: label(plan.keys[spec.id])


def setting(specs: Sequence[RunSpec]) -> str:
    """What the runs of a plan have in common, in one line."""
    return ", ".join(shared([_setting(spec) for spec in specs]))


def _setting(spec: RunSpec) -> dict[str, str]:
    data, recipe = spec.data, spec.recipe
    return facts(spec) | {
        "data": f"{data.name} ({data.image_size} px; {images_words(data)})",
        "size": "",
        "batch": f"batch {recipe.batch}",
        "preset": f"recipe {recipe.name}" if recipe.name else "",
        "precision": spec.precision,
    }


def _wave(
    machine: Machine,
    specs: list[RunSpec],
    todo: list[RunSpec],
    done: Results,
    label: live.Label,
    sinks: Sinks,
) -> local.Outcome:
    top1 = {s.id: done[s.id].metrics.get("test_top1") for s in specs if s.id in done}
    progress = live.Progress(
        specs={spec.id: spec for spec in specs},
        label=label,
        top1={run: value for run, value in top1.items() if value is not None},
        todo={spec.id for spec in todo},
    )
    had = sum(spec.id in done for spec in specs)
    later = f", {len(specs) - had - len(todo)} after them" if len(specs) > had + len(todo) else ""
    screen.say(f"{screen.count(len(todo), 'run')} to do, {had} done already{later}.")
    jobs = machine.jobs(len(specs))
    with live.display(progress, screen.stderr()) as display:

        def tell(event: Event) -> None:
            display(event)
            sinks(event)
            for line in sinks.news():
                display(Event("note", event.run_id, message=line))

        return local.launch(todo, machine, jobs, tell)


def _interrupted(left: int, signal: int) -> None:
    again = shlex.join(["vitexp", *sys.argv[1:]])
    runs = screen.count(left, "run")
    screen.say(f"Interrupted with {runs} to do; what was under way goes on from checkpoints with:")
    screen.say(f"  {again}")
    raise typer.Exit(128 + signal)


def _diverged(specs: list[RunSpec], done: Results, label: live.Label) -> bool:
    lost = [s for s in specs if s.id in done and done[s.id].status == "diverged"]
    for spec in lost:
        how = done[spec.id].execution
        good = how.get("last_good_step")
        screen.say(
            f"Diverged at step {how['diverged_at_step']}: {spec.id} ({live.name(spec, label)}) "
            f"has no accuracy; {'no checkpoint' if good is None else f'checkpoint of step {good}'}."
        )
    if lost:
        screen.say("Their loss stopped being finite: try a lower --lr or a longer --warmup.")
    return bool(lost)


def _failed(
    failed: dict[str, str], specs: dict[str, RunSpec], label: live.Label, store: Store
) -> None:
    alike: dict[str, list[str]] = {}
    for run, message in failed.items():
        alike.setdefault(message, []).append(run)
    for message, (first, *others) in alike.items():
        more = f" and {screen.count(len(others), 'other')}" if others else ""
        screen.say(f"Failed: {first} ({live.name(specs[first], label)}){more}: {message}")
        if (log := store.failure(first)).exists():
            screen.say(f"  {log}")
    screen.say("The same command tries the failed runs again.")
