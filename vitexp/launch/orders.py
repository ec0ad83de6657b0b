"""What a worker may be asked to do: a frozen order a kind, a line of JSON each."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from vitexp.runs.options import DEFAULTS, ExecutionOptions
from vitexp.spec import Checkpoint, ProbeSpec, RunSpec, Shown, SoupSpec, from_json, to_json


@dataclass(frozen=True)
class Resources:
    """What an order may take, and how it is computed.

    Attributes:
        threads: of the CPU.
        memory: bytes; None where that is not known.
        options: how to compute.
    """

    threads: int
    memory: int | None = None
    options: ExecutionOptions = DEFAULTS


@dataclass(frozen=True)
class Train:
    """Train a run to its end.

    Attributes:
        keep: whether its final weights are kept.
        crash: what ended the process that worked on it before, if anything did.
    """

    spec: RunSpec
    resources: Resources
    keep: bool = True
    crash: str | None = None


@dataclass(frozen=True)
class Pace:
    """Time a few steps of a run in about so many seconds, for an estimate."""

    spec: RunSpec
    resources: Resources
    seconds: float


@dataclass(frozen=True)
class Bench:
    """Time a run's steps for so many seconds."""

    spec: RunSpec
    resources: Resources
    seconds: float


@dataclass(frozen=True)
class Measure:
    """Measure a finished run, or a file of weights."""

    spec: RunSpec | Checkpoint
    resources: Resources
    probe: ProbeSpec


@dataclass(frozen=True)
class Predict:
    """Predict images with a finished run, or with a file of weights."""

    spec: RunSpec | Checkpoint
    resources: Resources
    shown: Shown


@dataclass(frozen=True)
class Average:
    """Average finished runs."""

    spec: SoupSpec
    resources: Resources


Order = Train | Pace | Bench | Measure | Predict | Average
"""``spec.id`` is what its events carry."""

_KINDS: dict[str, type[Order]] = {
    kind.__name__: kind for kind in (Train, Pace, Bench, Measure, Predict, Average)
}


def line(order: Order) -> str:
    """An order as it is sent."""
    return json.dumps({"order": type(order).__name__, **to_json(order)}) + "\n"


def parse(text: str) -> Order:
    """The inverse of :func:`line`."""
    value: dict[str, Any] = json.loads(text)
    return from_json(_KINDS[value.pop("order")], value)
