"""``python -m vitexp.worker --out DIR --device cpu --checkpoint-seconds 60 --together 1``.

The protocol is in ``launch/events.py``. It ends when its standard input does, so it does not
outlive its parent.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

from vitexp.worker.worker import Worker


def main() -> None:
    parser = argparse.ArgumentParser(prog="vitexp.worker", description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", required=True)
    parser.add_argument("--checkpoint-seconds", type=float, required=True)
    parser.add_argument("--together", type=int, required=True)
    asked = parser.parse_args()
    # Whatever a library prints must not end up among the events.
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    worker = Worker(asked.out, asked.device, asked.checkpoint_seconds, events, asked.together)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: worker.stop.set())
    worker.serve(sys.stdin)
    # A thread that waits for standard input must not hold up the end.
    events.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
