"""Predictions as a CSV or parquet file, written as they come.

n images, K classes.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from vitexp.errors import VitexpError
from vitexp.render.csv_table import field
from vitexp.runs.files import TEMPORARY, disk
from vitexp.runs.predictions import Predicted, told

EVERY = 100
"""Classes up to which there is a column for each."""
BEST = 5
"""Of more classes, how many have theirs."""

Columns = dict[str, list[Any]]
_NAMES = ("run", "source", "label", "prediction")


def columns(run: str, predicted: Predicted, classes: Sequence[str], top: int) -> Columns:
    """What a file says of some images, by column.

    Args:
        run: what predicted them.
        classes: names, in label order.
        top: how many of the most probable classes have their probability said, the first to the
            last; 0: each class has a column of its own.
    """
    table: Columns = {
        "run": [told(run)] * len(predicted.best),
        "source": predicted.sources,
        "label": [classes[label] if label >= 0 else None for label in predicted.labels],
        "prediction": [classes[best] for best in predicted.best],
        "probability": predicted.probability.tolist(),
    }
    shares = predicted.probabilities
    if not top:
        return table | {f"p_{told(n)}": shares[:, k].tolist() for k, n in enumerate(classes)}
    order = np.argsort(-shares, axis=1, kind="stable")[:, :top]
    for place in range(order.shape[1]):
        chosen = order[:, place]
        table[f"top_{place + 1}"] = [classes[k] for k in chosen]
        table[f"p_{place + 1}"] = shares[np.arange(len(chosen)), chosen].tolist()
    return table


def write(path: Path, tables: Iterable[Columns]) -> None:
    """Writes tables of the same columns one after the other, whole or not at all.

    Raises:
        VitexpError: a name that ends otherwise, or a file that cannot be written.
    """
    maker = maker_of(path)
    temporary = path.with_name(f"{TEMPORARY}{os.getpid()}-{path.name}")
    with disk(path):
        try:
            with maker(temporary) as add:
                for table in tables:
                    add(table)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


Add = Callable[[Columns], None]


def maker_of(path: Path) -> Callable[[Path], Any]:
    """What writes a file of the kind that its name ends in.

    Raises:
        VitexpError: none does.
    """
    makers = {".csv": _csv, ".parquet": _parquet}
    if path.suffix not in makers:
        raise VitexpError(
            f"{path} is no kind of file that predictions are written to.",
            f"Let its name end in {' or '.join(makers)}.",
        )
    return makers[path.suffix]


@contextmanager
def _csv(path: Path) -> Iterator[Add]:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")

        def add(table: Columns) -> None:
            if not file.tell():
                writer.writerow([field(name) for name in table])
            writer.writerows(zip(*map(_fields, table.values()), strict=True))

        yield add


def _fields(values: list[Any]) -> list[Any]:
    return [f"{value:.6g}" if isinstance(value, float) else field(value) for value in values]


@contextmanager
def _parquet(path: Path) -> Iterator[Add]:
    import pyarrow as pa
    from pyarrow import parquet

    writer: Any = None

    def add(table: Columns) -> None:
        nonlocal writer
        texts = {name for name in table if name in _NAMES or name.startswith("top_")}
        kinds = {name: pa.string() if name in texts else pa.float32() for name in table}
        schema = pa.schema(kinds)
        writer = writer or parquet.ParquetWriter(path, schema)
        writer.write_table(pa.table({n: pa.array(v, kinds[n]) for n, v in table.items()}))

    try:
        yield add
    finally:
        if writer is not None:
            writer.close()
