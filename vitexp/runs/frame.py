"""Finished runs as one flat table: a row a run, for spreadsheets and data frames."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import Any

from vitexp.runs.measurement import Measurement
from vitexp.runs.record import RunRecord
from vitexp.spec import to_json


def rows(
    records: Iterable[RunRecord], measured: Iterable[Measurement] = ()
) -> list[dict[str, Any]]:
    """One row a run: ``id``, ``status``, every field of the spec (``model.name``,
    ``recipe.lr``, ...), every metric under its name, what was ``measured`` since
    (``probe.digits.few_shot_5_top1``). Every row has every column; accuracies are shares."""
    probes: dict[str, dict[str, Any]] = {}
    for one in measured:
        found = {f"probe.{one.probe.data.name}.{name}": v for name, v in one.values.items()}
        probes.setdefault(one.run_id, {}).update(found)
    flat = [_row(record) | probes.get(record.id, {}) for record in records]
    columns = dict.fromkeys(name for row in flat for name in row)
    return [{name: row.get(name) for name in columns} for row in flat]


def _row(record: RunRecord) -> dict[str, Any]:
    ended = {"ended": record.execution.get("ended"), "device": record.execution.get("device_name")}
    start = {"id": record.id, "status": record.status}
    return start | _flat(to_json(record.spec)) | record.metrics | ended


def _flat(value: dict[str, Any], above: str = "") -> dict[str, Any]:
    pairs: dict[str, Any] = {}
    for key, item in value.items():
        if isinstance(item, dict):
            pairs |= _flat(item, f"{above}{key}.")
        else:
            pairs[above + key] = "-".join(map(str, item)) if isinstance(item, tuple) else item
    return pairs


def csv_bytes(table: list[dict[str, Any]]) -> bytes:
    """The table as CSV with a header; an unknown value is empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(table[0]) if table else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    return text.getvalue().encode()


def parquet_bytes(table: list[dict[str, Any]]) -> bytes:
    """The table as parquet."""
    import pyarrow
    from pyarrow import parquet

    content = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(table), content)
    return content.getvalue()
