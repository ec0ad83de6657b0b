"""A report's tables as LaTeX; the document needs ``\\usepackage{booktabs}``."""

from __future__ import annotations

import re
from itertools import zip_longest

from vitexp.reporting.report import Cell, GridTable, Report

_ESCAPES = {
    "\\": r"\textbackslash{}",
    **{mark: rf"\{mark}" for mark in "%&_#${}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "−": "$-$",
    "×": r"$\times$",
    "<": "$<$",
    ">": "$>$",
    # A bracket after the end of a row would be read as that row's extra height.
    "[": "{[}",
}


def latex(report: Report) -> str:
    """One ``table`` environment a grid; facts and notes stand below it."""
    return "% needs \\usepackage{booktabs}\n" + "\n".join(
        _table(table, report) for table in report.tables
    )


def escaped(text: str) -> str:
    """``text`` with nothing in it that LaTeX would read as a command; code spans in \\texttt."""
    plain = "".join(_ESCAPES.get(character, character) for character in " ".join(text.split()))
    return re.sub(r"`([^`]*)`", r"\\texttt{\1}", plain)


def _table(table: GridTable, report: Report) -> str:
    facts = [f"{name.capitalize()}: {value}." for name, value in report.facts]
    notes = escaped(" ".join((*facts, *report.notes)))
    head = " & ".join(map(escaped, (table.corner, *table.columns)))
    body = "\n\\addlinespace\n".join(_row(label, cells) for label, cells in table.rows)
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{escaped(report.title)}}}",
            rf"\label{{tab:{report.stem}}}",
            rf"\begin{{tabular}}{{l{'c' * len(table.columns)}}}",
            r"\toprule",
            rf"{head} \\",
            r"\midrule",
            body,
            r"\bottomrule",
            r"\end{tabular}",
            r"\par\medskip",
            rf"\begin{{minipage}}{{\linewidth}}\footnotesize {notes}\end{{minipage}}",
            r"\end{table}",
            "",
        ]
    )


def _row(label: Cell, cells: tuple[Cell, ...]) -> str:
    """One line of the source for each line of the row's fullest cell."""
    lines = []
    for index, fields in enumerate(
        zip_longest(label.lines, *(cell.lines for cell in cells), fillvalue="")
    ):
        size = "" if index == 0 else r"\footnotesize "
        texts = (f"{size}{escaped(field)}" if field else "" for field in fields)
        lines.append(f"{' & '.join(texts)} \\\\")
    return "\n".join(lines)
