"""Start-up times, the demo's duration and its workers' memory, beside what is allowed."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from vitexp.runs.record import Results, RunRecord
from vitexp.runs.store import Store

VITEXP = str(Path(sys.executable).with_name("vitexp"))
REPEATS = 7
MANY = 5000


def measured() -> list[dict[str, Any]]:
    """What was measured, each with ``what``, ``value``, ``unit`` and ``allowed``."""
    rows: list[dict[str, Any]] = []

    def line(what: str, value: float, unit: str, allowed: float | None = None) -> None:
        rows.append({"what": what, "value": value, "unit": unit, "allowed": allowed})
        limit = "" if allowed is None else f"   at most {allowed:g}"
        print(f"{what:42} {value:8.2f} {unit:2}{limit}", flush=True)

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        seconds = timed("ablate", "pos-emb", "--dataset", "digits", "--out", folder)
        results = Store(out).results()
        memory = max(record.metrics["peak_memory"] for record in results) / 1e6
        line(f"demo, {len(results)} runs, whole command", seconds, "s")
        line("demo, training part", span(results), "s", allowed=180)
        line("demo, largest worker", memory, "MB", allowed=1000)
        line(f"{MANY} results read", reading(next(iter(results)), out / "many"), "s", allowed=2)
        for allowed, command in (
            (0.3, ("--help",)),
            (0.5, ("runs", "list", "--out", folder)),
            (0.5, ("models",)),
            (2.5, ("table", "--out", folder)),
            (2.5, ("plot", "--out", folder)),
        ):
            median = statistics.median(timed(*command) for _ in range(REPEATS))
            line(
                f"vitexp {' '.join(command).replace(f' --out {folder}', '')}", median, "s", allowed
            )
    return rows


def reading(record: RunRecord, out: Path) -> float:
    """Seconds to read the results of many runs like ``record``."""
    for seed in range(MANY):
        like = replace(record, spec=replace(record.spec, seed=seed))
        folder = out / "runs" / like.id
        folder.mkdir(parents=True)
        (folder / "result.json").write_text(json.dumps(like.to_json()))
    start = time.perf_counter()
    assert len(Store(out).results()) == MANY
    return time.perf_counter() - start


def timed(*command: str) -> float:
    """Seconds that a command takes, from outside."""
    start = time.perf_counter()
    subprocess.run([VITEXP, *command], check=True, capture_output=True)
    return time.perf_counter() - start


def span(results: Results) -> float:
    """Seconds from the first run's start to the last one's end."""
    at = [
        datetime.fromisoformat(record.execution[end])
        for record in results
        for end in ("started", "ended")
    ]
    return (max(at) - min(at)).total_seconds()
