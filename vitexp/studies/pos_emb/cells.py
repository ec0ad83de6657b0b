"""The cells of the positional ablation, sorted out of the runs of a store."""

from __future__ import annotations

import dataclasses
import functools
from collections import defaultdict
from collections.abc import Iterable, Mapping

from vitexp.analysis.decide import Outlook
from vitexp.analysis.groups import Group
from vitexp.experiment.grids import from_scratch, last_ended, parts, same, split
from vitexp.positions import PAPER_POSITIONS, placements
from vitexp.reporting.words import more_seeds
from vitexp.runs.record import Results, RunRecord
from vitexp.spec import ModelSpec, PositionSpec

Key = tuple[str, str]
"""(kind of position, placement)."""

Cells = Mapping[Key, Group]

DECIDES = ("placement",)
"""The settings in which the cells differ, which a flag cannot ask for."""

NONE: Key = ("none", "stem")
PAPER_CELLS: tuple[Key, ...] = tuple(
    (kind, place) for kind in PAPER_POSITIONS for place in placements(kind)
)
_LABELS = {"learned_1d": "1-D", "learned_2d": "2-D"}


def kind_label(kind: str) -> str:
    """What a table calls a kind; for ``file.py:Name`` the name."""
    return _LABELS.get(kind, kind.rpartition(":")[2])


def cell_label(key: Key) -> str:
    return "none" if key == NONE else f"{kind_label(key[0])} {key[1]}"


def to_type(cells: Cells, outlook: Outlook) -> str:
    """The command that would settle an open question, as the end of a sentence."""
    if not outlook.possible or outlook.first is None:
        return ""
    group = next(iter(cells.values()))
    return f": {extended(cells, min(group.seeds), outlook.first)}"


def extended(cells: Cells, first_seed: int, seeds: int) -> str:
    """What to type for so many seeds of all cells."""
    spec = next(iter(cells.values())).spec
    return more_seeds("ablate pos-emb", spec, first_seed, seeds, DECIDES)


def kinds_of(keys: Iterable[Key]) -> tuple[str, ...]:
    """The rows of the table: the paper's, then the others among ``keys``."""
    return (*PAPER_POSITIONS, *sorted({kind for kind, _ in keys} - set(PAPER_POSITIONS)))


def cells_of(grid: Results) -> dict[Key, Group]:
    """The cells that have runs, in the order of the table."""
    found: defaultdict[Key, list[RunRecord]] = defaultdict(list)
    for record in grid:
        found[record.spec.position.kind, record.spec.position.placement].append(record)
    places = [(kind, place) for kind in kinds_of(found) for place in placements(kind)]
    return {key: Group(found[key]) for key in places if key in found}


def grids_of(done: Results) -> list[Results]:
    """Runs that differ in position and seed only, the most recently finished grid last.

    In a grid each kind has one initial std (and one choice of its signal's other options).
    Where the store has several, the last grid takes each kind's latest, the grid before it
    the one before, where there is one.
    """
    with_position = [record for record in from_scratch(done) if record.spec.model.vit]
    settings = split(
        with_position,
        lambda record: parts(record.spec, model=_without_position(record.spec.model)),
    )
    grids = [grid for records in settings for grid in _one_variant_each(records)]
    return [Results(grid) for grid in sorted(grids, key=last_ended)]


@functools.cache
def _without_position(model: ModelSpec) -> ModelSpec:
    vit = dataclasses.replace(model.transformer, position=PositionSpec())
    return dataclasses.replace(model, vit=vit)


def _variant(record: RunRecord) -> str:
    return same(_at_the_stem(record.spec.position))


@functools.cache
def _at_the_stem(position: PositionSpec) -> PositionSpec:
    return dataclasses.replace(position, placement="stem")


def _one_variant_each(records: list[RunRecord]) -> list[list[RunRecord]]:
    stacks = [
        sorted(split(of_kind, _variant), key=last_ended)
        for of_kind in split(records, lambda record: record.spec.position.kind)
    ]
    depth = max(map(len, stacks))
    return [
        [record for stack in stacks for record in stack[max(len(stack) - age, 0)]]
        for age in range(depth, 0, -1)
    ]
