"""``vitexp bench``: how fast a model trains on this device."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from vitexp.cli.flags import Json, with_settings
from vitexp.settings.flags import Settings


@with_settings
def bench(
    settings: Settings,
    seconds: Annotated[float, typer.Option(help="how long to measure", min=0.0)] = 10.0,
    json: Json = False,
) -> None:
    """Time training steps as a grid of such runs would take them: one run a core or device.

    Without --dataset the images are noise: RGB, 1000 classes, 128 a step unless --batch says
    otherwise. With --jobs 1 one run has all cores. Nothing is kept.
    """
    from vitexp.cli import live, screen
    from vitexp.cli.execute import machine_of
    from vitexp.launch import devices, local
    from vitexp.models.memory import check_fits
    from vitexp.tasks.bench import bench_run, summary

    machine = machine_of(settings)
    found = machine.devices
    with live.counting(screen.stderr()) as progress:
        spec = bench_run(settings, machine.precision, progress, screen.say)
    jobs = machine.jobs(max(devices.cores(), len(found)))
    check_fits(spec.model, -(-jobs // len(found)), devices.memory(found[0]), found[0])
    with tempfile.TemporaryDirectory() as out, live.timing(screen.stderr()) as timed:
        elsewhere = dataclasses.replace(machine, out=Path(out))
        measured = local.bench(spec, elsewhere, jobs, seconds, timed)
    value = {
        "model": spec.model.name,
        "image_size": spec.model.image_size,
        "batch": spec.recipe.batch,
        "precision": spec.precision,
        "devices": list(found),
        "jobs": jobs,
        "threads": machine.resources(jobs).threads,
        **summary(measured, spec.recipe.batch),
    }
    if json:
        return screen.emit(value)
    screen.table(("what", "value"), _lines(value))


def _lines(value: dict[str, Any]) -> list[tuple[str, str]]:
    from vitexp.cli import screen

    def milliseconds(name: str) -> str:
        return f"{1e3 * value[name]:.4g}"

    where = value["environment"]["device_name"]
    each = f", {value['threads']} thread each" if value["devices"] == ["cpu"] else ""
    spread = f"{milliseconds('step_low')} to {milliseconds('step_high')}"
    return [
        ("model", f"{value['model']}, {value['image_size']} px, {value['precision']}"),
        ("batch", str(value["batch"])),
        ("device", f"{where}; {value['jobs']} at the same time{each}"),
        ("images/s", f"{value['images_per_s']:.5g}"),
        ("step", f"{milliseconds('step_seconds')} ms (middle 80 %: {spread})"),
        ("achieved", f"{screen.amount(value['flops_per_s'])}FLOP/s"),
        ("peak", f"{screen.amount(value['peak_flops_per_s'])}FLOP/s, measured"),
        ("of peak", f"{screen.percent(value['utilisation'])} %"),
        ("memory", f"{screen.size(value['peak_memory'])} a process"),
    ]
