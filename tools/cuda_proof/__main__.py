"""What this program does on a CUDA device, shown within some minutes; no network is needed.

    python -m tools.cuda_proof --data FOLDER --minutes 9 --out cuda-proof

Four boxes, each cut off by the clock: a canary (does it work), speed (beside its peers), the
positional grid on the images in FOLDER, and the tests if anything is left or they are asked for.
``cuda-proof/DEVICE/`` has all that came of it in four files; the same command goes on where it
stopped, on another machine with a device of that name, too, if the folder is brought along.

Exit codes: 0 all well, 1 something failed, 2 no CUDA device or wrong usage.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tools.cuda_proof import boxes
from tools.cuda_proof.boxes import FULL, SMALL, Plan
from tools.cuda_proof.processes import HOME, Machine, ThisMachine
from tools.cuda_proof.proof import Minutes, Proof, say
from vitexp.launch import devices
from vitexp.training.environment import commit

BOXES = ("canary", "speed", "grid", "tests")

LEAST_MINUTES = 2.0

TESTS_FROM = 60.0
"""Seconds that have to be left for tests that nobody asked for."""


def main(arguments: list[str] | None = None, machine: Machine | None = None) -> int:
    asked = _asked(arguments)
    cuda = asked.device.startswith("cuda")
    if cuda and not devices.cuda_devices():
        build = "" if devices.torch_has_cuda() else ", and torch is a build without CUDA"
        say(f"There is no CUDA device here{build}; nothing was run.")
        return 2
    name = devices.cuda_name(asked.device) if cuda else asked.device
    minutes, plan = Minutes.of(asked.minutes), FULL if cuda else SMALL
    machine = machine or ThisMachine()
    proof = Proof(
        asked.out, asked.work, asked.device, name, minutes, asked.commit or commit(), machine
    )
    say(f"{name}: {minutes.words()}")
    data = str(asked.data.absolute())
    if why := boxes.understood(proof, plan, data):
        say(f"--data {asked.data}: {why}")
        return 2
    _run(proof, plan, data, asked.boxes)
    return verdict(proof)


def _run(proof: Proof, plan: Plan, data: str, asked: list[str] | None) -> None:
    wanted = asked or BOXES
    if "canary" in wanted:
        boxes.canary(proof, plan)
    if "speed" in wanted:
        boxes.speed(proof, plan)
    if "grid" in wanted:
        boxes.grid(proof, plan, data)
    if "tests" in wanted and (asked or proof.left >= TESTS_FROM):
        boxes.tests(proof, plan)


def verdict(proof: Proof) -> int:
    """What is left to do and what went wrong, in words and as an exit code."""

    def those(state: str) -> str:
        return ", ".join(name for name, item in proof.items.items() if item["state"] == state)

    if unfinished := those("cut off"):
        say(f"Cut off: {unfinished}; the same command goes on.")
    if failed := those("failed"):
        say(f"Failed: {failed}; see record.md and logs.tar.gz.")
    say(f"{proof.folder}")
    return 1 if failed else 0


def _asked(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tools.cuda_proof", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="a folder, as --dataset takes it")
    parser.add_argument("--minutes", type=float, default=9.0, help="for everything together")
    parser.add_argument("--out", type=Path, default=Path("cuda-proof"))
    parser.add_argument(
        "--boxes", type=lambda text: text.split(","), help=f"some of {','.join(BOXES)}"
    )
    parser.add_argument(
        "--work", type=Path, default=HOME / "build" / "cuda-proof", help="for what is not kept"
    )
    parser.add_argument("--commit", help="of the program, where there is no checkout to ask")
    # To try the way through all this where there is no CUDA; everything is tiny then.
    parser.add_argument("--device", default="cuda:0", help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    if not asked.data.exists() or asked.data == Path():
        parser.error(f"--data {asked.data} is not there; give the folder with the images")
    if not asked.minutes >= LEAST_MINUTES:
        parser.error(f"--minutes {asked.minutes:g} is too short; give {LEAST_MINUTES:g} or more")
    if unknown := set(asked.boxes or ()) - set(BOXES):
        parser.error(f"no box {', '.join(sorted(unknown))}; they are {', '.join(BOXES)}")
    return asked


if __name__ == "__main__":
    sys.exit(main())
