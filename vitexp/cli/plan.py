"""``--dry-run``: what a command would do, and what that would cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vitexp.catalog.sizes import called
from vitexp.cli import screen
from vitexp.cli.execute import Label, Planner, planned
from vitexp.errors import printable
from vitexp.experiment.plan import Plan
from vitexp.launch import local
from vitexp.launch.machine import Machine
from vitexp.models.count import TRAINING_FLOPS, macs, params
from vitexp.reporting.described import images_words
from vitexp.runs.store import Store
from vitexp.spec import ModelSpec, RunSpec, to_json

_DATA = ("name", "image_size", "train", "val", "test", "skipped", "remarks")


@dataclass(frozen=True)
class Forecast:
    """What the missing runs of a plan will cost.

    Attributes:
        plan: the whole.
        todo: its runs that are missing.
        step_seconds: id of a probed run -> seconds a step with ``jobs`` runs side by side.
        jobs: runs at the same time.
        keep: whether final weights stay on disk.
    """

    plan: Plan
    todo: list[RunSpec]
    step_seconds: dict[str, float]
    jobs: int
    keep: bool

    @property
    def flops(self) -> int | None:
        """Training FLOPs; None where a model of the user's own has no count."""
        return _sum(_flops(spec) for spec in self.todo)

    @property
    def disk(self) -> int | None:
        """Bytes of kept weights."""
        return _sum(_weights(spec.model) for spec in self.todo) if self.keep else 0

    @property
    def seconds(self) -> float | None:
        """Wall-clock time, no shorter than the longest run; None without a probe."""
        return self.taken({spec: spec.recipe.steps for spec in self.todo})

    def taken(self, steps: Mapping[RunSpec, int]) -> float | None:
        """As :attr:`seconds`, for some of ``todo`` with another number of steps each."""
        if not steps:
            return 0.0
        if not self.step_seconds:
            return None
        each = [count * self._step(spec) for spec, count in steps.items()]
        return max(sum(each) / self.jobs, *each)

    def _step(self, spec: RunSpec) -> float:
        probed = {s.model: self.step_seconds[s.id] for s in self.todo if s.id in self.step_seconds}
        return probed.get(spec.model) or max(probed.values())


def _sum(values: Any) -> int | None:
    known = list(values)
    return None if None in known else sum(known)


def _flops(spec: RunSpec) -> int | None:
    each = macs(spec.model)
    images = spec.recipe.steps * spec.recipe.batch
    return None if each is None else TRAINING_FLOPS * each * images


def _weights(model: ModelSpec) -> int | None:
    count = params(model)
    return None if count is None else 4 * count


def forecast(machine: Machine, plan: Planner, probe: bool) -> Forecast:
    """Ask the store what is missing and, where wanted, a short probe how fast it goes."""
    store = Store(machine.out)
    found = planned(plan, store.results(), machine)
    todo = store.missing(found.runs)
    training = [spec for spec in todo if spec.recipe.steps]
    one_each = list({spec.model: spec for spec in reversed(training)}.values())
    jobs = machine.jobs(len(todo))
    times = local.pace(one_each, machine, jobs) if probe and one_each else {}
    return Forecast(found, todo, times, jobs, machine.keep)


def as_json(cast: Forecast, machine: Machine, label: Label) -> dict[str, Any]:
    """The forecast under the stable names of docs/json.md."""
    first = cast.plan.runs[0]
    return {
        "data": {k: v for k, v in to_json(first.data).items() if k in _DATA}
        | {"folds": first.data.fold and first.data.fold.of, "images": images_words(first.data)},
        "recipe": first.recipe.name,
        "lr": first.recipe.lr,
        "batch": first.recipe.batch,
        "steps": first.recipe.steps,
        "precision": machine.precision,
        "devices": list(machine.devices),
        "jobs": cast.jobs,
        "together": machine.together,
        "runs": {
            "total": len(cast.plan.runs),
            "done": len(cast.plan.runs) - len(cast.todo),
            "todo": len(cast.todo),
        },
        "cells": _cells(cast, label),
        "flops": cast.flops,
        "weights_bytes": cast.disk,
        "seconds": cast.seconds,
    }


def _cells(cast: Forecast, label: Label) -> list[dict[str, Any]]:
    todo = {spec.id for spec in cast.todo}
    plan = cast.plan
    cells = [(label(key), runs) for key, runs in (*plan.cells.items(), *plan.tries.items()) if runs]
    return [
        {
            "row": row,
            "column": column,
            "model": called(runs[0].model),
            "seeds": list(dict.fromkeys(spec.seed for spec in runs)),
            "done": sum(spec.id not in todo for spec in runs),
            "params": params(runs[0].model),
            "macs": macs(runs[0].model),
        }
        for (row, column), runs in cells
    ]


def show(value: dict[str, Any]) -> None:
    """Print what :func:`as_json` gives, for people."""
    data, runs = value["data"], value["runs"]
    screen.table(
        ("row", "column", "model", "seeds", "done", "params", "MACs"),
        [
            (
                cell["row"],
                cell["column"],
                cell["model"],
                str(len(cell["seeds"])),
                str(cell["done"]),
                screen.amount(cell["params"]),
                screen.amount(cell["macs"]),
            )
            for cell in value["cells"]
        ],
        right=("seeds", "done", "params", "MACs"),
    )
    lines = (
        f"data      {data['name']}, {data['image_size']} px: {data['images']}",
        f"recipe    {value['recipe']}: lr {value['lr']:g}, batch {value['batch']}, "
        f"{value['steps']} steps, {value['precision']}",
        f"machine   {', '.join(value['devices'])}, {value['jobs']} at a time{_more(value)}",
        f"runs      {runs['total']}: {runs['done']} done already, {runs['todo']} to do",
        f"compute   {screen.amount(value['flops'])}FLOPs of training",
        f"disk      {screen.size(value['weights_bytes'] or 0)} of kept weights",
        f"time      {_time(value['seconds'])}",
    )
    print(printable("\n".join(lines)))


def _more(value: dict[str, Any]) -> str:
    most = value["together"]
    return f", or up to {most} on each device where that is faster" if most > 1 else ""


def _time(seconds: float | None) -> str:
    return "not probed" if seconds is None else f"about {screen.duration(seconds)}"
