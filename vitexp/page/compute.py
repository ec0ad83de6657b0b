"""What the runs on a page cost, by study and by device."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from vitexp.runs.record import RunRecord
from vitexp.studies import STUDIES
from vitexp.tasks.listed import Listed


@dataclass(frozen=True)
class Spent:
    """What some runs took together.

    Attributes:
        name: what they have in common.
        seconds, device_seconds: as in :class:`~vitexp.runs.record.RunRecord`; flops: likewise.
        memory: bytes of the run that took most.
        devices: by how many runs they were used, the commonest first.
    """

    name: str
    runs: int
    seconds: float
    device_seconds: float
    flops: float
    memory: float
    devices: tuple[str, ...]


def spent(runs: Sequence[Listed]) -> list[Spent]:
    """Of each study, then of all runs; a run of two studies counts in both."""
    done = [(one, one.entry.record) for one in runs if one.entry.record]
    names = dict.fromkeys(study for one, _ in done for study in one.studies or ("",))
    parts = [
        _sum(STUDIES.typed(name) if name else "no study", _of(done, name)) for name in sorted(names)
    ]
    return [*parts, _sum("all runs", (record for _, record in done))]


def _of(done: Iterable[tuple[Listed, RunRecord]], study: str) -> Iterator[RunRecord]:
    return (record for one, record in done if study in (one.studies or ("",)))


def _sum(name: str, several: Iterable[RunRecord]) -> Spent:
    records = list(several)

    def values(metric: str) -> list[float]:
        found = (record.metrics.get(metric, 0.0) for record in records)
        return [value for value in found if math.isfinite(value)]

    devices = Counter(str(r.execution.get("device_name", "")) for r in records)
    return Spent(
        name,
        len(records),
        math.fsum(values("seconds")),
        math.fsum(values("device_seconds")),
        math.fsum(values("flops")),
        max(values("peak_memory"), default=0.0),
        tuple(device for device, _ in devices.most_common() if device),
    )
