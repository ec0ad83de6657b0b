"""The process of one tracker: an event comes in a line, why it could not be sent goes out in one.

Whatever a tracker's package prints, or does when it is interrupted, stays in here.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import sys
import threading
import time
from pathlib import Path

from vitexp.launch.events import Event
from vitexp.runs.store import Store
from vitexp.trackers import TRACKERS, Destination
from vitexp.trackers.mirror import Mirror
from vitexp.trackers.sink import PATIENCE

_LONGEST = 500
"""Letters of a reason."""


def main() -> None:
    """Takes events until there are no more."""
    parser = argparse.ArgumentParser()
    parser.add_argument("destination")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    answers = os.dup(1)
    os.dup2(2, 1)
    to = Destination.parse(given.destination)
    mirror = Mirror(Store(given.out), TRACKERS.load(to.kind)(to.where, given.out))
    events: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_listen, args=(events,), daemon=True).start()
    for line in iter(events.get, ""):
        os.write(answers, f"{json.dumps(_failure(mirror, line))}\n".encode())


def _listen(events: queue.Queue[str]) -> None:
    """Passes lines on; a tracker that hangs does not outlive the program by long."""
    for line in sys.stdin:
        events.put(line)
    events.put("")
    time.sleep(PATIENCE)
    os._exit(1)


def _failure(mirror: Mirror, line: str) -> str | None:
    """Why an event could not be sent."""
    try:
        mirror.take(Event.parse(line))
    except Exception as error:
        first = str(error).strip().partition("\n")[0]
        return f"{type(error).__name__}: {first}"[:_LONGEST]
    return None


if __name__ == "__main__":
    main()
