"""``make bench``: start-up times, this program beside its peers, how cost grows; one record.

    python -m tools.bench [--parts startup,peers,growth] [--device cpu] [--out tables]
        [--name benchmark_cpu] [--quick]
    python -m tools.bench --device cuda [--parts peers,seeds]

``seeds``: several runs in one process beside one stacked model of as many.

Nothing here fails, since a busy machine is no error: the record says how busy it was.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from tools.bench import growth, race, startup
from tools.bench.race import Course
from tools.bench.record import environment, write
from vitexp.catalog import sizes

PARTS = ("startup", "peers", "growth", "seeds")

DIGITS = sizes.model("vit-xxs/2", 8, channels=1, classes=10)
CIFAR = sizes.model("vit-xs/4", 32, classes=10)

CPU = tuple(
    course
    for precision in ("fp32", "bf16")
    for course in (
        Course("A: D 64, 4 layers, 17 tokens", DIGITS, 128, precision, 5, 1.5),
        Course("B: D 128, 6 layers, 65 tokens", CIFAR, 128, precision, 3, 2.5),
    )
)
TI, B = sizes.model("vit-ti/4", 32, classes=10), sizes.model("vit-b/16", 224)
CUDA = (
    Course("ViT-Ti/4, 32 px", TI, 128, "bf16", 5, 2.0, together=5),
    Course("ViT-B/16, 224 px", B, 128, "bf16", 5, 3.0),
)
QUICK = (Course("A, quick", DIGITS, 8, "fp32", 2, 0.1),)


def _seeds(course: Course, *counts: int) -> tuple[Course, ...]:
    return tuple(replace(course, seeds=count) for count in counts)


COURSES = {
    "cpu": {"peers": CPU, "seeds": _seeds(CPU[0], 2)},
    "cuda": {"peers": CUDA, "seeds": _seeds(CUDA[0], 1, 2, 4, 8)},
    "quick": {"peers": QUICK, "seeds": _seeds(QUICK[0], 2)},
}


def main() -> None:
    asked = _asked(sys.argv[1:])
    record: dict[str, Any] = {"environment": environment(asked.device)}
    usual = "cpu" if asked.device == "cpu" else "cuda"
    for part, courses in COURSES["quick" if asked.quick else usual].items():
        for course in courses if part in asked.parts else ():
            record.setdefault(part, []).append(race.race(course, asked.device))
            # What takes an hour may be stopped before its end.
            write({**record, "after": environment(asked.device)}, asked.out, asked.name)
    if "growth" in asked.parts:
        record["growth"] = growth.growth()
    if "startup" in asked.parts:
        record["startup"] = startup.measured()
    record["after"] = environment(asked.device)
    for path in write(record, asked.out, asked.name):
        print(f"Wrote {path}")


def _asked(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tools.bench", description=__doc__)
    parser.add_argument("--parts", type=lambda text: text.split(","))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=Path("tables"))
    parser.add_argument("--name", help="of the record; benchmark_DEVICE if not given")
    parser.add_argument("--quick", action="store_true", help="too short for numbers to mean much")
    asked = parser.parse_args(arguments)
    # Start-up and growth are measured on the CPU, where one process a run is faster than several.
    asked.name = asked.name or f"benchmark_{asked.device.replace(':', '_')}"
    asked.parts = asked.parts or (PARTS[:3] if asked.device == "cpu" else ["peers", "seeds"])
    if unknown := set(asked.parts) - set(PARTS):
        parser.error(f"no part {', '.join(sorted(unknown))}; parts are {', '.join(PARTS)}")
    return asked


if __name__ == "__main__":
    main()
