"""What a probe found out about a finished run, or about a file with weights."""

from __future__ import annotations

import base64
import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from vitexp.spec import FORMAT, ProbeSpec, digest, from_json, identity, to_json

READS = ".reads"
"""Suffix of a file with a stroke for each read of the test split, until the probe has measured."""


def measurement_id(run_id: str, probe: ProbeSpec) -> str:
    """16 hexadecimal digits that stand for the run and the question."""
    return digest({"run": run_id, "probe": identity(probe)})


@dataclass(frozen=True)
class Measurement:
    """The published result of one probe.

    Attributes:
        run_id: of the run whose final weights were probed; of a file, that of its ``Checkpoint``.
        values: name -> value; ``few_shot_5_top1`` and the like are shares in [0, 1].
        per_example: of ``few_shot`` name -> one bit per test image, as ``RunRecord.correct``, one
            text a draw; of ``bias`` one text with a number per image that was looked at.
        execution: how it was computed, as ``RunRecord.execution``.
    """

    run_id: str
    probe: ProbeSpec
    values: dict[str, float]
    per_example: dict[str, list[str]]
    execution: dict[str, Any]

    @property
    def id(self) -> str:
        return measurement_id(self.run_id, self.probe)

    def numbers(self, name: str) -> np.ndarray:
        """What was measured of each image under a name: float64, (images,)."""
        (text,) = self.per_example[name]
        return np.frombuffer(base64.b64decode(text), "<f2").astype(float)

    def to_json(self) -> dict[str, Any]:
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {"format": FORMAT, "id": self.id, **fields, "probe": to_json(self.probe)}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Measurement:
        """The inverse of :meth:`to_json`.

        Raises:
            ValueError: written in another format, or not the fields of a measurement.
        """
        names = {f.name for f in dataclasses.fields(cls)}
        if set(value) != names | {"format", "id"} or value["format"] != FORMAT:
            raise ValueError("not a measurement of this version")
        fields = {name: value[name] for name in names - {"probe"}}
        return cls(probe=from_json(ProbeSpec, value["probe"]), **fields)


def pack_numbers(numbers: np.ndarray) -> str:
    """Numbers of about four digits, one an image, as a text of ``per_example``."""
    return base64.b64encode(numbers.astype("<f2").tobytes()).decode("ascii")
