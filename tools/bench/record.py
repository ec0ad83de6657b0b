"""The benchmark record: what was measured and on what, as JSON and to read."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from vitexp.launch.devices import cores
from vitexp.training.environment import environment as of_device


def environment(device: str) -> dict[str, Any]:
    """On what, with what and how quiet: versions, device, threads, load average, date."""
    at = torch.device(device)
    cuda = {"cuda": torch.version.cuda} if at.type == "cuda" else {}
    return {
        **of_device(at),
        **cuda,
        "cores": cores(),
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "transformers": _installed("transformers"),
        "vit_pytorch": _installed("vit_pytorch"),
        "timm": _installed("timm"),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def write(record: dict[str, Any], folder: Path, name: str) -> tuple[Path, Path]:
    """``NAME.json`` and ``.md`` in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = folder / f"{name}.json", folder / f"{name}.md"
    paths[0].write_text(json.dumps(record, indent=1) + "\n")
    paths[1].write_text("\n".join(_lines(record)) + "\n")
    return paths


def _lines(record: dict[str, Any]) -> Iterator[str]:
    at = record["environment"]
    changed = " with changes" if (at["commit"] or "").endswith("+") else ""
    commit = f", commit {at['commit'][:12]}{changed}" if at["commit"] else ""
    yield "# Benchmark record"
    yield ""
    yield (
        f"{at['device_name']}, {at['cores']} cores; torch {at['torch']}, Python {at['python']},"
        f" vitexp {at['vitexp']}{commit}; {at['date']};"
        f" load average {_loads(at)} before and {_loads(record['after'])} after."
    )
    if peers := record.get("peers"):
        yield from _best(peers)
    for course in (*record.get("peers", ()), *record.get("seeds", ())):
        yield from course_lines(course)
    for axis in record.get("growth", ()):
        yield from _axis(axis)
    if startup := record.get("startup"):
        yield from ("", "## Start-up, the demo, and reading results", "")
        rows = ((r["what"], f"{r['value']:.2f} {r['unit']}", _limit(r)) for r in startup)
        yield from table_lines(("what", "measured", "at most"), rows)


def _loads(at: dict[str, Any]) -> str:
    return f"{at['load_average'][0]:g}"


def _limit(row: dict[str, Any]) -> str:
    return "" if row["allowed"] is None else f"{row['allowed']:g} {row['unit']}"


def _best(courses: Iterable[dict[str, Any]]) -> Iterator[str]:
    """How ours compares with the fastest way to run each peer."""
    yield from ("", "## Ours over the best configuration of each peer", "")
    heads = ("course", "peer", "its best", "ours is faster by", "by core seconds")
    rows = (
        (
            _words(course),
            who,
            f"{'compiled, ' * one['compiled']}{one['processes']} x {one['threads']}",
            f"{one['ratio']:.2f}",
            f"{one['core_ratio']:.2f}",
        )
        for course in courses
        for who, one in course["best"].items()
    )
    yield from table_lines(heads, rows)


def _words(course: dict[str, Any]) -> str:
    return f"{course['course']}, batch {course['batch']}, {course['precision']}"


def course_lines(course: dict[str, Any]) -> Iterator[str]:
    """What :meth:`tools.bench.race.Race.result` gave, as a heading, a table and who is missing."""
    first = course["entries"][0]
    several = "" if course["seeds"] is None else f", seeds in one process: {course['seeds']}"
    yield from ("", f"## {_words(course)}{several}", "")
    heads = (
        "",
        "processes x threads",
        "images/s",
        "TFLOP/s",
        "ours is faster by",
        "by core seconds",
        "MB a process",
    )
    rows = (
        (
            " ".join(filter(None, (one["who"], one["version"]))) + ", compiled" * one["compiled"],
            f"{one['processes']} x {one['threads']}",
            f"{one['images_per_s']:.0f}",
            f"{one['flops_per_s'] / 1e12:.3g}",
            *("" if one is first else f"{one[ratio]:.2f}" for ratio in ("ratio", "core_ratio")),
            f"{one['memory'] / 1e6:.0f}",
        )
        for one in course["entries"]
    )
    yield from table_lines(heads, rows)
    for one in course["entries"]:
        if one["said"]:
            yield from ("", f"{one['who']}{', compiled' * one['compiled']}: {one['said'][0]}")
    for who, why in course["missing"].items():
        yield from ("", f"{who} did not take part: {why}.")


def _axis(axis: dict[str, Any]) -> Iterator[str]:
    name, time, memory = axis["axis"], axis["time"], axis["memory"]
    yield from ("", f"## Cost against {name}", "")
    heads = dict.fromkeys((name, "batch", "ms a step", "MB", "M MACs a step"))
    rows = (
        (
            *(str(point[key]) for key in dict.fromkeys((name, "batch"))),
            f"{1e3 * point['step_seconds']:.1f}",
            f"{point['memory'] / 1e6:.1f}",
            f"{point['macs'] / 1e6:.1f}",
        )
        for point in axis["points"]
    )
    yield from table_lines(heads, rows)
    yield from (
        "",
        f"From {name} {axis['fitted_from']} on: time ~ {name}^{time['fitted']:.2f} (counted MACs:"
        f" {time['counted']:.2f}; in the limit {time['limit']:g}), memory ~"
        f" {name}^{memory['fitted']:.2f} (in the limit {memory['limit']:g}).",
    )


def table_lines(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    """A table in Markdown."""
    heads = list(heads)
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
