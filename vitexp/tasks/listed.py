"""All runs of a store, each with what its folder does not say of it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

from vitexp.reporting.described import NOTHING, USUAL, facts
from vitexp.runs.folder import Entry
from vitexp.runs.notes import Note, noted
from vitexp.runs.plans import kept
from vitexp.runs.store import Store
from vitexp.studies import STUDIES

_USUAL = USUAL | {"state": "done"}


@dataclass(frozen=True)
class Listed:
    """A run with what its folder does not say.

    Attributes:
        studies: that asked for it, in the spelling of their files.
        note: what it is called.
    """

    entry: Entry
    studies: tuple[str, ...]
    note: Note


def listed(out: Path) -> list[Listed]:
    """All runs, the latest last."""
    entries = sorted(Store(out).entries(), key=lambda entry: entry.date)
    studies = _studies(out)
    return [Listed(e, tuple(studies.get(e.id, ())), noted(out, e.id)) for e in entries]


def listed_one(store: Store, start: str) -> Listed:
    """The run whose id begins with ``start``.

    Raises:
        VitexpError: none does, or more than one.
    """
    entry = store.find(start)
    studies = _studies(store.out).get(entry.id, ())
    return Listed(entry, tuple(studies), noted(store.out, entry.id))


def _studies(out: Path) -> dict[str, list[str]]:
    """Id of a run -> the studies that asked for it."""
    found: dict[str, list[str]] = {}
    for asked in kept(out):
        for run in {*asked.tries, *itertools.chain(*asked.cells.values())}:
            if asked.study not in (studies := found.setdefault(run, [])):
                studies.append(asked.study)
    return found


def said_of(one: Listed) -> dict[str, str]:
    """What there is to say of a run but for its seed, ``""`` for what goes without saying."""
    entry = one.entry
    half = entry.state in ("running", "stopped")
    said = (facts(entry.spec) if entry.spec else NOTHING) | {
        "study": ", ".join(STUDIES.typed(name) for name in one.studies),
        "name": one.note.name,
        "tags": " ".join(one.note.tags),
        "state": f"{entry.state} at {entry.step}" if half else entry.state,
    }
    return {name: "" if said[name] == _USUAL.get(name) else said[name] for name in said}
