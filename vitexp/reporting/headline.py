"""A report in at most three lines: what was found, what is open, what to type next."""

from __future__ import annotations

import re

from vitexp.reporting.report import Report

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
    words += [f"{n} {word}" for word in ("better", "worse") if (n := verdicts.count(word))]
    undecided = verdicts.count("undecided")
    left = [*open_still, *([f"{undecided} undecided"] if undecided else [])]
    found = f"Found: {', '.join(words) or 'nothing is decided'}{caution and f'; {caution}'}."
    lines = [warning or (found if words or caution else "")]
    lines.append(f"Open: {', '.join(left)}." if left else "")
    lines.append("" if warning else _next(report))
    return tuple(line for line in lines if line)


def _next(report: Report) -> str:
    """The first command that may settle something."""
    texts = [c.settle for c in report.claims if c.standing in ("INCONCLUSIVE", "NOT RUN")]
    commands = (found for text in (*texts, *report.notes) for found in _COMMAND.findall(text))
    command = next(commands, None)
    return f"Next: `{command}`" if command else ""
