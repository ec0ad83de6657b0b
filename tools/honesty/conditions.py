"""The conditions of the bench: tables without a true difference, with some, and with all true."""

from __future__ import annotations

from typing import Any

import numpy as np

from tools.honesty.tables import Condition

POINTS_A_LOGIT = 13.6
"""How many points of accuracy a logit is where 73 % are right."""


def _table(name: str, sd: float = 0.5, times: tuple[int, ...] = (), **more: Any) -> Condition:
    """Ten cells, or ``cells``; those whose numbers are in ``times`` vary ``factor`` as much."""
    cells, factor = more.pop("cells", 10), more.pop("factor", 5)
    sds = tuple(sd * factor if cell in times else sd for cell in range(cells))
    return Condition(name, **{"gaps": (0.0,) * cells, "sds": sds, **more})


def _unlike(name: str, factors: np.ndarray, **more: Any) -> Condition:
    return Condition(name, (0.0,) * len(factors), tuple(factors), **more)


def _apart(name: str, gap: float, sd: float, same: int = 0, **more: Any) -> Condition:
    """Nine cells of which all but the last ``same`` are better than the reference."""
    gaps = (0.0,) + (gap,) * (9 - same) + (0.0,) * same
    return _table(name, sd, gaps=gaps, **more)


_LADDER = np.geomspace(0.2, 3, 10) / POINTS_A_LOGIT

SAME = (
    _table("sd 0.5"),
    _table("sd 0.15, 2,000 images", 0.15, images=2000),
    _table("seeds do not matter", 0.0),
    _table("unshared seeds", shared=0.0),
    _table("unshared seeds, sd 0.15, 2,000 images", 0.15, images=2000, shared=0.0),
    _table("seeds correlated -0.4 with the reference's", against=-0.4),
    _table("seeds correlated -0.4, sd 0.3, 2,000 images", 0.3, images=2000, against=-0.4),
    _table("near the ceiling, 99.3 %", base=6.0),
    _table("near the ceiling, 98 %, 2,000 images", 0.3, images=2000, base=5.0),
    _table("72 images", 0.3, images=72),
    _table("72 images, 95 %", 0.3, images=72, base=4.0),
    _table("heavy tails (t, 3 degrees)", tail=3.0),
    _table("heavy tails, 2,000 images", 0.3, images=2000, tail=3.0),
    _table("one in twenty collapses", 0.3, collapse=0.05),
    _table("one in twenty collapses, 2,000 images", 0.15, images=2000, collapse=0.05),
    _table("one in ten collapses, 2,000 images", 0.15, images=2000, collapse=0.1),
    _table("10 classes that cells differ in", 0.3, classes=10),
    _table("2 cells", cells=2),
    _table("3 cells", cells=3),
    _table("60 cells", cells=60),
    _table("the reference 5 times the sd", 0.1, (0,)),
    _table("the reference 5 times, 4 cells, 4,000 images", 0.1, (0,), cells=4, images=4000),
    _table("the reference 5 times, 6 cells, 4,000 images", 0.1, (0,), cells=6, images=4000),
    _table("the reference 5 times, 10,000 images", 0.15, (0,), images=10_000),
    _table("the reference 10 times, 4,000 images", 0.1, (0,), factor=10, images=4000),
    _table("half of the cells 5 times", 0.1, (5, 6, 7, 8, 9)),
    _table("half of the cells 5 times, 10,000 images", 0.1, (5, 6, 7, 8, 9), images=10_000),
    _table("one cell 5 times, 10,000 images", 0.15, (9,), images=10_000),
    _table("one cell 5 times, 4 cells, 4,000 images", 0.1, (3,), cells=4, images=4000),
    _table("one cell 10 times, 4,000 images", 0.1, (9,), factor=10, images=4000),
    _table("two cells 5 times, 10,000 images", 0.15, (8, 9), images=10_000),
    _table("one cell 5 times, heavy tails, 4,000 images", 0.1, (9,), images=4000, tail=3.0),
    _unlike("sds of 0.2 to 3 points, 2,000 images", _LADDER, images=2000),
    _unlike("sds of 3 to 0.2 points, the reference's the greatest", _LADDER[::-1], images=2000),
    _unlike("60 cells, sds 0.05 to 0.5, 2,000 images", np.geomspace(0.05, 0.5, 60), images=2000),
    _table("60 cells, three 5 times, 2,000 images", 0.1, (57, 58, 59), cells=60, images=2000),
)
"""No cell differs from the reference."""

SOME = (
    _apart("sd 0.3, unshared, five of nine the same", 0.8, 0.3, 5, shared=0.0),
    _apart("sd 0.5, unshared, five of nine the same", 1.6, 0.5, 5, shared=0.0),
    _apart("one of nine the same, 5 times, 4,000 images", 1.6, 0.1, 1, times=(9,), images=4000),
    _apart("three of nine the same, 5 times", 1.6, 0.1, 3, times=(7, 8, 9), images=4000),
    Condition(
        "five cells at 66 % vary three times as much as the five at 95 %",
        (0.0,) * 5 + (-3.0,) * 5,
        (0.3,) * 5 + (0.9,) * 5,
        base=4.0,
    ),
)
"""Some are different, by ``gaps``; only the others can be found falsely."""

APART = (
    _apart("gap 0.8, sd 0.3, unshared, 360 images", 0.8, 0.3, shared=0.0),
    _apart("gap 0.8, sd 0.15, unshared, 2,000 images", 0.8, 0.15, shared=0.0, images=2000),
    _apart("gap 1.6, sd 0.5, unshared, 360 images", 1.6, 0.5, shared=0.0),
    _apart("gap 0.8, sd 0.3", 0.8, 0.3),
    _apart("gap 0.4, sd 0.15, 2,000 images", 0.4, 0.15, images=2000),
    _apart("gap 0.8, sd 0.15, 2,000 images", 0.8, 0.15, images=2000),
    _apart("gap 1.6, sd 0.5", 1.6, 0.5),
    _apart("gap 2, sd 0.5, from 89 %", 2.0, 0.5, base=3.0),
)
"""All nine are better."""

ASKED_FOR = APART[:3]
"""Where three times as many differences were to be found at 3 seeds."""

CONDITIONS = {"same": SAME, "some": SOME, "apart": APART}
