"""``make torture``: a real study, killed again and again, compared with one that ran undisturbed.

The same command is repeated until it is done. In between, its workers and the program itself are
killed with SIGKILL, half of them while a file is being written, and checkpoints are damaged.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.processes import workers_of
from vitexp.launch.devices import cuda_devices
from vitexp.runs.files import TEMPORARY
from vitexp.runs.record import CLOCKED

TINY = ["--dataset", "digits", "--batch", "32", "--width", "32", "--depth", "2", "--heads", "2"]
TINY += ["--mlp", "32", "--precision", "fp32", "--jobs", "2"]
TINY += ["--checkpoint-seconds", "0.02"]
GRID = ["ablate", "pos-emb", "--seeds", "1", "--steps", "60", *TINY]
SEEDS = ["train", "--seeds", "4", "--steps", "200", *TINY]
LONGEST_WAIT = 2.5
PATIENCE = 30
MAY_DIFFER = ("started", "ended", "test_reads", "peak")
KEPT = {"attempt", "lock", "log.jsonl", "result.json", "spec.json", "weights.safetensors"}


def on(device: str, study: list[str]) -> list[str]:
    """The study on a device; CUDA promises the same bits where it is asked to only."""
    return [*study, "--device", device, *([] if device == "cpu" else ["--deterministic"])]


def main() -> None:
    kills, seed = int(sys.argv[1]), int(sys.argv[2])
    for device in ("cpu", "cuda") if cuda_devices() else ("cpu",):
        print(f"On {device}:")
        torture(on(device, GRID), kills, seed)


def torture(study: list[str], kills: int, seed: int) -> None:
    """Kills the study, prints how it went, and exits with 1 where something was lost."""
    tried: Counter[str] = Counter()
    lost: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        expected = undisturbed(study, Path(folder, "undisturbed"))
        while (made := sum(tried[what] for what in KILLS)) < kills:
            attack = Attack(study, Path(folder, str(made)), random.Random(seed + made))
            attack.run(min(20, kills - made))
            tried += attack.tried
            bad = attack.doubled() + differences(expected, attack.out)
            lost.update(dict.fromkeys(attack.tried, len(bad)))
            print(
                f"{dict(attack.tried)}, {attack.cut} during a write; {bad or 'same bits'}",
                flush=True,
            )
    print("\n| what | tried | survived | lost |\n|---|---|---|---|")
    for what, count in sorted(tried.items()):
        print(f"| {what} | {count} | {count - min(count, lost[what])} | {lost[what]} |")
    if lost.total():
        sys.exit(1)


def undisturbed(study: list[str], out: Path) -> Path:
    """The study, uninterrupted."""
    program = start(study, out)
    _, said = program.communicate()
    assert program.returncode == 0, said
    return out


def start(study: list[str], out: Path) -> subprocess.Popen[str]:
    program = [sys.executable, "-c", "from vitexp.cli.main import main; main()"]
    return subprocess.Popen(
        [*program, *study, "--out", str(out)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


KILLS = ("kill -9 of the program", "kill -9 of a worker")
DAMAGE = "checkpoint damaged in between"


@dataclass
class Attack:
    """One study under attack.

    Attributes:
        tried: how often each kind of attack was made.
        cut: files that were being written at a kill.
        first: each result as it was when first seen.
    """

    study: list[str]
    out: Path
    draw: random.Random
    longest_wait: float = LONGEST_WAIT
    tried: Counter[str] = field(default_factory=Counter)
    cut: int = 0
    first: dict[Path, tuple[int, int]] = field(default_factory=dict)

    def run(self, kills: int) -> None:
        """Make that many kills, or fewer if the study is done before; then let it end."""
        program = start(self.study, self.out)
        while sum(self.tried[what] for what in KILLS) < kills:
            self._wait(program)
            if program.poll() is None:
                self._kill(program)
            elif program.returncode == 0:
                break
            if program.poll() is not None:
                program.communicate()
                self._damage()
                program = start(self.study, self.out)
        for _ in range(PATIENCE):
            _, said = program.communicate()
            if program.returncode == 0:
                return
            program = start(self.study, self.out)
        raise AssertionError(f"the study does not end: {said}")

    def _wait(self, program: subprocess.Popen[str]) -> None:
        """Some time; in half of the cases from then on until a file is being written."""
        time.sleep(self.draw.uniform(0, self.longest_wait))
        deadline = time.monotonic() + self.longest_wait
        if self.draw.random() < 0.5:
            while not self._unfinished() and time.monotonic() < deadline:
                if program.poll() is not None:
                    return

    def _kill(self, program: subprocess.Popen[str]) -> None:
        workers = workers_of(self.out)
        before = self._unfinished()
        if self.draw.random() < 0.3 or not workers:
            program.kill()
            program.wait()
            self.tried[KILLS[0]] += 1
        else:
            os.kill(self.draw.choice(workers), signal.SIGKILL)
            self.tried[KILLS[1]] += 1
        self.cut += bool(before & self._unfinished())
        self.results()

    def _unfinished(self) -> set[Path]:
        return set(self.out.glob(f"runs/*/{TEMPORARY}*"))

    def _damage(self) -> None:
        """Cut the newest checkpoint of some run, or flip a bit of it."""
        folders = {path.parent for path in self.out.glob("runs/*/checkpoint-*.ckpt")}
        if not folders or workers_of(self.out):
            return
        newest = max(self.draw.choice(sorted(folders)).glob("checkpoint-*.ckpt"))
        content = bytearray(newest.read_bytes())
        if not content:
            return
        at = self.draw.randrange(len(content))
        if self.draw.random() < 0.5:
            del content[at:]
        else:
            content[at] ^= 1 << self.draw.randrange(8)
        newest.write_bytes(content)
        self.tried[DAMAGE] += 1

    def results(self) -> dict[Path, tuple[int, int]]:
        """Every result that there is, with what would change if it were written again."""
        found = {}
        for path in self.out.glob("runs/*/result.json"):
            stat = path.stat()
            found[path] = stat.st_ino, stat.st_mtime_ns
            self.first.setdefault(path, found[path])
        return found

    def doubled(self) -> list[str]:
        """Runs whose result was written more than once."""
        return [str(path) for path, seen in self.results().items() if seen != self.first[path]]


def differences(expected: Path, out: Path) -> list[str]:
    """What differs between two folders of the same study, apart from times; empty if nothing."""
    wrong = [] if _tables(expected) == _tables(out) else ["the tables"]
    runs = {path.name for path in (expected / "runs").iterdir()}
    if {path.name for path in (out / "runs").iterdir()} != runs:
        return [*wrong, "other runs"]
    for run in sorted(runs):
        one, two = (folder / "runs" / run for folder in (expected, out))
        if {path.name for path in two.iterdir()} != KEPT:
            wrong.append(f"{run}: {sorted(path.name for path in two.iterdir())}")
            continue
        for name in ("weights.safetensors", "log.jsonl"):
            if (one / name).read_bytes() != (two / name).read_bytes():
                wrong.append(f"{run}: {name}")
        if _result(one) != _result(two) or _spec(one) != _spec(two):
            wrong.append(f"{run}: result")
    return wrong


def _tables(out: Path) -> dict[str, str]:
    here = str(out)
    return {path.name: path.read_text().replace(here, "") for path in sorted(out.glob("tables/*"))}


def _spec(folder: Path) -> dict[str, Any]:
    """The spec without the command that asked for it, which names the folder."""
    return {**json.loads((folder / "spec.json").read_bytes()), "asked": ""}


def _result(folder: Path) -> dict[str, Any]:
    """The result without what may differ."""
    record: dict[str, Any] = json.loads((folder / "result.json").read_bytes())
    record["spec"]["asked"] = ""
    metrics = {k: v for k, v in record["metrics"].items() if k not in CLOCKED}
    execution = {k: v for k, v in record["execution"].items() if k not in MAY_DIFFER}
    return {**record, "metrics": metrics, "execution": execution}


if __name__ == "__main__":
    main()
