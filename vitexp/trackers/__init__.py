"""Trackers that people already have, as places to send runs to: a file here is one, its stem its
name.

What a tracker holds is a copy: the store stays the truth, and nothing is read back from there but
what it has of a run already. Each works in a process of its own (``sink.py``, ``__main__.py``),
which alone imports its package.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass

from vitexp.errors import VitexpError
from vitexp.registry import Registry, is_reference

TRACKERS = Registry(
    "tracker",
    {
        "tensorboard": "vitexp.trackers.tensorboard:TensorBoard",
        "wandb": "vitexp.trackers.wandb:WandB",
        "mlflow": "vitexp.trackers.mlflow:MLflow",
        "trackio": "vitexp.trackers.trackio:Trackio",
    },
)


@dataclass(frozen=True)
class Destination:
    """Where runs are sent.

    Attributes:
        kind: name in :data:`TRACKERS`, or ``file.py:Class``.
        where: what that tracker takes: a folder, an address, a project; ``""`` for its own.
    """

    kind: str
    where: str = ""

    def __str__(self) -> str:
        return f"{self.kind}:{self.where}" if self.where else self.kind

    @classmethod
    def parse(cls, text: str) -> Destination:
        """``tensorboard``, ``tensorboard:DIR``, ``mlflow:http://localhost:5000``.

        Raises:
            VitexpError: no such tracker, or its package is not installed.
        """
        kind, _, where = (text, "", "") if is_reference(text) else text.partition(":")
        found = cls(TRACKERS.canonical(kind), where)
        if found.kind in TRACKERS and not _installed(found.kind):
            raise VitexpError(
                f"The package {found.kind} is not installed here.",
                f"Install it: pip install 'vitexp[{found.kind}]'.",
            )
        return found


def _installed(package: str) -> bool:
    # A folder of that name, such as W&B's own here, has no origin.
    spec = importlib.util.find_spec(package)
    return spec is not None and spec.origin is not None


def destinations(texts: Iterable[str]) -> tuple[Destination, ...]:
    """Each of ``texts`` once.

    Raises:
        VitexpError: as :meth:`Destination.parse`.
    """
    return tuple(dict.fromkeys(map(Destination.parse, texts)))
