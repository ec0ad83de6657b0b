"""Predictions on their way from a worker to whoever asked: a file of Arrow batches.

n images, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

CELLS = 1 << 20
"""Probabilities that are held in memory at a time, at most."""


@dataclass(frozen=True)
class Predicted:
    """What a model says of some images.

    Attributes:
        sources: where each image is from: its file, or its row.
        labels: int64, (n,); -1 for what has none.
        best: the most probable class, int64, (n,).
        probabilities: of each class, float32, (n, K).
    """

    sources: list[str]
    labels: np.ndarray
    best: np.ndarray
    probabilities: np.ndarray

    @property
    def probability(self) -> np.ndarray:
        """Of the prediction: float32, (n,)."""
        rows: np.ndarray = self.probabilities[np.arange(len(self.best)), self.best]
        return rows

    @property
    def correct(self) -> np.ndarray:
        """Bool, (n,)."""
        right: np.ndarray = self.best == self.labels
        return right


Add = Callable[[Predicted], None]
"""Appends predictions to a file."""


@contextmanager
def writing(path: Path, classes: int) -> Iterator[Add]:
    """A new file for predictions among so many classes."""
    import pyarrow as pa

    schema = _schema(classes)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, schema) as stream:

        def add(predicted: Predicted) -> None:
            flat = pa.array(np.ascontiguousarray(predicted.probabilities, np.float32).ravel())
            columns = [
                pa.array(map(told, predicted.sources), pa.string()),
                pa.array(predicted.labels, pa.int64()),
                pa.array(predicted.best, pa.int64()),
                pa.FixedSizeListArray.from_arrays(flat, classes),
            ]
            stream.write_batch(pa.record_batch(columns, schema=schema))

        yield add


def reading(path: Path) -> Iterator[Predicted]:
    """What was written, so many images at a time that follow from the number of classes alone."""
    import pyarrow as pa

    with pa.memory_map(str(path)) as file, pa.ipc.open_stream(file) as stream:
        # Mapped from the disk, not read.
        every = stream.read_all()
        classes = stream.schema.field("probabilities").type.list_size
        rows = max(1, CELLS // classes)
        for start in range(0, every.num_rows, rows):
            part = every.slice(start, rows).combine_chunks()
            yield Predicted(
                part["source"].to_pylist(),
                part["label"].to_numpy(),
                part["best"].to_numpy(),
                part["probabilities"].combine_chunks().flatten().to_numpy().reshape(-1, classes),
            )


def _schema(classes: int) -> pa.Schema:
    import pyarrow as pa

    return pa.schema(
        {
            "source": pa.string(),
            "label": pa.int64(),
            "best": pa.int64(),
            "probabilities": pa.list_(pa.float32(), classes),
        }
    )


def told(name: str) -> str:
    """A file's name as text; bytes of it that are none are spelled ``\\xNN``."""
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")
