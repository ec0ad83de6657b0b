"""Large numbers, counts, bytes and times, for people."""

from __future__ import annotations

import math


def amount(value: float | None) -> str:
    """A count with a unit prefix: 86.6 M; a dash for None."""
    if value is None:
        return "-"
    for limit, prefix in (
        (1e18, "E"),
        (1e15, "P"),
        (1e12, "T"),
        (1e9, "G"),
        (1e6, "M"),
        (1e3, "k"),
    ):
        # What three digits round up to the limit is written with its prefix.
        if value >= 0.9995 * limit:
            return f"{value / limit:.3g} {prefix}"
    return f"{value:.3g}"


def count(number: int, what: str) -> str:
    """``"1 run"``, ``"2 runs"``."""
    return f"{number} {what}{'s' * (number != 1)}"


def size(number: float) -> str:
    """Bytes, for people."""
    return f"{amount(number)}B" if number >= 1e3 else f"{number:.0f} B"


def duration(seconds: float | None) -> str:
    """Seconds, for people: 42 s, 3 min 5 s, 2 h 10 min."""
    if seconds is None or not math.isfinite(seconds):
        return "-"
    whole = math.ceil(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
