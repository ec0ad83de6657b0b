"""The run that ``vitexp bench`` times, and what its processes' times come to."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from statistics import median, quantiles
from typing import Any

from vitexp.catalog import sizes
from vitexp.datasets.load import Progress
from vitexp.datasets.noise import noise, noise_spec
from vitexp.models.count import TRAINING_FLOPS
from vitexp.settings.flags import Settings
from vitexp.settings.model import Wanted
from vitexp.settings.run import resolve, resolve_on
from vitexp.spec import Precision, RunSpec

BATCH = 128
"""Images a step where no batch is asked for."""

STEPS = 100_000
"""A run that is long enough for whatever speeds up long runs."""

_SIDE, _CHANNELS, _CLASSES = 32, 3, 1000


def bench_run(
    settings: Settings, precision: Precision, progress: Progress, remark: Callable[[str], None]
) -> RunSpec:
    """What ``settings`` ask for, on noise where they name no data set.

    Noise has three channels, 1,000 classes and the size with which the model is listed.

    Raises:
        VitexpError: settings that do not fit one another or the data.
    """
    chosen = dataclasses.replace(settings, batch=settings.batch or BATCH)
    if settings.epochs is None:
        chosen = dataclasses.replace(chosen, steps=settings.steps or STEPS)
    if settings.dataset is not None:
        return resolve(chosen, precision, progress=progress, remark=remark).run
    wanted = Wanted.of(chosen)
    usual = sizes.usual_side(wanted.named) if wanted.named else _SIDE
    data = noise_spec(wanted.resolution or usual, train=2 * (settings.batch or BATCH))
    return resolve_on(chosen, data, noise(data, _CHANNELS, _CLASSES), precision)


def summary(measured: Sequence[dict[str, Any]], batch: int) -> dict[str, Any]:
    """What processes that trained side by side achieved together.

    Args:
        measured: what ``vitexp.training.bench.bench`` gave in each.
        batch: images a step.

    Returns:
        ``images_per_s`` of all together; ``step_seconds`` of one, its median and the deciles
        ``step_low``, ``step_high``; ``flops_per_s``, ``peak_flops_per_s`` and their ratio
        ``utilisation`` (None for a model that cannot be counted); ``peak_memory`` of the largest.
    """
    windows = _together([one["windows"] for one in measured])
    rate = sum(
        batch * sum(steps for *_, steps in one) / sum(end - start for start, end, _ in one)
        for one in windows
    )
    times = [(end - start) / steps for one in windows for start, end, steps in one]
    tenths = quantiles(times, n=10, method="inclusive") if len(times) > 1 else times * 9
    macs, peak = measured[0]["macs_executed"], sum(one["peak_flops_per_s"] for one in measured)
    flops = None if macs is None else TRAINING_FLOPS * macs * rate
    return {
        "images_per_s": rate,
        "step_seconds": median(times),
        "step_low": tenths[0],
        "step_high": tenths[-1],
        "flops_per_s": flops,
        "peak_flops_per_s": peak,
        "utilisation": flops and flops / peak,
        "peak_memory": max(one["peak_memory"] for one in measured),
        "macs_executed": macs,
        "environment": measured[0]["environment"],
    }


Windows = list[tuple[float, float, int]]


def _together(windows: list[Windows]) -> list[Windows]:
    """The part of each process's windows in which all others were measured, too."""
    first = max(one[0][0] for one in windows)
    last = min(one[-1][1] for one in windows)
    shared = [[w for w in one if first <= w[0] and w[1] <= last] for one in windows]
    return shared if all(shared) else windows
