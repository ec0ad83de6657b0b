"""A process that is cut off by the clock, and with it whatever it has started."""

from __future__ import annotations

import os
import queue
import secrets
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

HOME = Path(__file__).parents[2]

_MARK = "VITEXP_PROOF_PROCESS"
"""A variable that every process inherits from the one that was started."""

GRACE_SECONDS = 10.0
"""Before a process has to be gone it is asked to end, so that it can keep what it has."""


@dataclass(frozen=True)
class Ended:
    """How a process ended.

    Attributes:
        why: by itself; or it was ended since its time was up, or since it said nothing for too
            long.
        code: its exit code, where it ended by itself.
    """

    why: Literal["itself", "time", "silence"]
    code: int | None = None


class Machine(Protocol):
    """Where processes run, and its clock."""

    def now(self) -> float:
        """Seconds."""

    def run(
        self,
        command: Sequence[str],
        seconds: float,
        log: Path,
        line: Callable[[str], None],
        silence: float | None = None,
        ask: signal.Signals = signal.SIGTERM,
        every: tuple[float, Callable[[], None]] | None = None,
    ) -> Ended:
        """Runs a command in the checkout; returns when all of it is gone, within ``seconds``.

        Args:
            log: takes its standard error, after what is there.
            line: takes each line of its standard output as it comes.
            silence: seconds between two lines, at most.
            ask: the signal that asks it to end.
            every: something to be done every so many seconds meanwhile.
        """


class ThisMachine:
    """The real one."""

    def now(self) -> float:
        return time.monotonic()

    def run(
        self,
        command: Sequence[str],
        seconds: float,
        log: Path,
        line: Callable[[str], None],
        silence: float | None = None,
        ask: signal.Signals = signal.SIGTERM,
        every: tuple[float, Callable[[], None]] | None = None,
    ) -> Ended:
        end = self.now() + seconds
        soft = end - min(GRACE_SECONDS, seconds / 4)
        mark = secrets.token_hex(8)
        log.parent.mkdir(parents=True, exist_ok=True)
        with open(log, "a") as errors:
            process = subprocess.Popen(
                command,
                cwd=HOME,
                env=_environment(mark),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
            )
        try:
            why = self._followed(process, soft, line, silence, every)
            if why != "itself":
                process.send_signal(ask)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(max(0.0, min(end - self.now(), GRACE_SECONDS)))
        finally:
            _kill_all(mark)
            process.wait()
        return Ended(why, process.returncode if why == "itself" else None)

    def _followed(
        self,
        process: subprocess.Popen[str],
        soft: float,
        line: Callable[[str], None],
        silence: float | None,
        every: tuple[float, Callable[[], None]] | None,
    ) -> Literal["itself", "time", "silence"]:
        """Hands its lines on until it ends or has to."""
        lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=_read, args=(process, lines), daemon=True).start()
        heard = acted = self.now()
        while True:
            ends = [soft]
            if silence is not None:
                ends.append(heard + silence)
            if every is not None:
                ends.append(acted + every[0])
            try:
                said = lines.get(timeout=max(0.0, min(ends) - self.now()))
            except queue.Empty:
                now = self.now()
                if now >= soft:
                    return "time"
                if silence is not None and now >= heard + silence:
                    return "silence"
                if every is not None and now >= acted + every[0]:
                    every[1]()
                    acted = self.now()
                continue
            if said is None:
                try:
                    process.wait(max(0.0, soft - self.now()))
                except subprocess.TimeoutExpired:
                    return "time"
                return "itself"
            heard = self.now()
            line(said)


def _read(process: subprocess.Popen[str], lines: queue.Queue[str | None]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        lines.put(line.rstrip("\n"))
    lines.put(None)


def _kill_all(mark: str) -> None:
    """What a process has started, in sessions of its own too, would go on using the device."""
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if f"{_MARK}={mark}".encode() in path.read_bytes().split(b"\0"):
                os.kill(int(path.parent.name), signal.SIGKILL)


def _environment(mark: str) -> dict[str, str]:
    path = os.pathsep.join(filter(None, (str(HOME), os.environ.get("PYTHONPATH"))))
    usual = {"PYTHONPATH": path, "HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}
    return {**os.environ, **usual, _MARK: mark}
