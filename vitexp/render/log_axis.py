"""A logarithmic axis: how far it reaches, and labels at which places."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from matplotlib.ticker import MaxNLocator

Tick = tuple[float, str]

_LABELS = range(3, 9)
_ROOM = 0.05
"""Beside the first and the last point, as a share of what lies between them."""
_APART = 0.09
"""Between a label and those that have to be there, as a share of the axis."""


def limits(xs: Sequence[float]) -> tuple[float, float]:
    """Of an axis on which these lie, a quarter beyond them at least."""
    low, high = min(xs, default=1.0), max(xs, default=1.0)
    room = max((high / low) ** _ROOM, 1.25)
    return low / room, high * room


def ticks(ends: tuple[float, float], given: Sequence[Tick] = ()) -> list[Tick]:
    """At least three labels: those given, and others between them if these are fewer."""
    if len(given) >= min(_LABELS):
        return list(given)
    low, high = map(math.log, ends)
    near = [(math.log(place) - low) / (high - low) for place, _ in given]
    for places in _candidates(*ends):
        shares = [(math.log(place) - low) / (high - low) for place in places]
        clear = [
            (place, f"{place:,.6g}")
            for place, at in zip(places, shares, strict=True)
            if all(abs(at - other) > _APART for other in near)
        ]
        if len(clear) + len(given) in _LABELS:
            break
    return sorted([*given, *clear])


def _candidates(low: float, high: float) -> Iterator[list[float]]:
    """Decades, then two, five and more places in each, then even steps."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    apart = -(-len(decades) // max(_LABELS))
    for steps in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7)):
        every = [step * 10.0**decade for decade in decades[::apart] for step in steps]
        yield [place for place in every if low <= place <= high]
    even = MaxNLocator(5).tick_values(low, high)
    yield [float(place) for place in even if low <= place <= high]
