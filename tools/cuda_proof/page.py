"""A proof's record to read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tools.bench.record import course_lines, table_lines

Item = dict[str, Any]


def page(facts: dict[str, Any], items: dict[str, Item]) -> str:
    """The record as Markdown."""
    return "\n".join(_lines(facts, items)) + "\n"


def _lines(facts: dict[str, Any], items: dict[str, Item]) -> Iterator[str]:
    yield f"# {facts['device_name']}"
    at = items.get("facts", {}).get("value")
    if at is not None:
        cuda = f", CUDA {at['cuda']}" if "cuda" in at else ""
        yield ""
        yield (
            f"torch {at['torch']}{cuda}, Python {at['python']}, vitexp {at['vitexp']},"
            f" {at['cores']} cores."
        )
    for call in facts["calls"]:
        boxes = ", ".join(f"{name} {spent:.0f} s" for name, spent in call["boxes"].items())
        yield ""
        yield f"{call['started']}, {call['seconds']:.0f} s: {boxes or 'under way'}."
    if checks := {name: i for name, i in items.items() if i["box"] == "canary" and name != "facts"}:
        yield from ("", "## Canary", "")
        rows = ((name, *_outcome(item)) for name, item in checks.items())
        yield from table_lines(("check", "commit", "outcome", "seconds", ""), rows)
    yield from _speed({name: item for name, item in items.items() if item["box"] == "speed"})
    others = {n: i for n, i in items.items() if i["box"] not in ("canary", "speed")}
    if others:
        yield from ("", "## Runs and tests", "")
        rows = ((name, *_outcome(item)) for name, item in others.items())
        yield from table_lines(("", "commit", "outcome", "seconds", ""), rows)
    if "grid" in facts:
        yield from ("", f"{facts.get('runs', 0)} finished runs; {' '.join(facts['grid'])}.")
    if "table" in facts:
        yield from ("", facts["table"].replace("\n#", "\n##").strip())


def _outcome(item: Item) -> tuple[str, str, str, str]:
    commit = (item["commit"] or "")[:8] + ("+" if (item["commit"] or "").endswith("+") else "")
    return commit, item["state"], f"{item.get('seconds', 0):.1f}", _words(item)


def _words(item: Item) -> str:
    if "error" in item:
        return str(item["error"]).replace("|", "\\|").replace("\n", " ")
    value = item.get("value", {})
    return ", ".join(f"{name} {_short(known)}" for name, known in value.items())


def _short(known: Any) -> str:
    return f"{known:.2g}" if isinstance(known, float) else str(known)


def _speed(items: dict[str, Item]) -> Iterator[str]:
    ceilings = items.pop("ceilings", {}).get("value")
    if ceilings is not None:
        rates = ceilings["flops_per_s"]
        yield from ("", "## Speed", "")
        yield (
            "Best measured: "
            + ", ".join(
                f"{name} products {rate / 1e12:.3g} TFLOP/s" for name, rate in rates.items()
            )
            + f", copies {ceilings['copied_bytes_per_s'] / 1e12:.3g} TB/s (read and written)."
        )
    for name, item in items.items():
        if item.get("value", {}).get("entries"):
            yield from course_lines(item["value"])
        if item["state"] != "done":
            yield from ("", f"{name}: {item['state']}. {item.get('error', '')}".rstrip())
