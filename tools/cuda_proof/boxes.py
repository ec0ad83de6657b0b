"""What the proof's four boxes do."""

from __future__ import annotations

import importlib.util
import json
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from tools.bench.contenders import OURS
from tools.cuda_proof import canary as checks
from tools.cuda_proof import speed as courses
from tools.cuda_proof.processes import GRACE_SECONDS, Ended
from tools.cuda_proof.proof import Box, Item, Proof, say
from vitexp.runs import archive
from vitexp.runs.files import write_atomic
from vitexp.runs.store import Store

PROGRAM = checks.PROGRAM

SILENCE_SECONDS = 45.0
"""A check that says nothing for so long hangs."""

EXPORT_SECONDS = 30.0
"""Between two archives of the finished runs."""

EPOCHS = (20, 10, 5, 2, 1)
"""Of a grid's runs: the most with which the first seeds fit into the time."""

SLACK = 1.3
"""What a grid takes over the time of its steps alone: evaluation, and workers that start."""


@dataclass(frozen=True)
class Plan:
    """What is run.

    Attributes:
        checks: of the canary.
        courses: of the comparison, and the ceilings.
        model: of the positional grid.
        batch: of all runs.
        steps: of their runs; None to choose as many epochs as fit.
        looks: how many seeds of the grid, one after the other; None for the scaling study.
        tests: name -> pytest's arguments.
    """

    checks: tuple[str, ...]
    courses: tuple[str, ...]
    model: str
    batch: int
    steps: int | None
    looks: tuple[int | None, ...]
    tests: dict[str, tuple[str, ...]]


FULL = Plan(
    checks=tuple(checks.CHECKS),
    courses=(courses.CEILINGS, *courses.COURSES),
    model="vit-ti/4",
    batch=128,
    steps=None,
    looks=(3, 5, None, 10),
    tests={"cuda tests": ("-m", "cuda"), "other tests": ("-m", "not cuda")},
)
SMALL = Plan(
    checks=("facts", "relative, shared", "r8", "two runs at once"),
    courses=(courses.CEILINGS, *courses.QUICK),
    model="vit-xxs/4",
    batch=16,
    steps=4,
    looks=(1, 2),
    tests={"some tests": ("tests/program/test_readme.py", "-k", "every_command_of")},
)
"""To try the way through all this where there is no CUDA."""


def canary(proof: Proof, plan: Plan) -> None:
    """What has to work."""
    with proof.box("canary", proof.minutes.canary) as box:
        command = [sys.executable, "-m", "tools.cuda_proof.canary", proof.device]
        box.items(plan.checks, lambda names: [*command, *names], SILENCE_SECONDS)


def speed(proof: Proof, plan: Plan) -> None:
    """How fast it is."""
    with proof.box("speed", proof.minutes.speed) as box:

        def command(names: Sequence[str]) -> list[str]:
            until = proof.machine.now() + max(1.0, box.left - GRACE_SECONDS - 2)
            module = [sys.executable, "-m", "tools.cuda_proof.speed"]
            return [*module, proof.device, f"{until:.1f}", *names]

        # Until all are ready nothing is said, however long the compiler takes.
        box.items(plan.courses, command, silence=proof.minutes.speed)


def understood(proof: Proof, plan: Plan, data: str) -> str | None:
    """Whether ``data`` is a data set, which is decoded now if it never was; or what the program
    says to it."""
    log = proof.work / "logs" / "data.txt"
    log.unlink(missing_ok=True)
    said: list[str] = []
    words = ["--dry-run", "--no-probe", "--json", "--seeds", "1"]
    flags = ["--dataset", data, "--device", proof.device, "--out", str(proof.work / "store")]
    command = [*PROGRAM, "ablate", "pos-emb", "--model", plan.model, *words, *flags]
    ended = proof.machine.run(command, proof.left, log, said.append)
    if ended.code != 0:
        return log.read_text(errors="replace").strip() or "it could not be read in time"
    found = json.loads("\n".join(said))
    proof.facts["data"] = found["data"]
    return None


def grid(proof: Proof, plan: Plan, data: str) -> None:
    """Runs of the grid, and all that are finished in one archive."""
    store = proof.work / "store"
    with proof.box("grid", proof.left) as box:
        _unpack(proof, store)
        where = ["--dataset", data, "--device", proof.device, "--no-keep", "--out", str(store)]
        flags = [*where, "--batch", str(plan.batch), *_length(proof, plan, box.left)]
        every = (EXPORT_SECONDS, lambda: export(proof, store))
        for seeds in plan.looks:
            name, study = _study(plan, seeds)
            finished = box.task(name, [*PROGRAM, *study, *flags], every=every)
            export(proof, store)
            if not finished:
                break
        _tables(proof, box, store)


def _study(plan: Plan, seeds: int | None) -> tuple[str, list[str]]:
    if seeds is None:
        return "scaling study", ["scale", "--seeds", "3"]
    words = ["ablate", "pos-emb", "--model", plan.model, "--seeds", str(seeds)]
    return f"grid of {seeds} seeds", words


def _unpack(proof: Proof, store: Path) -> None:
    """The finished runs of earlier calls, on whatever machine they were made."""
    known = proof.folder / "runs.tar.gz"
    if known.exists():
        added, _ = archive.unpacked(Store(store), known)
        say(f"  {len(added)} finished runs from earlier calls")


