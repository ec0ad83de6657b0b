"""What a finished run leaves behind, and a set of such records."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from vitexp.errors import VitexpError
from vitexp.spec import FORMAT, RunSpec, from_json, to_json

Status = Literal["done", "diverged"]

TRAIN_IMAGES = 2_000
"""Training images on which the final weights are measured, at most."""

CLOCKED = (
    *("seconds", "device_seconds", "images_per_s", "flops_per_s", "peak_flops_per_s"),
    *("utilisation", "peak_memory"),
)
"""The metrics in which a run that is made again differs from itself."""


@dataclass(frozen=True)
class RunRecord:
    """The published result of one run.

    Attributes:
        spec: the resolved spec.
        status: ``"diverged"`` when the loss stopped being finite; such a run has no accuracies.
        metrics: name -> value. Accuracies are shares in [0, 1]: ``test_top1``, ``test_top5``,
            ``val_top1``, ``train_top1`` (last evaluation, on ``train_images`` of the training
            images), ``test_majority`` (of the most common class), ``few_shot_5_top1`` (mean over
            draws; also 1, 10, 25, where the data allow). ``train_loss``; ``params``;
            ``macs`` (forward, per image, nominal);
            ``flops`` (training, 6 x MACs x images seen); ``macs_executed`` (forward, per image,
            as computed here); and those of :data:`CLOCKED`, measured by a clock: ``seconds``
            (training and evaluation); ``device_seconds`` (times the CPU's threads);
            ``images_per_s`` (training, without a first step that compiles); ``flops_per_s`` (6 x
            executed MACs x images a second); ``peak_flops_per_s`` (of a matrix product on that
            device) and ``utilisation``, their ratio; ``peak_memory`` (bytes). Results of earlier
            versions lack some of them.
        correct: one bit per test image in the data set's order, packed (``numpy.packbits``) and
            base64-encoded; empty for a diverged run.
        curve: evaluations in order, each with ``step``, ``train_loss``, ``val_top1``.
        execution: how it was computed: commit, versions, device, threads, dropout source, ...;
            ``started`` and ``ended`` in ISO 8601, UTC.
        tested: of one fold of many, whether each of all images was tested, packed likewise; None
            where the source's own test split was.
        weights_sha: SHA-256 of the kept weights file, or None.
        mistaken: what each test image that is not correct was taken for, in order: classes as
            unsigned 32-bit numbers, little-endian and base64-encoded; None in results of earlier
            versions, and of a diverged run.
    """

    spec: RunSpec
    status: Status
    metrics: dict[str, float]
    correct: str
    curve: list[dict[str, float]]
    execution: dict[str, Any]
    weights_sha: str | None = None
    tested: str | None = None
    mistaken: str | None = None

    @property
    def id(self) -> str:
        return self.spec.id

    @property
    def runs(self) -> tuple[str, ...]:
        """Ids of the runs whose result it is."""
        return (self.id,)

    @property
    def images(self) -> int:
        """Number of test images."""
        return self.spec.data.test

    def correctness(self) -> np.ndarray:
        """Whether each test image was classified correctly: bool, shape (test images,)."""
        return unpack(self.correct, self.images)

    def taken(self) -> np.ndarray | None:
        """The class that each test image was taken for where that is wrong, else -1: int64, shape
        (test images,); None where it was not kept."""
        if self.mistaken is None:
            return None
        found = np.full(self.images, -1)
        found[~self.correctness()] = unpack_classes(self.mistaken)
        return found

    def with_weights(self, sha: str) -> RunRecord:
        """This record, naming the weights file that is kept with it."""
        return dataclasses.replace(self, weights_sha=sha)

    def to_json(self) -> dict[str, Any]:
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {"format": FORMAT, "id": self.id, **fields, "spec": to_json(self.spec)}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> RunRecord:
        """The inverse of :meth:`to_json`.

        Raises:
            VitexpError: written in another format, or its id is not that of its spec.
            ValueError: not the fields of a record.
        """
        if not isinstance(value, dict):
            raise ValueError("not an object")
        if value.get("format") != FORMAT:
            raise VitexpError(
                f"A result in format {value.get('format')!r}; this version reads {FORMAT}.",
                "Use the version of vitexp that wrote it, or another --out folder.",
            )
        # Results of earlier versions do not have these.
        later = {name: value.get(name) for name in ("tested", "mistaken")}
        names = {f.name for f in dataclasses.fields(cls)} - {"spec", *later}
        fields = {name: value[name] for name in names} | later
        record = cls(spec=from_json(RunSpec, value["spec"]), **fields)
        record._check()
        if record.id != value.get("id"):
            raise VitexpError(
                f"The result of run {value.get('id')} does not belong to its spec ({record.id}).",
                "It was edited or mixed up; remove that run's folder and run it again.",
            )
        return record

    def _check(self) -> None:
        wrong = [name for name, item in self.metrics.items() if type(item) not in (int, float)]
        if wrong:
            raise ValueError(f"{', '.join(wrong)}: not a number")
        if self.status not in get_args(Status):
            raise ValueError(f"status {self.status!r}")
        images = self.images
        if self.correct and len(base64.b64decode(self.correct)) != (images + 7) // 8:
            raise ValueError(f"not one bit for each of {images} test images")
        if self.mistaken is not None:
            wrong_images = images - int(self.correctness().sum())
            if len(unpack_classes(self.mistaken)) != wrong_images:
                raise ValueError(f"not one class for each of {wrong_images} mistakes")
        if self.correct and self.spec.data.fold is not None:
            pool = self.spec.data.pool
            if self.tested is None or unpack(self.tested, pool).sum() != images:
                raise ValueError(f"not {images} of {pool} images tested")


def pack_correct(correct: np.ndarray) -> str:
    """Bools, one an image, -> the ``correct`` or ``tested`` field of a record."""
    return base64.b64encode(np.packbits(correct.astype(bool)).tobytes()).decode("ascii")


def unpack(packed: str, count: int) -> np.ndarray:
    """The inverse of :func:`pack_correct`: bool, shape (count,).

    Raises:
        ValueError: no base64.
    """
    bits = np.frombuffer(base64.b64decode(packed), dtype=np.uint8)
    return np.unpackbits(bits, count=count).astype(bool)


def pack_classes(classes: np.ndarray) -> str:
    """Classes -> the ``mistaken`` field of a record."""
    return base64.b64encode(classes.astype("<u4").tobytes()).decode("ascii")


def unpack_classes(packed: str) -> np.ndarray:
    """The inverse of :func:`pack_classes`: int64, shape (mistakes,)."""
    return np.frombuffer(base64.b64decode(packed), "<u4").astype(np.int64)


class Results:
    """Finished runs, by id."""

    def __init__(self, records: Iterable[RunRecord]) -> None:
        self._records = {record.id: record for record in records}

    def __iter__(self) -> Iterator[RunRecord]:
        return iter(self._records.values())

    def __len__(self) -> int:
        return len(self._records)

    def __contains__(self, run_id: str) -> bool:
        return run_id in self._records

    def __getitem__(self, run_id: str) -> RunRecord:
        return self._records[run_id]

    def where(self, keep: Callable[[RunRecord], bool]) -> Results:
        """The records for which ``keep`` is true."""
        return Results(record for record in self if keep(record))
