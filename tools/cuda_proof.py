"""What this program does on a CUDA device, shown in one command; no network is needed.

    python -m tools.cuda_proof --data FOLDER --minutes 60 --out cuda-proof

The tests, ``vitexp bench``, the comparison with peers, then as much of the positional grid on the
images in FOLDER as the minutes allow: 10 cells with 3 seeds, then 5, 10 and 20. In the out folder:
``runs.tar.gz`` for ``vitexp runs import``, ``proof.json`` with what was measured, ``logs/``. The
same command again goes on where it stopped. Exit codes: 0 all well, 1 something failed, 2 no CUDA.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from vitexp.analysis.decide import LOOKS
from vitexp.launch import devices
from vitexp.runs.files import write_atomic

HOME = Path(__file__).parent.parent
PROGRAM = [sys.executable, "-c", "from vitexp.cli.main import main; main()"]
GRACE_SECONDS = 60.0
"""How long a part may take to end once it was asked to."""


@dataclass(frozen=True)
class Plan:
    """What is run.

    Attributes:
        tests: name -> pytest's arguments.
        benches: the flags of each ``vitexp bench``.
        peers: the flags of the comparison.
        grid: the flags of ``vitexp ablate pos-emb``.
        looks: how many seeds, one after the other.
    """

    tests: dict[str, list[str]]
    benches: dict[str, list[str]]
    peers: list[str]
    grid: list[str]
    looks: tuple[int, ...] = LOOKS


FULL = Plan(
    tests={"cuda tests": ["-m", "cuda"], "other tests": ["-m", "not cuda"]},
    benches={
        "bench vit-ti/4": ["--model", "vit-ti/4"],
        "bench vit-b/16": ["--model", "vit-b/16"],
    },
    peers=["--parts", "peers,seeds"],
    grid=["--model", "vit-ti/4"],
)
SMALL = Plan(
    tests={"some tests": ["tests/test_readme.py", "-k", "every_command_of"]},
    benches={"bench small": ["--model", "vit-xxs/4", "--batch", "4", "--seconds", "0.1"]},
    peers=["--parts", "peers", "--quick"],
    grid=["--model", "vit-xxs/4", "--steps", "4", "--batch", "16"],
    looks=(1, 2),
)

PARTS = ("tests", "bench", "peers", "grid")


class Proof:
    """The out folder and the time that is left.

    Attributes:
        parts: name -> what came of it; ``state`` is done, stopped, failed or missing.
    """

    def __init__(self, out: Path, minutes: float, device: str) -> None:
        self.out, self.device = out.absolute(), device
        self.total = 60 * minutes
        self._end = time.monotonic() + self.total
        self.parts: dict[str, dict[str, Any]] = {}
        (self.out / "logs").mkdir(parents=True, exist_ok=True)
        if (known := self.out / "proof.json").exists():
            self.parts = json.loads(known.read_text())["parts"]

    @property
    def left(self) -> float:
        return max(0.0, self._end - time.monotonic())

    def part(self, name: str, command: list[str], share: float, read: Read | None = None) -> None:
        """Runs a part that is not done yet, for a share of all the minutes at most.

        Args:
            read: makes the part's entry from its exit code and what it printed.
        """
        if self.parts.get(name, {}).get("state") == "done":
            return say(f"{name}: done before")
        limit = min(self.left, share * self.total)
        say(f"{name}: for {limit:.0f} s at most")
        start = time.monotonic()
        code, printed = self._run(name, command, limit)
        entry = {"state": "stopped"} if code is None else (read or _plain)(code, printed)
        self.parts[name] = {"seconds": round(time.monotonic() - start, 1), **entry}
        self.write()
        say(f"{name}: {json.dumps({k: v for k, v in entry.items() if k != 'value'})}")

    def _run(self, name: str, command: list[str], limit: float) -> tuple[int | None, str]:
        """Exit code, None where the time was up, and the standard output."""
        if limit <= 0:
            return None, ""
        log = self.out / "logs" / f"{name.replace(' ', '-').replace('/', '-')}.txt"
        printed = log.with_suffix(".out")
        with open(log, "a") as errors, open(printed, "w") as output:
            process = subprocess.Popen(
                command, cwd=HOME, stdout=output, stderr=errors, env=_environment()
            )
            try:
                process.wait(limit)
                code: int | None = process.returncode
            except subprocess.TimeoutExpired:
                _stop(process)
                code = None
            except BaseException:
                _stop(process)
                raise
        return code, printed.read_text()

    def write(self) -> None:
        """Keeps what is known so far."""
        value = {"environment": _machine(self.device), "parts": self.parts}
        write_atomic(self.out / "proof.json", (json.dumps(value, indent=1) + "\n").encode())


Read = Callable[[int, str], dict[str, Any]]


def _plain(code: int, printed: str) -> dict[str, Any]:
    return {"state": "done" if code == 0 else "failed", "code": code}


def _value(code: int, printed: str) -> dict[str, Any]:
    return _plain(code, printed) | ({"value": json.loads(printed)} if code == 0 else {})


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Lets it checkpoint; kills it if it does not end."""
    process.terminate()
    try:
        process.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _environment() -> dict[str, str]:
    path = os.pathsep.join(filter(None, (str(HOME), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1"}


def _machine(device: str) -> dict[str, Any]:
    from tools.bench.record import environment

    return environment(device)


def tests(proof: Proof, plan: Plan) -> None:
    """The test suite; tests that need a package which is not here are counted, not failed."""
    if importlib.util.find_spec("pytest") is None:
        proof.parts["tests"] = {"state": "missing", "why": "pytest is not installed"}
        return say("tests: pytest is not installed")
    for name, words in plan.tests.items():
        report = proof.out / "logs" / f"{name.replace(' ', '-')}.xml"
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *words]
        command += ["--continue-on-collection-errors", f"--junitxml={report}"]

        def read(code: int, printed: str, report: Path = report) -> dict[str, Any]:
            return _judged(report) if report.exists() else {"state": "failed", "code": code}

        proof.part(name, command, 0.2, read)


def _judged(report: Path) -> dict[str, Any]:
    """What a report in JUnit's form says: counts, failures, and packages that are not there."""
    cases = list(ElementTree.parse(report).getroot().iter("testcase"))
    skipped = sum(case.find("skipped") is not None for case in cases)
    failed, missing = [], set()
    for case in cases:
        for wrong in (*case.findall("failure"), *case.findall("error")):
            words = f"{wrong.get('message')} {wrong.text}"
            absent = _absent(words)
            missing.add(absent)
            if absent is None:
                failed.append(f"{case.get('classname')}::{case.get('name')}")
    found = {"state": "failed" if failed else "done", "tests": len(cases), "skipped": skipped}
    names = sorted(name for name in missing if name)
    return found | {"failed": failed} | ({"not_installed": names} if names else {})


def _absent(words: str) -> str | None:
    """The package whose absence is what went wrong."""
    _, found, rest = words.partition("No module named '")
    name = rest.partition("'")[0].partition(".")[0]
    return name if found and importlib.util.find_spec(name) is None else None


def bench(proof: Proof, plan: Plan) -> None:
    """``vitexp bench``, as JSON in proof.json."""
    for name, words in plan.benches.items():
        command = [*PROGRAM, "bench", "--device", proof.device, "--json", *words]
        proof.part(name, command, 0.1, _value)


def peers(proof: Proof, plan: Plan) -> None:
    """The comparison with peers, which writes its own record into the out folder."""
    command = [sys.executable, "-m", "tools.bench", "--out", str(proof.out)]
    proof.part("peers", [*command, "--device", proof.device, *plan.peers], 0.3)


def grid(proof: Proof, plan: Plan, data: str) -> None:
    """Runs of the grid for the rest of the time, and all that are finished in one archive."""
    store = ["--out", str(proof.out / "store")]
    flags = ["--dataset", data, "--device", proof.device, "--no-keep", *store, *plan.grid]
    for seeds in plan.looks:
        name = f"grid of {seeds} seeds"
        command = [*PROGRAM, "ablate", "pos-emb", "--seeds", str(seeds), *flags]
        proof.part(name, command, 1.0)
        if proof.parts[name]["state"] != "done":
            break
    archive = [*PROGRAM, "runs", "export", str(proof.out / "runs.tar.gz"), *store]
    subprocess.run(archive, cwd=HOME, env=_environment(), check=False)


def main(arguments: list[str] | None = None) -> int:
    asked = _asked(arguments)
    if asked.device == "cuda:0" and not devices.cuda_devices():
        build = "" if devices.torch_has_cuda() else ", and torch is a build without CUDA"
        say(f"There is no CUDA device here{build}; nothing was run.")
        return 2
    plan = FULL if asked.device.startswith("cuda") else SMALL
    if asked.grid is not None:
        plan = replace(plan, grid=shlex.split(asked.grid))
    proof = Proof(asked.out, asked.minutes, asked.device)
    for name, run in (("tests", tests), ("bench", bench), ("peers", peers)):
        if name in asked.parts:
            run(proof, plan)
    if "grid" in asked.parts:
        grid(proof, plan, str(Path(asked.data).absolute()))
    proof.write()
    return _verdict(proof)


def _verdict(proof: Proof) -> int:
    def those(state: str) -> str:
        return ", ".join(name for name, part in proof.parts.items() if part["state"] == state)

    if stopped := those("stopped"):
        say(f"Stopped when the time was up: {stopped}; the same command goes on.")
    if failed := those("failed"):
        say(f"Failed: {failed}; see {proof.out / 'logs'}.")
    return 1 if failed else 0


def _asked(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tools.cuda_proof", description=__doc__)
    parser.add_argument("--data", required=True, help="folder with CIFAR-10, as --dataset takes it")
    parser.add_argument("--minutes", type=float, default=60.0, help="for everything together")
    parser.add_argument("--out", type=Path, default=Path("cuda-proof"))
    parser.add_argument("--parts", type=lambda text: text.split(","), default=list(PARTS))
    parser.add_argument("--grid", help="flags of vitexp ablate pos-emb [--model vit-ti/4]")
    # To try the way through all this where there is no CUDA; everything is tiny then.
    parser.add_argument("--device", default="cuda:0", help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    if not asked.data or not Path(asked.data).exists():
        parser.error(f"--data {asked.data!r} is not there; give the folder with the images")
    return asked


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
