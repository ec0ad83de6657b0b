"""What all figures share. Colours are Okabe and Ito's (distinct for colour-blind eyes); markers
and dashes repeat what a colour says, so that a figure can be read in grey."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.legend_handler import HandlerLine2D
from matplotlib.lines import Line2D

from vitexp.errors import printable

COLOURS = ("#444444", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P")
Dash = Literal["-"] | tuple[float, tuple[float, ...]]
DASHES: tuple[Dash, ...] = ("-", (0, (6, 2)), (0, (2, 1.5)), (0, (6, 1.5, 1.5, 1.5)), (0, (1, 1)))
KNOWN = {
    **{"none": 0, "1-D": 1, "2-D": 2, "relative": 3},
    **{"ViT": 1, "ResNet": 2, "hybrid": 3},
}
"""Families of models and kinds of position -> index of the colour that each has in every figure."""

WIDTH = 7.4
"""Of a figure, in inches."""
BESIDE = 5
"""Points between an interval of a curve and its seeds."""
_CHARACTERS = 116  # a line of a caption
_TITLE = 76
_LINE = 0.18  # inches: of a line of a caption, about

STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "xtick.direction": "out",
    "legend.frameon": False,
    # A name is text, whatever it is made of.
    "text.parse_math": False,
    # Without it the SVG's ids would differ from one drawing to the next.
    "svg.hashsalt": "vitexp",
}


def colours(names: Iterable[str]) -> dict[str, str]:
    """Each name's colour: the known ones always have theirs, the others what these leave."""
    several = list(dict.fromkeys(names))
    used = {KNOWN[name] for name in several if name in KNOWN}
    free = [i for i in (*range(1, len(COLOURS)), 0) if i not in used] or [0]
    others = [name for name in several if name not in KNOWN]
    index = {name: free[i % len(free)] for i, name in enumerate(others)}
    return {name: COLOURS[KNOWN.get(name, index.get(name, 0))] for name in several}


def markers(names: Iterable[str]) -> dict[str, str]:
    """Each name's marker, in order."""
    return {name: MARKERS[i % len(MARKERS)] for i, name in enumerate(dict.fromkeys(names))}


def short(text: str, most: int) -> str:
    """Text of so many characters at most: its two ends."""
    half = (most - 1) // 2
    return text if len(text) <= most else f"{text[:half]}…{text[-half:]}"


def sheet(title: str, height: float) -> Figure:
    """An empty figure with a title, so many inches high without its caption."""
    layout = ConstrainedLayoutEngine(h_pad=0.07, w_pad=0.09)
    picture = Figure(figsize=(WIDTH, height), layout=layout)
    picture.suptitle(
        textwrap.fill(short(title, 3 * _TITLE), _TITLE), fontsize=11, fontweight="bold"
    )
    return picture


def caption(picture: Figure, lines: Sequence[str], handles: Sequence[Line2D], columns: int) -> None:
    """Below all: what a figure was measured on and says, and what its marks are called."""
    text = "\n".join(textwrap.fill(line, _CHARACTERS) for line in lines if line)
    below = text.count("\n") + 1 + -(-len(handles) // columns)
    picture.set_figheight(picture.get_figheight() + _LINE * below)
    picture.legend(
        handles=handles,
        title=text or None,
        title_fontsize=8,
        alignment="left",
        loc="outside lower left",
        ncols=columns,
        fontsize=8,
        handlelength=3.2,
        # An interval has both its ends.
        handler_map={h: HandlerLine2D(numpoints=2) for h in handles if _has_ends(h)},
    )


def _has_ends(mark: Line2D) -> bool:
    return mark.get_marker() == "|" and mark.get_linestyle() != "None"


def lay_out(picture: Figure, axes: Sequence[Axes], height: float) -> None:
    """Places everything, once: every file shows the same layout, and none makes it anew.

    Args:
        axes, height: what stands below one another and has to be so many inches high together,
            whatever stands above and below it.
    """
    picture.draw_without_rendering()
    now = sum(axis.get_window_extent().height for axis in axes) / picture.dpi
    picture.set_figheight(picture.get_figheight() + height - now)
    fix(picture)


def plain(name: str, longest: int) -> str:
    """A name from anybody as one short line."""
    return short(" ".join(printable(name).split()), longest)


def note(picture: Figure, remarks: Sequence[str]) -> int:
    """Writes remarks below all, from the left; returns how many lines they are."""
    lines = [line for text in remarks for line in textwrap.wrap(printable(text), _CHARACTERS)]
    picture.supxlabel("\n".join(lines), fontsize=8, x=0.02, ha="left")
    return len(lines)


def fix(picture: Figure) -> None:
    """Places everything as it lies now, so that every file shows the same."""
    picture.draw_without_rendering()
    picture.set_layout_engine(None)
