"""Worker processes as tests see them: found, slowed down until something has happened, gone."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

HANG_SECONDS = 600
"""After so long something hangs; whatever takes its time on a busy machine takes less."""


def workers_of(out: Path) -> list[int]:
    """The worker processes on a folder, whoever started them."""
    return sorted(_workers(out))


def _workers(out: Path) -> Iterator[int]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if b"vitexp.worker" in words and os.fsencode(out) in words:
            yield int(path.parent.name)


def wait_until_gone(out: Path) -> None:
    """Returns when no worker works on a folder any more."""
    deadline = time.monotonic() + HANG_SECONDS
    while left := workers_of(out):
        assert time.monotonic() < deadline, f"still there: {left}"
        time.sleep(0.05)


class Slowly:
    """The usual position, whose steps take a tenth of a second each while a file is there.

    So whoever acts on a run finds it under way, however fast it is without.

    Attributes:
        position: its name for ``--position`` and ``position_spec``.
    """

    def __init__(self, folder: Path) -> None:
        self._mark, code = folder / "slowly", folder / "slow.py"
        self.position = f"{code}:Slow"
        code.write_text(
            "import time\n"
            "from pathlib import Path\n"
            "from vitexp.positions.learned_1d import Learned1D\n"
            "class Slow(Learned1D):\n"
            "    def tokens(self, x, block):\n"
            f"        if block == 0 and Path({str(self._mark)!r}).exists():\n"
            "            time.sleep(0.1)\n"
            "        return super().tokens(x, block)\n"
        )

    def begin(self) -> None:
        self._mark.touch()

    def end(self) -> None:
        self._mark.unlink(missing_ok=True)
