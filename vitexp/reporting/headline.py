"""A report in at most three lines: what was found, what is open, what to type next."""

from __future__ import annotations

import re

from vitexp.reporting.report import Report, Value

_NAMED = 3
"""Cells that are named and not only counted."""

_COMMAND = re.compile("`(vitexp [^`]+)`")


def headline(report: Report, warning: str = "", caution: str = "") -> tuple[str, ...]:
    """The lines.

    Args:
        warning: what stands against any conclusion, if something does.
        caution: what may change what was found, if something may.
    """
    decided = [c for c in report.claims if c.standing in ("SUPPORTED", "REFUTED")]
    open_still = [c.id for c in report.claims if c.standing == "INCONCLUSIVE"]
    verdicts = [str(row.get("verdict") or "") for row in report.rows]
    words = [f"{c.id} {c.standing.lower()}" for c in decided]
    words += [said for word in ("better", "worse") if (said := _counted(report, word))]
    undecided = verdicts.count("undecided")
    left = [*open_still, *([f"{undecided} undecided"] if undecided else [])]
    found = f"Found: {', '.join(words) or 'nothing is decided'}{caution and f'; {caution}'}."
    lines = [warning or (found if words or caution else "")]
    lines.append(f"Open: {', '.join(left)}." if left else "")
    lines.append("" if warning else _next(report))
    return tuple(line for line in lines if line)


def _counted(report: Report, verdict: str) -> str:
    """How many cells have a verdict, and which where these are few."""
    rows = [row for row in report.rows if row.get("verdict") == verdict]
    cells = [" ".join(filter(None, map(_text, list(row.values())[:2]))) for row in rows]
    which = f" ({', '.join(cells)})" if len(cells) <= _NAMED else ""
    return f"{len(cells)} {verdict}{which}" if cells else ""


def _text(value: Value) -> str:
    return value if isinstance(value, str) else ""


def _next(report: Report) -> str:
    """The first command that may settle something."""
    texts = [c.settle for c in report.claims if c.standing in ("INCONCLUSIVE", "NOT RUN")]
    commands = (found for text in (*texts, *report.notes) for found in _COMMAND.findall(text))
    command = next(commands, None)
    return f"Next: `{command}`" if command else ""
