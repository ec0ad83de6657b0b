"""Figures as PNG, SVG and PDF, the same bytes for the same figure."""

from __future__ import annotations

import io

import matplotlib
from matplotlib.figure import Figure

from vitexp.render import curves, intervals, traces
from vitexp.render.style import STYLE
from vitexp.reporting import report
from vitexp.reporting.report import CurveFigure, IntervalFigure


def drawn(figure: report.Figure) -> dict[str, bytes]:
    """File ending -> content: a PNG with 200 dots an inch, an SVG and a PDF."""
    with matplotlib.rc_context(STYLE):
        picture = draw(figure)
        return {
            "png": _saved(picture, "png", {"Software": None}),
            "svg": _saved(picture, "svg", {"Date": None, "Creator": None}),
            "pdf": _saved(picture, "pdf", {"CreationDate": None, "Creator": None}),
        }


def draw(figure: report.Figure) -> Figure:
    """Any figure of a report, laid out."""
    if isinstance(figure, IntervalFigure):
        return intervals.draw(figure)
    return curves.draw(figure) if isinstance(figure, CurveFigure) else traces.draw(figure)


def _saved(picture: Figure, kind: str, metadata: dict[str, None]) -> bytes:
    content = io.BytesIO()
    picture.savefig(content, format=kind, dpi=200, metadata=metadata)
    return content.getvalue()
