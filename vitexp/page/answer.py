"""What a page shows of a study: one grid of runs, and the report on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vitexp.experiment.plan import Grid
from vitexp.reporting.report import Cell, Report


@dataclass(frozen=True)
class Field:
    """A field of a table that runs stand behind.

    Attributes:
        place: table, row and column in the report, from 0.
        name: its row and its column, for people.
    """

    place: tuple[int, int, int]
    name: str
    cell: Cell


@dataclass(frozen=True)
class Answer:
    """One grid of a study and the report on it.

    Attributes:
        study: its name, as it is typed.
    """

    study: str
    grid: Grid
    report: Report

    @property
    def anchor(self) -> str:
        """What links on the page call it."""
        return f"{self.report.stem}-{self.grid.digest[:8]}"

    def id_of(self, place: tuple[int, int, int]) -> str:
        """What links call one of its fields."""
        return f"{self.anchor}-{'-'.join(map(str, place))}"

    @property
    def fields(self) -> Iterator[Field]:
        """Row by row, those with runs."""
        for t, table in enumerate(self.report.tables):
            for r, (label, cells) in enumerate(table.rows):
                for c, cell in enumerate(cells):
                    if cell.runs:
                        column = table.columns[c] if _several(cells) else ""
                        yield Field((t, r, c), ", ".join(filter(None, (label.text, column))), cell)


def _several(cells: tuple[Cell, ...]) -> bool:
    """Whether a row needs its columns to tell its runs apart."""
    return len({cell.runs for cell in cells if cell.runs}) > 1
