"""``vitexp probe``: what a finished run's features are worth on some data set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitexp.cli.flags import Json, Out
from vitexp.cli.runs import Ids

if TYPE_CHECKING:
    from vitexp.runs.measurement import Measurement
    from vitexp.spec import RunSpec


def probe(
    runs: Ids,
    dataset: Annotated[
        str, typer.Option(help="as for train: the images to probe on [the run's]")
    ] = "",
    device: Annotated[str, typer.Option(help="auto, cpu, mps, cuda or cuda:0")] = "auto",
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="the same bits again, also on CUDA")
    ] = False,
    out: Out = Path("."),
    json: Json = False,
) -> None:
    """Probe finished runs with a linear map learned from a few images a class.

    Nothing is trained but that map, and the run stays as it is; the answer is kept with it.
    """
    from vitexp.cli import screen
    from vitexp.launch import devices, local
    from vitexp.runs.store import Store
    from vitexp.runs.wishes import Wishes
    from vitexp.studies.probing import probe_of

    store = Store(out)
    specs = {entry.id: entry.spec for start in runs if (entry := store.find(start)).spec}
    asked = {run: probe_of(spec, dataset, store, screen.say) for run, spec in specs.items()}
    todo = [(specs[run], p) for run, p in asked.items() if store.measurement(run, p) is None]
    found = devices.resolve(device)
    jobs, how = devices.jobs(found, None, len(todo)), Wishes(deterministic=deterministic)
    failed = local.measure(todo, out, found, jobs, how) if todo else {}
    for run, message in failed.items():
        screen.say(f"Failed: {run}: {message}")
    made = [m for run, p in asked.items() if (m := store.measurement(run, p))]
    _show(made, specs, json)
    if failed:
        raise typer.Exit(1)


def _show(made: list[Measurement], specs: dict[str, RunSpec], json: bool) -> None:
    from vitexp.cli import screen

    if json:
        return screen.emit([_row(measurement) for measurement in made])
    names = sorted({name for m in made for name in m.values}, key=lambda name: (len(name), name))
    rows = [
        (
            m.run_id,
            specs[m.run_id].model.name,
            m.probe.data.name,
            *(screen.percent(m.values.get(name)) for name in names),
        )
        for m in made
    ]
    heads = [name.removeprefix("few_shot_").removesuffix("_top1") + "-shot %" for name in names]
    screen.table(("run", "model", "data", *heads), rows, right=heads)


def _row(measurement: Measurement) -> dict[str, Any]:
    data = measurement.probe.data
    return {
        "id": measurement.id,
        "run": measurement.run_id,
        "probe": measurement.probe.kind,
        "data": data.name,
        **measurement.values,
        "few_shot": measurement.execution["few_shot"],
    }
