"""What is measured on weights that are there: the question, and a file to ask."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

from vitexp.spec.data import DataSpec, Reading
from vitexp.spec.ids import digest, identity
from vitexp.spec.model import ModelSpec
from vitexp.spec.run import FromFile, Precision, RunSpec

ProbeKind = Literal["few_shot", "bias"]
"""What features are worth to a linear map; or what stays when images are shifted, shuffled or
hidden, see :mod:`vitexp.evaluation.bias`."""


@dataclass(frozen=True)
class ProbeSpec:
    """A measurement to make on a finished run; it is not a run and changes none.

    Attributes:
        kind: what is measured.
        data: on which images, at the run's image size.
    """

    kind: ProbeKind
    data: DataSpec


def own_probe(run: RunSpec, kind: ProbeKind) -> ProbeSpec:
    """A measurement on the run's own images, whatever share of them it was trained on."""
    return ProbeSpec(kind, dataclasses.replace(run.data, fraction=None, subset_seed=None))


@dataclass(frozen=True)
class Shown:
    """Images that trained weights are to predict, each by itself.

    Attributes:
        source: where they are; None for the run's own test split.
        reading: how their files are read.
        names: of the model's classes, in label order: an image's label is found by its name.
        to: the file that the predictions go to, of ``vitexp/runs/predictions.py``.
    """

    source: str | None
    reading: Reading
    names: tuple[str, ...]
    to: str


@dataclass(frozen=True)
class Checkpoint:
    """A file with weights, as something to measure.

    Attributes:
        model: the one in it; where only its name was given, the file decides the classes, the
            channels, the pool and the layer before the head.
        file: the file.
        precision: of the arithmetic.
    """

    model: ModelSpec
    file: FromFile
    precision: Precision = "fp32"

    @property
    def id(self) -> str:
        """16 hexadecimal digits that stand for the weights and how they are read."""
        return digest(identity(self))
