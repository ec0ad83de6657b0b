"""Whether anything changed in a results folder, seen from outside, perhaps through a mount."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from vitexp.runs import notes, plans

PERIOD = 5.0
"""Seconds between two looks, at least."""

Pulse = dict[str, int]
"""What changes when anything below a results folder does."""


def pulse(out: Path) -> Pulse:
    """When each run's folder, each question and each note was last written.

    Every file in there is renamed into its place, so that its folder's time tells.
    """
    found: Pulse = {}
    for name in ("runs", plans.FOLDER, notes.FOLDER):
        try:
            with os.scandir(out / name) as items:
                found |= {item.path: item.stat().st_mtime_ns for item in items}
        except OSError:
            # Not made yet, or not mounted just now: the next look will tell.
            continue
    return found


def follow(out: Path, write: Callable[[], None], looks: int | None = None) -> None:
    """Calls ``write`` at once, and again after each change; where that takes long, rests as long.

    Args:
        looks: how often to look; None: until interrupted.
    """
    before: Pulse | None = None
    while looks is None or looks > 0:
        # Looked at before writing, so that what comes meanwhile is not lost.
        now, start = pulse(out), time.monotonic()
        if now != before:
            write()
            before = now
        time.sleep(max(PERIOD, time.monotonic() - start))
        looks = None if looks is None else looks - 1
