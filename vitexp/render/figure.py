"""Figures as PNG, SVG and PDF, the same bytes for the same figure."""

from __future__ import annotations

import io
import warnings

import matplotlib
from matplotlib.figure import Figure

from vitexp.render import confusion, curves, heads, intervals, mosaic, tiles, traces
from vitexp.render.style import STYLE
from vitexp.reporting import report
from vitexp.reporting.report import (
    CurveFigure,
    HeadsFigure,
    IntervalFigure,
    MatrixFigure,
    MosaicFigure,
    PairsFigure,
    TilesFigure,
    TraceFigure,
)

_NO_GLYPH = "Glyph .* missing from font"
_UNDATED = {"Date": None, "Creator": None}


def drawn(figure: report.Figure) -> dict[str, bytes]:
    """File ending -> content: a PNG with 200 dots an inch, an SVG and a PDF."""
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        # A name in letters that the font lacks is drawn as boxes; the CSV has it.
        warnings.filterwarnings("ignore", message=_NO_GLYPH)
        picture = draw(figure)
        return {
            "png": _saved(picture, "png", {"Software": None}),
            "svg": _saved(picture, "svg", _UNDATED),
            "pdf": _saved(picture, "pdf", {"CreationDate": None, "Creator": None}),
        }


def svg(figure: report.Figure) -> bytes:
    """The SVG alone."""
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=_NO_GLYPH)
        return _saved(draw(figure), "svg", _UNDATED)


def draw(figure: report.Figure) -> Figure:
    """Any figure of a report, laid out."""
    match figure:
        case TraceFigure():
            return traces.draw(figure)
        case CurveFigure():
            return curves.draw(figure)
        case MatrixFigure():
            return confusion.draw_matrix(figure)
        case PairsFigure():
            return confusion.draw_pairs(figure)
        case TilesFigure():
            return tiles.draw(figure)
        case MosaicFigure():
            return mosaic.draw(figure)
        case HeadsFigure():
            return heads.draw(figure)
        case IntervalFigure():
            return intervals.draw(figure)


def _saved(picture: Figure, kind: str, metadata: dict[str, None]) -> bytes:
    content = io.BytesIO()
    picture.savefig(content, format=kind, dpi=200, metadata=metadata)
    return content.getvalue()
