"""What opens behind a field of a table: its runs, what sets them apart, what they get wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vitexp.analysis.groups import Group
from vitexp.page.answer import Answer, Field
from vitexp.page.tested import TestSets
from vitexp.runs.folds import whole
from vitexp.runs.record import Results
from vitexp.spec import RunSpec, flat, to_json

_OWN = ("asked", "seed", "data.subset_seed", "data.fold.seed", "data.fold.index")
"""What says nothing about a setting."""


def cells(
    answers: Sequence[Answer], done: Results, places: Mapping[str, int]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Of all answers, field by field; and the test sets that they speak of.

    Args:
        places: id of a run -> its place in the list of all runs.
    """
    sets = TestSets()
    found = [
        _cell(answer, field, beside, done, places, sets)
        for answer in answers
        for field, beside in _beside(list(answer.fields))
    ]
    return found, sets.shown()


def _beside(fields: Sequence[Field]) -> Iterator[tuple[Field, Field | None]]:
    """Each field with the one to its left, or where there is none the one above."""
    by_place = {field.place: field for field in fields}
    for field in fields:
        table, row, column = field.place
        near = [(table, row, c) for c in range(column - 1, -1, -1)]
        near += [(table, r, column) for r in range(row - 1, -1, -1)]
        yield field, next((by_place[place] for place in near if place in by_place), None)


def _cell(
    answer: Answer,
    field: Field,
    beside: Field | None,
    done: Results,
    places: Mapping[str, int],
    sets: TestSets,
) -> dict[str, Any]:
    spec = done[field.cell.runs[0]].spec
    group = Group(whole(done[run] for run in field.cell.runs))
    near = beside and done[beside.cell.runs[0]].spec
    return {
        "id": answer.id_of(field.place),
        "study": answer.anchor,
        "name": field.name,
        "lines": list(field.cell.lines),
        "runs": [places[run] for run in field.cell.runs],
        "beside": beside.name if beside else "",
        "settings": _differences(spec, near) if near else [],
        "command": answer.grid.again.strip("`"),
        "tested": sets.about(group),
    }


def _differences(spec: RunSpec, near: RunSpec) -> list[tuple[str, str, str]]:
    """(setting, here, beside) of all that is not the same."""
    here, there = flat(to_json(spec)), flat(to_json(near))
    names = [name for name in dict.fromkeys((*here, *there)) if name not in _OWN]
    return [
        (name, _words(here.get(name)), _words(there.get(name)))
        for name in names
        if here.get(name) != there.get(name)
    ]


def _words(value: Any) -> str:
    if isinstance(value, tuple):
        return "-".join(map(str, value))
    return "–" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
