"""A run of the store in the words of trackers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from vitexp.errors import printable
from vitexp.reporting.described import USUAL, facts, homeless
from vitexp.runs.folder import read_entry
from vitexp.runs.notes import noted
from vitexp.runs.plans import Asked, kept
from vitexp.runs.record import RunRecord
from vitexp.runs.store import Store
from vitexp.spec import RunSpec, flat, to_json
from vitexp.studies import STUDIES
from vitexp.trackers.base import FINAL, Point, Tracked, Value
from vitexp.training.schedule import learning_rate

_KEPT_BACK = ("host", "started", "ended")
"""Of how a run was computed: the machine's name is nobody's business, times are told apart."""


def tracked(store: Store, run: str, state: str) -> Tracked:
    """A run as far as the store knows it.

    Raises:
        VitexpError: it was removed, or its folder is damaged.
    """
    entry = read_entry(store.folder(run)) or store.find(run)
    spec, record = entry.readable(), entry.record
    name, tags = _name(spec), _tags(store, spec)
    began, ended = (_time(record, name) for name in ("started", "ended"))
    return Tracked(
        id=run,
        name=" ".join(filter(None, [tags.get("name"), name, _seed(spec)])),
        state=state,
        group=f"{tags['study']}: {tags['cell']}" if "study" in tags else name,
        tags=tags,
        settings=_values(to_json(spec)),
        points=[with_rate(spec, point) for point in store.curve(entry)],
        results={FINAL + k: v for k, v in record.metrics.items()} if record else {},
        environment=_environment(record),
        spec=spec,
        began=began,
        ended=ended,
    )


def with_rate(spec: RunSpec, point: Point) -> Point:
    """An evaluation with the learning rate of the step before it."""
    step = int(point["step"])
    return {**point, "learning_rate": learning_rate(spec.recipe, step - 1)} if step else point


def _name(spec: RunSpec) -> str:
    known = facts(spec)
    words = ("model", "position", "pool", "share", "start", "fold")
    return printable(" ".join(known[w] for w in words if known[w] not in ("", USUAL.get(w))))


def _seed(spec: RunSpec) -> str:
    return "search" if spec.tries else f"seed {spec.seed}"


def _tags(store: Store, spec: RunSpec) -> dict[str, str]:
    note = noted(store.out, spec.id)
    asked = [each for each in kept(store.out) if spec.id in each]
    known = {
        "name": note.name,
        "tags": " ".join(note.tags),
        "study": ", ".join(dict.fromkeys(STUDIES.typed(each.study) for each in asked)),
        "cell": ", ".join(dict.fromkeys(_cell(each, spec.id) for each in asked)),
        "seed": "search" if spec.tries else str(spec.seed),
        "data": spec.data.name,
    }
    return {name: homeless(printable(text)) for name, text in known.items() if text}


def _cell(asked: Asked, run: str) -> str:
    keys = (key for key, runs in asked.cells.items() if run in runs)
    return " ".join(map(str, next(keys, ("search",))))


def _environment(record: RunRecord | None) -> dict[str, Value]:
    found = _values(record.execution) if record else {}
    return {name: value for name, value in found.items() if name not in _KEPT_BACK}


def _values(value: Mapping[str, Any]) -> dict[str, Value]:
    """What is known of it, by its name."""
    known = ((name, item) for name, item in flat(value).items() if item not in (None, "", (), []))
    return {name: _value(item) for name, item in known}


def _value(item: Any) -> Value:
    if isinstance(item, bool | int | float):
        return item
    text = item if isinstance(item, str) else json.dumps(item)
    return homeless(printable(text))


def _time(record: RunRecord | None, name: str) -> datetime | None:
    try:
        return datetime.fromisoformat(record.execution[name]) if record else None
    except (KeyError, ValueError, TypeError):
        return None
