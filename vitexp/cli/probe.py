"""``vitexp probe``: what the features of a run or of a checkpoint are worth on some data set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import typer

from vitexp.cli.flags import Json, Out, with_reading
from vitexp.cli.options import Deterministic, Device, ModelOfFile, Things, Weights, copy_of
from vitexp.errors import VitexpError, unknown
from vitexp.spec import ProbeKind, Reading, own_probe

if TYPE_CHECKING:
    from vitexp.runs.measurement import Measurement
    from vitexp.runs.store import Store
    from vitexp.spec import Checkpoint, Copy, ProbeSpec, RunSpec

_BIAS = ("top1", "shift", "shuffle", "hidden", "map_shift", "reach")
"""What is shown of this measurement; --json has all of it."""


@dataclass(frozen=True)
class _Asked:
    """One thing to probe.

    Attributes:
        name: a run's id, or a file's path.
        of, probe: what to measure, and on which images.
    """

    name: str
    of: RunSpec | Checkpoint
    probe: ProbeSpec


@with_reading
def probe(
    reading: Reading,
    things: Things,
    dataset: Annotated[
        str, typer.Option(help="as for train: the images to probe on [the run's]")
    ] = "",
    kind: Annotated[
        str, typer.Option(help="few-shot, or bias: what stays when test images are changed")
    ] = "few-shot",
    model: ModelOfFile = None,
    weights: Weights = None,
    device: Device = "auto",
    deterministic: Deterministic = False,
    out: Out = Path("."),
    json: Json = False,
) -> None:
    """Probe runs or checkpoint files with a linear map learned from a few images a class.

    Nothing is trained but that map; the answer is kept with the run, or by a file's SHA-256.
    Weights have to be there: a run of --no-keep has none. Bias is of runs, on their own images, as
    `ablate bias` measures it.
    """
    from vitexp.cli import screen
    from vitexp.launch import devices, local
    from vitexp.launch.machine import Machine
    from vitexp.runs.options import ExecutionOptions
    from vitexp.runs.store import Store

    store, copy = Store(out), copy_of(weights)
    on = dataset, reading
    chosen = _kind(kind)
    if chosen == "bias":
        _check_bias(things, dataset)
        asked = [_own(thing, store) for thing in dict.fromkeys(things)]
    else:
        asked = [_asked(thing, store, on, model, copy) for thing in dict.fromkeys(things)]
    todo = [(a.of, a.probe) for a in asked if store.measurement(a.of, a.probe) is None]
    options = ExecutionOptions(deterministic=deterministic)
    machine = Machine(out, devices.resolve(device), options=options)
    failed = local.measure(todo, machine) if todo else {}
    names = {a.of.id: a.name for a in asked}
    for subject, message in failed.items():
        screen.say(f"Failed: {names[subject]}: {message}")
    made = [(a, m) for a in asked if (m := store.measurement(a.of, a.probe))]
    if made or json:
        _show(made, json)
    if failed:
        raise typer.Exit(1)


def _kind(text: str) -> ProbeKind:
    kinds = get_args(ProbeKind)
    if (kind := text.replace("-", "_")) not in kinds:
        raise unknown("--kind", text, [each.replace("_", "-") for each in kinds])
    return cast("ProbeKind", kind)


def _check_bias(things: list[str], dataset: str) -> None:
    from vitexp.runs.weights_file import names_file

    if dataset or any(map(names_file, things)):
        raise VitexpError(
            "--kind bias is measured on the test images of runs.",
            "Name runs, and leave --dataset out.",
        )


def _own(thing: str, store: Store) -> _Asked:
    """The bias of a run."""
    spec = store.find(thing).readable()
    store.weights(spec.id)
    return _Asked(spec.id, spec, own_probe(spec, "bias"))


def _asked(
    thing: str, store: Store, on: tuple[str, Reading], model: str | None, copy: Copy | None
) -> _Asked:
    from vitexp.cli import screen
    from vitexp.cli.execute import check_writable
    from vitexp.runs.weights_file import names_file
    from vitexp.tasks.probe import probe_of, probe_of_file

    if names_file(thing):
        check_writable(store.out)
        return _Asked(thing, *probe_of_file(Path(thing), model, *on, screen.say, copy))
    spec = store.find(thing).readable()
    return _Asked(spec.id, spec, probe_of(spec, *on, store, screen.say))


def _show(made: list[tuple[_Asked, Measurement]], json: bool) -> None:
    from vitexp.cli import screen

    if json:
        return screen.emit([_row(asked, measurement) for asked, measurement in made])
    names = sorted(
        {name for _, m in made for name in _shown(m)}, key=lambda name: (len(name), name)
    )
    rows = [
        (
            asked.name,
            asked.of.model.name,
            m.probe.data.name,
            *(screen.percent(m.values.get(name)) for name in names),
        )
        for asked, m in made
    ]
    heads = [_head(name) for name in names]
    screen.table(("weights", "model", "data", *heads), rows, right=heads)


def _head(name: str) -> str:
    if name in _BIAS:
        return f"{name.replace('_', ' ')} %"
    return name.removeprefix("few_shot_").removesuffix("_top1") + "-shot %"


def _shown(measurement: Measurement) -> list[str]:
    """What a table has room for."""
    if measurement.probe.kind == "bias":
        return [name for name in _BIAS if name in measurement.values]
    return list(measurement.values)


def _row(asked: _Asked, measurement: Measurement) -> dict[str, Any]:
    return {
        "id": measurement.id,
        "run": asked.name,
        "probe": measurement.probe.kind,
        "data": measurement.probe.data.name,
        **measurement.values,
        **{k: v for k, v in measurement.execution.items() if k == "few_shot"},
    }
