"""``vitexp soup``: the mean of several runs' weights as a checkpoint of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitexp.cli.flags import Json, Out
from vitexp.cli.options import Device
from vitexp.cli.runs import Ids

if TYPE_CHECKING:
    from vitexp.runs.record import RunRecord
    from vitexp.runs.soup import Soup


def soup(
    runs: Ids,
    kind: Annotated[
        str,
        typer.Option(help="greedy: leave out what makes validation worse; uniform: all; or both"),
    ] = "both",
    device: Device = "auto",
    out: Out = Path("."),
    json: Json = False,
) -> None:
    """Average the weights of fine-tuned runs into soups/ID/weights.safetensors.

    Validation decides what a soup holds; its test accuracy is read once, when it is made.
    """
    from vitexp.cli import screen
    from vitexp.cli.execute import check_writable
    from vitexp.errors import unknown
    from vitexp.launch import devices, local
    from vitexp.launch.machine import Machine
    from vitexp.runs.soup import Soups
    from vitexp.runs.store import Store
    from vitexp.tasks.soup import KINDS, ingredients, soup_of

    if kind not in KINDS:
        raise unknown("--kind", kind, KINDS)
    check_writable(out)
    store, soups = Store(out), Soups(out)
    found = ingredients(runs, store, screen.say)
    asked = [soup_of(each, found) for each in KINDS[kind]]
    todo = [spec for spec in asked if soups.find(spec) is None]
    machine = Machine(out, devices.resolve(device)[:1])
    failed = local.soup(todo, machine) if todo else {}
    for message in failed.values():
        screen.say(f"Failed: {message}")
    made = [done for spec in asked if (done := soups.find(spec))]
    if made:
        _show(found, made, {done.spec.kind: soups.weights(done.spec) for done in made}, json)
    if failed:
        raise typer.Exit(1)


def _show(
    runs: Sequence[RunRecord], made: Sequence[Soup], files: dict[str, Path], json: bool
) -> None:
    from vitexp.cli import screen
    from vitexp.tasks.soup import best_run, best_soup

    single, best = best_run(runs), best_soup(made)
    if json:
        return screen.emit(_as_json(runs, made, files))
    rows = [(r.id, "a run", _in(r.id, made), r.metrics) for r in runs]
    rows += [("best single", single.id, "", single.metrics)]
    rows += [
        (f"{s.spec.kind} soup", f"{len(s.kept)} of {len(runs)} runs", "", _metrics(s)) for s in made
    ]
    screen.table(
        ("weights", "of", "in", "validation %", "test %"),
        [
            (name, of, within, screen.percent(m["val_top1"]), screen.percent(m["test_top1"]))
            for name, of, within, m in rows
        ],
        right=("validation %", "test %"),
    )
    screen.say("Validation alone decided; each test number is of one reading of the test split.")
    for each in made:
        screen.say(f"{each.spec.kind}: {files[each.spec.kind]}")
    if best.val_top1 > single.metrics["val_top1"]:
        screen.say(f"Best on validation: the {best.spec.kind} soup.")
    else:
        screen.say(f"No soup does better on validation than run {single.id}.")


def _in(run: str, made: Sequence[Soup]) -> str:
    return ", ".join(soup.spec.kind for soup in made if run in soup.kept)


def _metrics(soup: Soup) -> dict[str, float]:
    return {"val_top1": soup.val_top1, "test_top1": soup.test_top1}


def _as_json(
    runs: Sequence[RunRecord], made: Sequence[Soup], files: dict[str, Path]
) -> dict[str, Any]:
    """What was averaged and what came of it, under the stable names of docs/json.md."""
    from vitexp.tasks.soup import best_run, best_soup

    return {
        "runs": [
            {"id": r.id} | {name: r.metrics[name] for name in ("val_top1", "test_top1")}
            for r in runs
        ],
        "best_run": best_run(runs).id,
        "best_soup": best_soup(made).spec.kind,
        "soups": [
            {
                "id": soup.spec.id,
                "kind": soup.spec.kind,
                "file": str(files[soup.spec.kind]),
                "sha256": soup.sha256,
                "kept": list(soup.kept),
                "tries": list(soup.tries),
                **_metrics(soup),
                "test_reads": soup.execution["test_reads"],
            }
            for soup in made
        ],
    }
