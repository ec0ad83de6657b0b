"""Reports on disk; a file is replaced whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from vitexp.errors import VitexpError
from vitexp.render.csv_table import csv_text
from vitexp.render.latex import latex
from vitexp.render.markdown import markdown
from vitexp.reporting.report import Report


def write_tables(report: Report, out: Path) -> list[Path]:
    """Writes ``out/tables/<stem>.{md,csv,tex}`` and returns their paths.

    Raises:
        VitexpError: ``out`` cannot be written.
    """
    texts = {"md": markdown(report), "csv": csv_text(report), "tex": latex(report)}
    return [
        publish(out / "tables" / f"{report.stem}.{ending}", text.encode())
        for ending, text in texts.items()
    ]


def write_figures(report: Report, out: Path) -> list[Path]:
    """Writes ``out/plots/<stem>.{png,svg,pdf}`` and, as CSV, the numbers behind them.

    Returns:
        Their paths; none where the report has no figure.

    Raises:
        VitexpError: ``out`` cannot be written.
    """
    from vitexp.render.figure import drawn

    paths = [
        publish(out / "plots" / f"{report.stem}{figure.suffix}.{ending}", image)
        for figure in report.figures
        for ending, image in drawn(figure).items()
    ]
    if paths:
        paths.append(publish(out / "plots" / f"{report.stem}.csv", csv_text(report).encode()))
    return paths


def publish(path: Path, content: bytes) -> Path:
    """Writes one file, whole or not at all, and its folder; returns its path.

    Raises:
        VitexpError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            # mkstemp keeps its file to its owner; a table is as readable as its folder.
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        except BaseException:
            # Ctrl-C may come just after it got its name.
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise VitexpError(
            f"{path} cannot be written: {error.strerror or error}.",
            "Free space or permissions there, or name another folder with --out.",
        ) from error
    return path
