"""Generic drawers: a :class:`~vitexp.reporting.report.Report` as tables and figures on disk."""

from __future__ import annotations

from pathlib import Path

from vitexp.render.files import write_figures, write_tables
from vitexp.reporting.report import Report

__all__ = ["write", "write_figures", "write_tables"]


def write(report: Report, out: Path) -> list[Path]:
    """Writes ``out/tables/<stem>.{md,csv,tex}`` and ``out/plots/<stem>.{png,svg,pdf,csv}``.

    Returns:
        The files, each replaced whole.

    Raises:
        VitexpError: ``out`` cannot be written.
    """
    return [*write_tables(report, out), *write_figures(report, out)]
