"""How this program prints: data on the standard output, everything else on the error output."""

from __future__ import annotations

import functools
import json
import math
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from vitexp.amounts import amount as amount
from vitexp.amounts import count as count
from vitexp.amounts import duration as duration
from vitexp.amounts import size as size
from vitexp.cli import NARROW
from vitexp.errors import printable

_FILE_COLUMNS = 1000
_COMMAND = re.compile(r"`[^`]*`")
_TIED = "\x00"
"""Stands for a space at which no line is broken."""


class _Safe(Console):
    """A console on which no name can steer the terminal; its own colours stay."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterator[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=printable(segment.text))


def stdout(log_columns: int | None = None) -> Console:
    """Where results go, ``log_columns`` wide where nobody looks. Nothing is read as markup."""
    width = None if sys.stdout.isatty() else log_columns
    return _Safe(width=width, highlight=False, markup=False, emoji=False)


@functools.cache
def stderr() -> Console:
    """Where progress and remarks go: one console, so that a remark stands above a live display."""
    return _Safe(stderr=True, highlight=False, markup=False, emoji=False)


def say(text: str) -> None:
    """A remark, for people. On a terminal it is broken between words, but no command is."""
    console = stderr()
    lines = _broken(text, console.width) if console.is_terminal else text
    console.print(lines, soft_wrap=True)


def _broken(text: str, width: int) -> str:
    whole = _COMMAND.sub(lambda command: command[0].replace(" ", _TIED), printable(text))
    lines = [line if line.startswith(" ") else _wrapped(line, width) for line in whole.split("\n")]
    return "\n".join(lines).replace(_TIED, " ")


def _wrapped(line: str, width: int) -> str:
    return textwrap.fill(line, width, break_long_words=False, break_on_hyphens=False)


def emit(value: Any) -> None:
    """``value`` as JSON on the standard output; numbers that are not finite become null."""
    print(json.dumps(_finite(value), indent=2, allow_nan=False))


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], right: Iterable[str] = ()) -> None:
    """Print rows under columns.

    Args:
        columns: the heads.
        rows: one text a column.
        right: the columns that are aligned to the right.
    """
    # In a file or a pipe a line is a row, however long.
    console, rows = stdout(_FILE_COLUMNS), [tuple(map(printable, row)) for row in rows]
    if console.width < NARROW:
        return _stacked(console, columns, rows)
    one_line = all(text.isprintable() for row in rows for text in row)
    if one_line and fits(columns, rows):
        return _aligned(console, columns, rows, _widths(columns, rows), set(right))
    shown = Table(box=None, pad_edge=False)
    for column in columns:
        # The first column is what one copies.
        keep = column == columns[0]
        justify: Literal["left", "right"] = "right" if column in set(right) else "left"
        shown.add_column(column, justify=justify, no_wrap=keep, overflow="fold")
    for row in rows:
        shown.add_row(*map(Text, row))
    console.print(shown)


def fits(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Whether a table has room for a line a row."""
    widths = _widths(columns, rows)
    return sum(widths) + 2 * (len(widths) - 1) <= stdout(_FILE_COLUMNS).width


def _widths(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(cell_len, column)) for column in zip(columns, *rows, strict=True)]


def _aligned(
    console: Console,
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    widths: Sequence[int],
    right: set[str],
) -> None:
    """A line for each row; rich's table takes a second for a thousand of them."""

    def line(cells: Sequence[str]) -> str:
        padded = []
        for name, text, width in zip(columns, cells, widths, strict=True):
            space = " " * (width - cell_len(text))
            padded.append(space + text if name in right else text + space)
        return "  ".join(padded).rstrip()

    console.print(Text(line(columns), style="bold"), soft_wrap=True)
    for row in rows:
        print(line(row))


def _stacked(console: Console, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A block of lines for each row, where columns do not fit side by side."""
    for first, *others in rows:
        console.print(Text(first), soft_wrap=True)
        for column, text in zip(columns[1:], others, strict=True):
            name = f"{column}  " if len(others) > 1 else ""
            console.print(Text(f"  {name}{text}"), overflow="fold")


def percent(share: float | None) -> str:
    """A share in [0, 1] as per cent, or a dash."""
    return "-" if share is None or not math.isfinite(share) else f"{100 * share:.1f}"
