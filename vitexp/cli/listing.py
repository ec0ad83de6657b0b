"""What ``vitexp runs list`` says of each run, and which runs it lists."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from vitexp.catalog.sizes import called, signal
from vitexp.cli import budget, screen
from vitexp.cli.options import canonical
from vitexp.errors import VitexpError
from vitexp.registry import is_reference
from vitexp.reporting.described import NOTHING, USUAL, differing, facts, shared
from vitexp.runs.folder import Entry
from vitexp.runs.notes import Note, noted
from vitexp.runs.plans import kept
from vitexp.runs.store import Store
from vitexp.spec import FromFile
from vitexp.studies import STUDIES

_USUAL = USUAL | {"state": "done"}
_SHORT = 8
"""Digits of an id that are shown at least."""


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


@dataclass(frozen=True)
class Filters:
    """Which runs are listed: those that fit all that is given.

    Attributes:
        study, name, tag: the whole of it.
        dataset, model: a part of its name.
        since: a date (``2026-11-27``, ``2026-11-27 14:00``), or a time that has passed (``2d``).
    """

    study: str | None = None
    dataset: str | None = None
    model: str | None = None
    since: str | None = None
    name: str | None = None
    tag: str | None = None

    def chosen(self, several: Sequence[Listed]) -> list[Listed]:
        """The runs of ``several`` that fit.

        Raises:
            VitexpError: an unknown study, or no date.
        """
        study = self.study and _study(self.study)
        since = self.since and _date(self.since)
        return [
            each
            for each in several
            if (not study or study in each.studies)
            and (not since or each.entry.date >= since)
            and (self.name is None or self.name == each.note.name)
            and (self.tag is None or self.tag in each.note.tags)
            and self._about(each.entry)
        ]

    def _about(self, entry: Entry) -> bool:
        if entry.spec is None:
            return self.dataset is None and self.model is None
        names = (self.dataset, entry.spec.data.name), (self.model, called(entry.spec.model))
        return all(part is None or part.lower() in name.lower() for part, name in names)


def _study(name: str) -> str:
    # Of a study in a file only the name is asked for.
    return name if is_reference(name) else canonical(name)


def _date(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text).astimezone()
    except ValueError:
        pass
    try:
        return datetime.now().astimezone() - timedelta(seconds=budget.seconds(text))
    except (VitexpError, OverflowError) as error:
        raise VitexpError(
            f"--since {text!r} is no date.",
            "Write a date or a time that has passed: 2026-11-27, 2d.",
        ) from error


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


FIELDS = (
    *("id", "data", "model", "position", "placement", "seed", "state", "step", "steps"),
    *("recipe", "precision", "val_top1", "test_top1", "seconds", "bytes"),
    *("date", "image_size", "fraction", "fold", "start", "search", "studies", "name", "tags"),
)


def as_json(one: Listed) -> dict[str, Any]:
    """A run under the stable names of docs/json.md; of an unreadable one most are null."""
    entry = one.entry
    known = {
        "id": entry.id,
        "state": entry.state,
        "bytes": entry.bytes,
        "date": entry.date.isoformat(timespec="seconds"),
        "studies": list(one.studies),
        "name": one.note.name or None,
        "tags": list(one.note.tags),
    } | _of_spec(entry)
    return {name: known.get(name) for name in FIELDS}


def _of_spec(entry: Entry) -> dict[str, Any]:
    spec = entry.spec
    if spec is None:
        return {}
    metrics = entry.record.metrics if entry.record else {}
    position = signal(spec.model)
    return {
        "data": spec.data.name,
        "image_size": spec.data.image_size,
        "fraction": spec.data.fraction,
        "fold": spec.data.fold and spec.data.fold.index + 1,
        "model": spec.model.name,
        "position": position and position.kind,
        "placement": position and position.placement,
        "start": spec.parent or (spec.init.path if isinstance(spec.init, FromFile) else None),
        "seed": spec.seed,
        "search": spec.tries,
        "step": entry.step,
        "steps": spec.recipe.steps,
        "recipe": spec.recipe.name,
        "precision": spec.precision,
        **{name: metrics.get(name) for name in ("val_top1", "test_top1", "seconds")},
    }


def show(several: Sequence[Listed]) -> None:
    """Print runs, a line each: beside them what they differ in, below what they share. Where that
    is too wide for the screen, a table for each data set, then for each study."""
    known = [_facts(one) for one in several]
    told, digits = differing(known), _digits(several)
    columns = ("id", "date", *told, "seed", "top-1")
    rows = [_cells(one, own, told, digits) for one, own in zip(several, known, strict=True)]
    if not screen.fits(columns, rows):
        apart = next((name for name in ("data", "study") if name in told), None)
        if apart:
            for own in _by(apart, several):
                show(own)
            return
        columns = ("id", "date", "run", "seed", "top-1")
        rows = [(*row[:2], ", ".join(filter(None, row[2:-2])), *row[-2:]) for row in rows]
    screen.table(columns, rows, right=("seed", "top-1"))
    screen.say(f"{', '.join([screen.count(len(several), 'run'), *shared(known)])}.")


def _by(name: str, several: Sequence[Listed]) -> list[list[Listed]]:
    """The runs that are alike in a fact; those that were used last come last."""
    found: dict[str, list[Listed]] = {}
    for one in reversed(several):
        found.setdefault(_facts(one)[name], []).insert(0, one)
    return list(found.values())[::-1]


def _facts(one: Listed) -> dict[str, str]:
    """What is said of a run, in the order of the columns."""
    entry = one.entry
    half = entry.state in ("running", "stopped")
    said = (facts(entry.spec) if entry.spec else NOTHING) | {
        "study": ", ".join(STUDIES.typed(name) for name in one.studies),
        "name": one.note.name,
        "tags": " ".join(one.note.tags),
        "state": f"{entry.state} at {entry.step}" if half else entry.state,
    }
    return {name: "" if said[name] == _USUAL.get(name) else said[name] for name in said}


def _digits(several: Sequence[Listed]) -> int:
    """How many digits of their ids tell runs apart."""
    ids = [one.entry.id for one in several]
    return next(n for n in range(_SHORT, 99) if len({id[:n] for id in ids}) == len(ids))


def _cells(
    one: Listed, own: Mapping[str, str], told: Sequence[str], digits: int
) -> tuple[str, ...]:
    entry = one.entry
    metrics = entry.record.metrics if entry.record else {}
    seed = "" if entry.spec is None else "search" if entry.spec.tries else str(entry.spec.seed)
    date = f"{entry.date:%Y-%m-%d %H:%M}"
    top1 = screen.percent(metrics.get("test_top1"))
    return (entry.id[:digits], date, *(own[name] for name in told), seed, top1)
