"""The long form of a report as CSV."""

from __future__ import annotations

import csv
import io

from vitexp.reporting.report import Report, Value


def csv_text(report: Report) -> str:
    """One line a row of ``report.rows``, with a header; an unknown value is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(report.columns)
    writer.writerows([field(row[name]) for name in report.columns] for row in report.rows)
    return text.getvalue()


def field(value: Value) -> str | int | float:
    """A value as it stands in a CSV: a text that a spreadsheet would run as a formula gets a quote
    before it."""
    if value is None:
        return ""
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"
    return value
