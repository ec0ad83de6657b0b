"""How a step's time and memory grow with tokens, width and batch, beside what theory says."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from tools.bench.race import say
from vitexp.models import count
from vitexp.spec import ModelSpec, ViTShape, from_json, to_json

_VIT = ViTShape(patch=2, width=64, depth=4, heads=4, mlp=256, pool="gap")
_MODEL = ModelSpec("vit", 32, 3, 10, _VIT, "vit-xxs/2")

SECONDS = 2.0
"""How long a point is timed."""


@dataclass(frozen=True)
class Axis:
    """One thing that grows while the others stay.

    Attributes:
        values: of it.
        time, memory: the exponents in the limit of large values.
    """

    name: str
    values: tuple[int, ...]
    time: float
    memory: float

    def point(self, value: int) -> tuple[ModelSpec, int]:
        """Model and batch at ``value``."""
        if self.name == "batch":
            return _MODEL, value
        if self.name == "width":
            vit = replace(_VIT, width=value, mlp=4 * value)
            return replace(_MODEL, image_size=16, vit=vit), 16
        return replace(_MODEL, image_size=_VIT.patch * math.isqrt(value)), 4


AXES = (
    # Attention's logits, a token by token, come to outweigh everything else.
    Axis("tokens", (16, 64, 144, 256, 576, 1024), 2, 2),
    # Kernels are width by width; below that, what each token keeps grows with the width.
    Axis("width", (64, 128, 256, 512), 2, 2),
    Axis("batch", (2, 4, 8, 16, 32, 64), 1, 1),
)


def growth() -> list[dict[str, Any]]:
    """For each axis its points, and the exponents: fitted, of the counted work, in the limit."""
    return [_along(axis) for axis in AXES]


def _along(axis: Axis) -> dict[str, Any]:
    say(f"growth with {axis.name}")
    points = []
    for value in axis.values:
        model, batch = axis.point(value)
        order = {"model": to_json(model), "batch": batch}
        done = subprocess.run(
            [sys.executable, "-m", "tools.bench.growth", json.dumps(order), str(SECONDS)],
            capture_output=True,
            text=True,
            check=True,
        )
        macs = count.executed_macs(model)
        assert macs is not None
        point = {axis.name: value, "batch": batch, "macs": macs * batch, **json.loads(done.stdout)}
        points.append(point)
        say(
            f"  {value:5} {1e3 * point['step_seconds']:9.1f} ms {point['memory'] / 1e6:8.1f} MB"
            f"   {point['macs'] / 1e6:10.1f} M MACs"
        )
    upper = points[len(points) // 2 - 1 :]
    found = {
        "axis": axis.name,
        "points": points,
        "time": {"fitted": slope(upper, axis.name, "step_seconds")}
        | {"counted": slope(upper, axis.name, "macs"), "limit": axis.time},
        "memory": {"fitted": slope(upper, axis.name, "memory"), "limit": axis.memory},
        "fitted_from": upper[0][axis.name],
    }
    say(f"  time ~ {axis.name}^{found['time']['fitted']:.2f}")
    return found


def slope(points: list[dict[str, Any]], x: str, y: str) -> float:
    """The least-squares exponent of ``y ~ x^exponent``."""
    logs = [(math.log(point[x]), math.log(point[y])) for point in points]
    mean_x, mean_y = (sum(values) / len(logs) for values in zip(*logs, strict=True))
    along = sum((a - mean_x) * (b - mean_y) for a, b in logs)
    return float(along / sum((a - mean_x) ** 2 for a, _ in logs))


def measure(model: ModelSpec, batch: int, seconds: float) -> dict[str, float]:
    """A step's median time in seconds and the bytes that training adds to the process."""
    import torch

    from tools.bench.contenders import our_run
    from vitexp.training.bench import Stopwatch, bench
    from vitexp.training.environment import forget_peak_memory, peak_memory

    cpu = torch.device("cpu")
    torch.set_num_threads(1)
    # What the libraries load for their first step is there before what is measured.
    bench(*our_run(replace(_MODEL, image_size=4), 2, "fp32"), Stopwatch(cpu, 0.0), 1)
    spec, images = our_run(model, batch, "fp32")
    forget_peak_memory(cpu)
    before = peak_memory(cpu)
    windows = bench(spec, images, Stopwatch(cpu, seconds), 1)["windows"]
    times = [(end - start) / steps for start, end, steps in windows]
    return {"step_seconds": median(times), "memory": peak_memory(cpu) - before}


def main() -> None:
    order, seconds = json.loads(sys.argv[1]), float(sys.argv[2])
    print(json.dumps(measure(from_json(ModelSpec, order["model"]), order["batch"], seconds)))


if __name__ == "__main__":
    main()
