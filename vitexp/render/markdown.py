"""A report as GitHub-flavoured Markdown."""

from __future__ import annotations

import re

from vitexp.reporting.report import Claim, GridTable, Report


def markdown(report: Report) -> str:
    """The setting, the tables, the claims and the notes."""
    parts = [
        f"# {escaped(report.title)}",
        _bullets([f"**{escaped(name)}**: {escaped(value)}" for name, value in report.facts]),
        *map(escaped, report.headline),
        *(_grid(table) for table in report.tables),
        _bullets([escaped(note) for note in report.notes]),
        _claims(report.claims),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def escaped(text: str) -> str:
    """``text`` with nothing in it that Markdown would read as markup, but for code spans."""
    spans = re.split(r"(`[^`]*`)", " ".join(text.split()))
    plain = (re.sub(r"([\\|*_<>#\[\]`])", r"\\\1", part) for part in spans[::2])
    code = [part.replace("|", r"\|") for part in spans[1::2]]
    return "".join(a + b for a, b in zip(plain, [*code, ""], strict=True))


def _bullets(items: list[str]) -> str:
    return "\n".join(f"- {item}" for item in items)


def _line(fields: list[str]) -> str:
    return f"| {' | '.join(fields)} |"


def _grid(table: GridTable) -> str:
    head = [escaped(name) for name in (table.corner, *table.columns)]
    lines = [_line(head), _line(["---", *[":---:"] * len(table.columns)])]
    for label, cells in table.rows:
        fields = ["<br>".join(map(escaped, cell.lines)) for cell in (label, *cells)]
        first, *others = fields
        lines.append(_line([f"**{first}**" if len(label.lines) == 1 else first, *others]))
    return "\n".join(lines)


def _claims(claims: tuple[Claim, ...]) -> str:
    if not claims:
        return ""
    lines = [_line(["claim", "verdict", "evidence"]), _line(["---"] * 3)]
    for claim in claims:
        evidence = f"{claim.evidence} {claim.settle}".rstrip()
        what = f"**{claim.id}** {escaped(claim.sentence)} ({escaped(claim.source)})"
        lines.append(_line([what, claim.standing, escaped(evidence)]))
    return "\n".join(lines)
