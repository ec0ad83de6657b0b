"""A curve drawn with letters, where there is no picture: a few lines in any terminal."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

Points = Sequence[tuple[float, float]]

HEIGHT = 7
_APART = "  "


def beside(panels: Sequence[list[str]]) -> list[str]:
    """Panels next to one another."""
    wide = [max(map(len, panel)) for panel in panels]
    rows = itertools.zip_longest(*panels, fillvalue="")
    return [
        _APART.join(line.ljust(w) for line, w in zip(row, wide, strict=True)).rstrip()
        for row in rows
    ]


def sketch(title: str, points: Points, width: int) -> list[str]:
    """Lines of at most ``width`` letters: a title, the points, the ends of both axes.

    Args:
        points: (x, y), at least one.
    """
    xs, ys = zip(*points, strict=True)
    high, low = f"{max(ys):.4g}", f"{min(ys):.4g}"
    margin = max(len(high), len(low))
    field = _field(points, width - margin - 2)
    labels = [high, *[""] * (HEIGHT - 2), low]
    rows = [f"{label:>{margin}} |{''.join(row)}" for label, row in zip(labels, field, strict=True)]
    first, last = f"{min(xs):g}", f"{max(xs):g}"
    axis = " " * margin + " +" + "-" * (width - margin - 2)
    ends = first + last.rjust(width - margin - 2 - len(first))
    return [title, *rows, axis, " " * (margin + 2) + ends]


def _field(points: Points, columns: int) -> list[list[str]]:
    """``HEIGHT`` rows, the largest value in the first, with a star for each point."""
    xs, ys = zip(*points, strict=True)
    field = [[" "] * columns for _ in range(HEIGHT)]
    for x, y in points:
        row = HEIGHT - 1 - _place(y, min(ys), max(ys), HEIGHT)
        field[row][_place(x, min(xs), max(xs), columns)] = "*"
    return field


def _place(value: float, least: float, most: float, places: int) -> int:
    return round((value - least) / (most - least) * (places - 1)) if most > least else 0
