"""What every kind of source gives: encoded images with labels, split by split."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from vitexp.datasets.split import Part
from vitexp.errors import VitexpError
from vitexp.spec import Skipped


class UnreadableError(Exception):
    """An image that cannot be read or decoded; the message is the reason."""


Item = tuple[str, Callable[[], bytes]]
"""An image: its name in messages, and what reads its encoded bytes (from several threads;
raises UnreadableError)."""


class Encoded(ABC):
    """One split of a source, not decoded.

    Attributes:
        labels: int64, shape (n,).
    """

    labels: np.ndarray

    @abstractmethod
    def batches(self) -> Iterator[list[Item]]:
        """The images in the order of ``labels``, a few hundred at a time."""

    def names(self) -> Iterator[str]:
        """What the images are called in messages, in that order."""
        return (name for batch in self.batches() for name, _ in batch)


@dataclass(frozen=True)
class Source:
    """A source, opened.

    Attributes:
        names: class names, in label order.
        splits: the splits it has; ``"train"`` is among them.
        skipped: what of it is in no split, a reason each. Every file of a source is in a split,
            or counted here, or the source is refused.
        notes: what was decided where its names or labels leave it open, as sentences.
    """

    names: tuple[str, ...]
    splits: Mapping[Part, Encoded]
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Place:
    """A source, found and not opened.

    Attributes:
        source: its one spelling: a short name, a hub id or an absolute path.
        name: short name for tables.
        flips: whether a horizontal flip keeps the label.
        stamp: changes whenever its content may have changed.
        open: lists its images and reads its labels.
    """

    source: str
    name: str
    flips: bool
    stamp: str
    open: Callable[[], Source]


@dataclass(frozen=True)
class Listed:
    """A file under a folder, or a link to a folder.

    Attributes:
        path: relative to the folder, with ``/``.
        size: in bytes; -1 for a link that leads nowhere, -2 for what is neither file nor folder.
        mtime: nanoseconds.
    """

    path: str
    size: int
    mtime: int


def tally(left: Iterable[tuple[str, str]]) -> tuple[Skipped, ...]:
    """What was left out, by reason.

    Args:
        left: (reason, path) of each file or row.
    """
    found: dict[str, list[str]] = {}
    for reason, path in left:
        found.setdefault(reason, []).append(path)
    return tuple(Skipped(reason, len(paths), min(paths)) for reason, paths in found.items())


def check_labels(names: tuple[str, ...], labels: Mapping[Part, np.ndarray], where: str) -> None:
    """Refuse labels that name no class.

    Raises:
        VitexpError: naming the first such image.
    """
    for split, own in labels.items():
        wrong = np.flatnonzero((own < 0) | (own >= len(names)))
        if len(wrong):
            raise VitexpError(
                f"{where}: {split} row {wrong[0]} has label {own[wrong[0]]}; "
                f"there are {len(names)} classes, 0 to {len(names) - 1}.",
                "Correct the label column, or leave unlabelled images out.",
            )
