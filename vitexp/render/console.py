"""A report on the terminal: a grid where it fits, a list of its cells where it does not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from vitexp.reporting.report import Cell, Claim, GridTable, Report

Detail = Literal["headline", "table", "notes"]
"""How much of a report is shown: what it comes to; the table and each verdict, too; all of it."""

_TONES = {"plain": "", "good": "green", "bad": "red", "muted": "dim"}
_STANDINGS = {"SUPPORTED": "green", "REFUTED": "red", "INCONCLUSIVE": "yellow", "NOT RUN": "dim"}
_ASCII = str.maketrans({"±": "+/-", "−": "-", "×": "x", "–": "-", "’": "'"})


class ReportView:
    """A Rich renderable of a report, for any width and for terminals without Unicode."""

    def __init__(self, report: Report, detail: Detail) -> None:
        self.report, self.detail = report, detail

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType]:
        draw = _Drawer(ascii_only=options.ascii_only)
        report = self.report
        yield draw.text(report.title, "bold")
        if self.detail == "headline":
            yield from map(draw.text, report.headline)
            return
        for name, value in report.facts:
            yield draw.text(f"{name}  ", "dim") + draw.text(value)
        for line in report.headline:
            yield draw.text(line, "bold")
        for table in report.tables:
            grid = draw.grid(table)
            unbounded = options.update(max_width=10_000)
            needed = Measurement.get(console, unbounded, grid).maximum
            yield grid if needed <= options.max_width else draw.stack(table)
        full = self.detail == "notes"
        for claim in report.claims:
            yield draw.claim(claim, full)
        if not full:
            return
        yield Text()
        for note in report.notes:
            yield draw.text(note, "dim")


class _Drawer:
    def __init__(self, ascii_only: bool) -> None:
        self._ascii = ascii_only

    def text(self, words: str, style: str = "") -> Text:
        if self._ascii:
            # What has no ASCII form (a data set's name, say) must not stop the table.
            words = words.translate(_ASCII).encode("ascii", "backslashreplace").decode()
        return Text(words, style)

    def cell(self, cell: Cell) -> Text:
        first, *details = (self.text(line) for line in cell.lines)
        first.stylize("bold" if cell.tone != "muted" else "dim")
        for line in details:
            line.stylize("dim")
        if details and cell.tone in ("good", "bad"):
            for line in details[:2]:
                line.stylize(_TONES[cell.tone])
        return Text("\n").join([first, *details])

    def grid(self, table: GridTable) -> Table:
        grid = Table(box=SIMPLE_HEAD, pad_edge=False, leading=1)
        grid.add_column(self.text(table.corner), no_wrap=True)
        for name in table.columns:
            grid.add_column(self.text(name), no_wrap=True)
        for label, cells in table.rows:
            grid.add_row(*map(self.cell, (label, *cells)))
        return grid

    def stack(self, table: GridTable) -> Group:
        """One block a cell, for narrow terminals; cells that do not exist are left out."""
        blocks: list[RenderableType] = []
        for label, cells in table.rows:
            heading = self.text(" ".join(label.lines), "bold")
            blocks += [Text(), heading]
            for name, cell in zip(table.columns, cells, strict=True):
                if cell.text != "N/A":
                    blocks += [Padding(self.text(name), (0, 0, 0, 2))]
                    blocks += [Padding(self.cell(cell), (0, 0, 0, 4))]
        return Group(*blocks)

    def claim(self, claim: Claim, full: bool) -> Text:
        head = Text.assemble(
            (f"{claim.id} ", "bold"), (claim.standing, _STANDINGS[claim.standing]), "  "
        )
        more = f" {claim.evidence} {claim.settle}".rstrip() if full else ""
        return head + self.text(f"{claim.sentence}.{more}")


def console(report: Report, detail: Detail = "notes") -> ReportView:
    """``report`` as something that Rich prints."""
    return ReportView(report, detail)
