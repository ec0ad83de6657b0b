"""Trace figures: lines along steps, in panels one below the other."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from vitexp.render import style
from vitexp.render.marks import ENDS, entry
from vitexp.reporting.report import TraceFigure

_PANEL = 1.7  # inches
_NAMED = 24  # lines that the legend names
_NAME, _HALF = 96, 46  # characters of a name: at most, in one of two columns


def draw(figure: TraceFigure) -> Figure:
    """The panels, and below them a legend with a line for each name."""
    names = list(dict.fromkeys(line.name for panel in figure.panels for line in panel.series))
    picture = style.sheet(figure.title, 1 + (_PANEL + 0.3) * len(figure.panels))
    looks = _looks(names, dict(figure.families), _marked(figure))
    axes = picture.subplots(len(figure.panels), 1, sharex=True, squeeze=False)[:, 0]
    for axis, panel in zip(axes, figure.panels, strict=True):
        for line in panel.series:
            xs, ys = zip(*line.points, strict=True) if line.points else ((), ())
            axis.plot(xs, ys, linewidth=1.1, **looks[line.name])
            for x, band in zip(xs, line.band, strict=False):
                if band is not None:
                    colour = looks[line.name]["color"]
                    axis.plot([x, x], band, color=colour, **ENDS, alpha=0.6)
        axis.set_ylabel(panel.y_axis)
        axis.spines["left"].set_visible(True)
        axis.grid(color="0.92", linewidth=0.8)
        axis.set_axisbelow(True)
    axes[-1].set_xlabel(figure.x_axis)
    axes[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    handles = [
        entry(style.short(name, _NAME), **looks[name]) for name in names[:_NAMED] if names[1:]
    ]
    more = f"{len(names) - _NAMED} more lines are named in the CSV" if names[_NAMED:] else ""
    columns = 2 if max(map(len, names)) <= _HALF else 1
    style.caption(picture, [figure.setting, more], handles, columns)
    style.lay_out(picture, list(axes), _PANEL * len(axes))
    return picture


def _marked(figure: TraceFigure) -> set[str]:
    """The lines whose points are marked: they have intervals, or are one evaluation."""
    lines = [line for panel in figure.panels for line in panel.series]
    return {line.name for line in lines if line.band or len(line.points) == 1}


def _looks(
    names: Sequence[str], families: Mapping[str, str], marked: Collection[str]
) -> dict[str, dict[str, Any]]:
    """A colour, and a marker, for each family, and dashes that tell its lines apart."""
    colours = style.colours(families.get(name, name) for name in names)
    own: dict[str, list[str]] = {}
    for name in names:
        own.setdefault(colours[families.get(name, name)], []).append(name)
    markers = dict(zip(own, style.MARKERS * len(own), strict=False))
    return {
        name: {
            "color": colour,
            "linestyle": style.DASHES[index % len(style.DASHES)],
            "marker": markers[colour] if name in marked else "",
            "markersize": 4,
        }
        for colour, several in own.items()
        for index, name in enumerate(several)
    }
