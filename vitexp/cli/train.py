"""``vitexp train``: one model from flags."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from vitexp.cli.flags import Json, with_settings
from vitexp.cli.options import DryRun, Probe
from vitexp.settings.flags import Settings

if TYPE_CHECKING:
    from vitexp.runs.record import RunRecord
    from vitexp.spec import RunSpec


@with_settings
def train(
    settings: Settings, dry_run: DryRun = False, probe: Probe = True, json: Json = False
) -> None:
    """Train one model, with one seed or several, and print what it reaches."""
    from vitexp.cli import execute, long, plan, screen
    from vitexp.experiment.plan import Plan
    from vitexp.runs.store import Store

    machine, base = execute.prepare(settings, seeds=1)
    specs = [run for seed in base.seeds for run in base.seeded(seed).folds]
    whole = Plan({_key(base.run): specs})
    if dry_run:
        return plan.dry_run(machine, lambda _: whole, tuple, probe, json)
    long.consent(machine, lambda _: whole)
    well = execute.execute(machine, lambda _: whole, tuple)
    results = Store(machine.out).results()
    ended = [results[spec.id] for spec in specs if spec.id in results]
    rows = [_row(record) for record in ended]
    if json:
        screen.emit(rows)
    elif rows:
        screen.table(_COLUMNS, map(_cells, rows), right=_COLUMNS[1:])
        _mean(ended)
    if not well:
        raise typer.Exit(1)


def _mean(records: list[RunRecord]) -> None:
    """Print what several seeds reach together, and what folds do."""
    from vitexp.analysis.groups import Group
    from vitexp.cli import screen
    from vitexp.reporting.training import guessing, looked_at
    from vitexp.runs.folds import whole

    if not (several := whole(records)):
        return
    group = Group(several)
    if group.done:
        images = f"{screen.count(group.images, 'test image')}, train % on {looked_at(group.done)}"
        print(f"guessing: {guessing([group])}; {images}")
    top1 = group.metric("test_top1")
    if len(group.done) == 1 and group.spec.data.fold:
        print(f"{screen.percent(top1.mean)} % of all {group.images} images, each tested once")
    if len(group.done) < 2:
        return
    ends = ", ".join(map(screen.percent, (top1.low, top1.high)))
    lost = f"; {group.diverged} diverged and left out" if group.diverged else ""
    print(
        f"mean of {top1.n} seeds: {screen.percent(top1.mean)} % test, 95 % interval [{ends}]{lost}"
    )


_ACCURACIES = ("test %", "val %", "train %")
_COLUMNS = ("id", "seed", *_ACCURACIES, "seconds", "images/s", "peak %", "state")


def _key(spec: RunSpec) -> tuple[str, str]:
    from vitexp.reporting.described import facts

    known = facts(spec)
    return known["model"], known["position"]


def _row(record: RunRecord) -> dict[str, Any]:
    from vitexp.runs.record import CLOCKED

    accuracies = ("test_top1", "test_top5", "val_top1", "train_top1", "train_loss")
    names = (*accuracies, "params", "macs", "macs_executed", "flops", *CLOCKED)
    measured = {name: record.metrics.get(name) for name in names}
    return {"id": record.id, "seed": record.spec.seed, "state": record.status, **measured}


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    from vitexp.cli import screen

    shares = (screen.percent(row[name]) for name in ("test_top1", "val_top1", "train_top1"))
    seconds = "-" if row["seconds"] is None else f"{row['seconds']:.1f}"
    speed = (screen.amount(row["images_per_s"]), screen.percent(row["utilisation"]))
    return (row["id"], str(row["seed"]), *shares, seconds, *speed, row["state"])