def export(proof: Proof, store: Path) -> None:
    """All finished runs, for ``vitexp runs import``."""
    results = Store(store).results()
    if len(results):
        ids = sorted(record.id for record in results)
        write_atomic(proof.folder / "runs.tar.gz", archive.packed(Store(store), ids))
        proof.facts["runs"] = len(results)
        proof.write()


def _tables(proof: Proof, box: Box, store: Path) -> None:
    """The positional table of what there is."""
    if proof.facts.get("runs"):
        ended = proof.machine.run(
            [*PROGRAM, "table", "pos-emb", "--out", str(store)],
            max(1.0, proof.left + proof.minutes.end / 2),
            proof.work / "logs" / "table.txt",
            lambda line: None,
        )
        path = store / "tables" / "pos_emb.md"
        if ended.code == 0 and path.exists():
            proof.facts["table"] = path.read_text()


def _length(proof: Proof, plan: Plan, seconds: float) -> list[str]:
    """The grid's flags for how long its runs are, and whether they are compiled.

    Chosen once the comparison has said how fast it is, so that a later call goes on with the same
    runs.
    """
    flags: list[str] | None = proof.facts.get("grid")
    if flags is None:
        flags = ["--steps", str(plan.steps)] if plan.steps else _fitting(proof, plan, seconds)
        if plan.steps or best_rate(proof.items) is not None:
            proof.facts["grid"] = flags
            proof.write()
    say(f"  {' '.join(flags)}")
    return flags


def _fitting(proof: Proof, plan: Plan, seconds: float) -> list[str]:
    images, seeds = proof.facts["data"]["train"], next(seeds for seeds in plan.looks if seeds)
    rate, entries = best_rate(proof.items), _own_entries(proof.items)
    fits = [
        epochs
        for epochs in EPOCHS
        if rate is not None and SLACK * 10 * seeds * epochs * images / rate <= seconds
    ]
    epochs = fits[0] if fits else EPOCHS[-1]
    repaid = repays(entries, seeds * epochs * images)
    how = "--compile" if repaid else "--no-compile"
    return ["--steps", str(epochs * images // plan.batch), how]


def repays(entries: Sequence[dict[str, Any]], images: float) -> bool:
    """Whether compiling a cell's model once saves more than it takes.

    Args:
        entries: of the comparison, this program's.
        images: that the runs of a cell train on, all together.
    """
    ways = {entry["compiled"]: entry for entry in entries if entry["who"] == OURS}
    if len(ways) < 2:
        return False
    saved = images / ways[False]["images_per_s"] - images / ways[True]["images_per_s"]
    return bool(saved > ways[True]["ready"] - ways[False]["ready"])


def _own_entries(items: dict[str, Item]) -> list[dict[str, Any]]:
    """What the comparison saw this program do with the grid's model."""
    return [
        entry
        for item in items.values()
        if item["box"] == "speed" and "entries" in item.get("value", {})
        if item["value"]["course"].startswith("ViT-Ti")
        for entry in item["value"]["entries"]
        if entry["who"].startswith(OURS)
    ]


def best_rate(items: dict[str, Item]) -> float | None:
    """Images a second that the comparison saw this program train, not compiled, several runs at
    once."""
    rates = [e["images_per_s"] for e in _own_entries(items) if not e["compiled"]]
    return max(rates, default=None)


def tests(proof: Proof, plan: Plan) -> None:
    """The test suite; tests that need a package which is not here are counted, not failed."""
    with proof.box("tests", proof.left) as box:
        if importlib.util.find_spec("pytest") is None:
            return box.note("tests", "missing", error="pytest is not installed")
        for name, words in plan.tests.items():
            report = proof.work / "logs" / f"{name.replace(' ', '-')}.xml"
            report.parent.mkdir(parents=True, exist_ok=True)
            report.unlink(missing_ok=True)
            command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *words]
            command += ["--continue-on-collection-errors", f"--junitxml={report}"]
            # Interrupted, pytest still writes its report.
            box.task(name, command, read=judge(report), ask=signal.SIGINT)


def judge(report: Path) -> Callable[[Ended, str], Item]:
    """What a report in JUnit's form says: counts, failures, and packages that are not there."""

    def judged(ended: Ended, printed: str) -> Item:
        if not report.exists():
            return {"state": "cut off" if ended.why != "itself" else "failed"}
        cases = list(ElementTree.parse(report).getroot().iter("testcase"))
        skipped = sum(case.find("skipped") is not None for case in cases)
        failed, missing = [], set[str]()
        for case in cases:
            for wrong in (*case.findall("failure"), *case.findall("error")):
                absent = _absent(f"{wrong.get('message')} {wrong.text}")
                if absent is None:
                    failed.append(f"{case.get('classname')}::{case.get('name')}")
                else:
                    missing.add(absent)
        value: dict[str, Any] = {"tests": len(cases), "skipped": skipped, "failed": failed}
        value |= {"not_installed": sorted(missing)} if missing else {}
        if failed:
            return {"state": "failed", "value": value, "error": f"{len(failed)} failed"}
        if ended.why != "itself":
            return {"state": "cut off", "value": value, "error": "its time was up"}
        return {"state": "done", "value": value}

    return judged


def _absent(words: str) -> str | None:
    """The package whose absence is what went wrong."""
    _, found, rest = words.partition("No module named '")
    name = rest.partition("'")[0].partition(".")[0]
    return name if found and importlib.util.find_spec(name) is None else None
