"""Finished runs as one data frame: a row a run."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from vitexp.runs.measurement import Measurement
from vitexp.runs.record import RunRecord
from vitexp.runs.store import Store
from vitexp.spec import flat, to_json


def load(out: str | Path = ".") -> pd.DataFrame:
    """The finished runs below ``out``, as :func:`frame` lays them out.

    Raises:
        VitexpError: a result that is damaged or in another format.
    """
    store = Store(Path(out))
    records = list(store.results())
    return frame(records, (m for record in records for m in store.measurements(record.id)))


def frame(records: Iterable[RunRecord], measured: Iterable[Measurement] = ()) -> pd.DataFrame:
    """One row a run: ``id``, ``status``, every field of the spec (``model.name``,
    ``recipe.lr``, ...), every metric under its name, what was ``measured`` since
    (``probe.digits.few_shot_5_top1``). Accuracies are shares; what a run lacks is missing."""
    probes: dict[str, dict[str, Any]] = {}
    for one in measured:
        found = {f"probe.{one.probe.data.name}.{name}": v for name, v in one.values.items()}
        probes.setdefault(one.run_id, {}).update(found)
    rows = [_row(record) | probes.get(record.id, {}) for record in records]
    table = pd.DataFrame(rows, dtype=object)
    return table.astype({name: _kind(table[name]) for name in table})


def _row(record: RunRecord) -> dict[str, Any]:
    ended = {"ended": record.execution.get("ended"), "device": record.execution.get("device_name")}
    start = {"id": record.id, "status": record.status}
    known = flat(start | to_json(record.spec) | record.metrics | ended)
    return {name: _cell(item) for name, item in known.items()}


def _cell(item: Any) -> Any:
    """(3, 4, 6, 3) as ``"3-4-6-3"``."""
    return "-".join(map(str, item)) if isinstance(item, tuple) else item


_KINDS = {
    frozenset({bool}): "boolean",
    frozenset({int}): "Int64",
    frozenset({str}): "string",
    frozenset({float}): "float64",
    frozenset({int, float}): "float64",
}


def _kind(column: pd.Series[Any]) -> str:
    """The type of what is known in a column: whole numbers stay whole where some are missing."""
    return _KINDS.get(frozenset(map(type, column.dropna())), "object")


def csv_bytes(table: pd.DataFrame) -> bytes:
    """The table as CSV with a header; an unknown value is empty."""
    return table.to_csv(index=False, lineterminator="\n").encode()


def parquet_bytes(table: pd.DataFrame) -> bytes:
    """The table as parquet."""
    content = io.BytesIO()
    table.to_parquet(content, index=False)
    return content.getvalue()
