"""What all figures share. Colours are Okabe and Ito's (distinct for colour-blind eyes); markers
and dashes repeat what a colour says, so that a figure can be read in grey."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any, Literal

from matplotlib.figure import Figure

from vitexp.errors import printable

COLOURS = ("#444444", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P")
Dash = Literal["-"] | tuple[float, tuple[float, ...]]
DASHES: tuple[Dash, ...] = ("-", (0, (6, 2)), (0, (2, 1.5)), (0, (6, 1.5, 1.5, 1.5)), (0, (1, 1)))

STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "xtick.direction": "out",
    "legend.frameon": False,
    # Without it the SVG's ids would differ from one drawing to the next.
    "svg.hashsalt": "vitexp",
}


_LINE = 110
"""Characters of a line of remarks."""


def plain(name: str, longest: int) -> str:
    """A name from anybody as one short line; of a longer one, its two ends."""
    line = " ".join(printable(name).split())
    head, tail = longest // 2, (longest - 1) // 2
    return line if len(line) <= longest else f"{line[:head]}…{line[-tail:]}"


def note(picture: Figure, remarks: Sequence[str]) -> None:
    """Writes remarks below all, from the left."""
    lines = [line for text in remarks for line in textwrap.wrap(printable(text), _LINE)]
    picture.supxlabel("\n".join(lines), fontsize=8, x=0.02, ha="left", parse_math=False)


def lay_out(picture: Figure) -> None:
    """Places everything, once: every file shows the same layout, and none makes it anew."""
    picture.draw_without_rendering()
    picture.set_layout_engine(None)
