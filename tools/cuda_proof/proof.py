"""The record of a proof, and the boxes of time that fill it.

A record is made for each name of a device, in a folder of four files: ``record.json``,
``record.md``, ``runs.tar.gz`` for ``vitexp runs import``, ``logs.tar.gz``. It is written after
whatever was found, so that a proof may end at any moment.
"""

from __future__ import annotations

import functools
import io
import json
import re
import signal
import tarfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tools.cuda_proof import page
from tools.cuda_proof.processes import Ended, Machine
from vitexp.runs.files import write_atomic

LEAST_SECONDS = 5.0
"""With less nothing is begun."""

LOG_BYTES = 200_000
"""Of each log, the end of it, at most."""

UNDER_WAY = ("begun", "so far")

Item = dict[str, Any]
"""What came of one thing: ``box``; ``state`` (one of ``UNDER_WAY``, done, failed, cut off or
missing); ``seconds``; ``commit``; ``value`` or ``error``."""


@dataclass(frozen=True)
class Minutes:
    """How the seconds are divided: at most so many each, and the grid has what is left.

    Attributes:
        total: of the whole call.
        canary, speed: of these boxes.
        end: kept for what is written at the end.
    """

    total: float
    canary: float
    speed: float
    end: float

    @classmethod
    def of(cls, minutes: float) -> Minutes:
        total = 60 * minutes
        return cls(total, min(75.0, total / 4), min(150.0, 0.3 * total), min(15.0, 0.05 * total))

    def words(self) -> str:
        rest = self.total - self.canary - self.speed - self.end
        return (
            f"{self.total:.0f} s: canary at most {self.canary:.0f}, speed at most {self.speed:.0f},"
            f" grid {rest:.0f} and what the others leave, {self.end:.0f} to write it all down; the"
            " tests if anything is left after that."
        )


class Proof:
    """A device's record and the time that is left.

    Args:
        out: holds a folder for each device.
        work: for what is only needed meanwhile: the store, logs.
        device: such as ``cuda:0``.
        name: of the device, as its maker has it.
        minutes: for this call.
        commit: of the program.
        machine: runs the processes.

    Attributes:
        items: name -> what came of it, of earlier calls too.
        facts: what is true of all of it.
    """

    def __init__(
        self,
        out: Path,
        work: Path,
        device: str,
        name: str,
        minutes: Minutes,
        commit: str | None,
        machine: Machine,
    ) -> None:
        self.folder, self.work, self.device = out.absolute() / slug(name), work.absolute(), device
        self.minutes, self.commit, self.machine = minutes, commit, machine
        self._end = machine.now() + minutes.total - minutes.end
        self.facts: dict[str, Any] = {"device_name": name, "calls": []}
        self.items: dict[str, Item] = {}
        self.folder.mkdir(parents=True, exist_ok=True)
        if (known := self.folder / "record.json").exists():
            found = json.loads(known.read_text())
            self.facts, self.items = found["facts"], found["items"]
        started = datetime.now(UTC).isoformat(timespec="seconds")
        self.facts["calls"].append({"started": started, "seconds": minutes.total, "boxes": {}})

    @property
    def left(self) -> float:
        """Seconds until everything has to be at its end."""
        return self._end - self.machine.now()

    def done(self, name: str) -> bool:
        return self.items.get(name, {}).get("state") == "done"

    @contextmanager
    def box(self, name: str, most: float) -> Iterator[Box]:
        """A share of the time; whatever goes wrong in it is kept, and the next begins."""
        began, box = self.machine.now(), Box(self, name, min(most, self.left))
        say(f"{name}: {max(0.0, box.left):.0f} s at most")
        self.items.pop(f"the {name} box", None)
        try:
            yield box
        except Exception as error:
            log = self.work / "logs" / f"{slug(name)}.txt"
            log.parent.mkdir(parents=True, exist_ok=True)
            log.write_text(traceback.format_exc())
            box.note(f"the {name} box", "failed", error=f"{type(error).__name__}: {error}")
        spent = round(self.machine.now() - began, 1)
        self.facts["calls"][-1]["boxes"][name] = spent
        self.write()
        self._pack_logs()
        say(f"{name}: {spent:.0f} s")

    def write(self) -> None:
        """Keeps what is known so far."""
        record = {"facts": self.facts, "items": self.items}
        content = (json.dumps(record, indent=1) + "\n").encode()
        write_atomic(self.folder / "record.json", content)
        write_atomic(self.folder / "record.md", self._page().encode())

    def _page(self) -> str:
        try:
            return page.page(self.facts, self.items)
        except Exception:
            # The record is whole; a page of it must not cost the rest of the time.
            return traceback.format_exc()

    def _pack_logs(self) -> None:
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w:gz") as archive:
            for path in sorted((self.work / "logs").glob("*")):
                end = path.read_bytes()[-LOG_BYTES:]
                entry = tarfile.TarInfo(path.name)
                entry.size = len(end)
                archive.addfile(entry, io.BytesIO(end))
        write_atomic(self.folder / "logs.tar.gz", content.getvalue())


class Box:
    """Some of a proof's time.

    Attributes:
        name: of the box; in its items, too.
    """

    def __init__(self, proof: Proof, name: str, seconds: float) -> None:
        self.proof, self.name = proof, name
        self._end = proof.machine.now() + seconds

    @property
    def left(self) -> float:
        return self._end - self.proof.machine.now()

    def note(self, item: str, state: str, **known: Any) -> None:
        """Keeps what came of an item, in place of what came of it before."""
        found = {"box": self.name, "state": state, "commit": self.proof.commit, **known}
        before = self.proof.items.get(item, {})
        if "value" in before and "value" not in known and state in ("begun", "cut off"):
            found |= {name: before[name] for name in ("value", "commit")}
        self.proof.items[item] = found
        if state == "begun":
            return
        self.proof.write()
        if state not in UNDER_WAY:
            error = f": {known['error']}" if "error" in known else ""
            say(f"  {item}: {state}{error}")

    def task(
        self,
        item: str,
        command: Sequence[str],
        read: Callable[[Ended, str], Item] | None = None,
        most: float | None = None,
        ask: signal.Signals = signal.SIGTERM,
        every: tuple[float, Callable[[], None]] | None = None,
    ) -> bool:
        """One command that is one item; whether it is done, by now or before.

        Args:
            read: makes ``state`` and whatever else from how it ended and what it printed; without
                it an exit code of 0 is ``done``.
            most: seconds; None for all that the box has left.
            ask, every: as for :meth:`Machine.run`.
        """
        if self.proof.done(item):
            return True
        if self.left < LEAST_SECONDS:
            self.note(item, "cut off", error="no time was left")
            return False
        began, lines = self.proof.machine.now(), list[str]()
        seconds = self.left if most is None else min(most, self.left)
        log = self._log(item)
        ended = self.proof.machine.run(command, seconds, log, lines.append, ask=ask, every=every)
        found = (read or plainly)(ended, "\n".join(lines))
        if found["state"] == "failed" and "error" not in found:
            found["error"] = _last_line(log) or f"exit code {ended.code}"
        spent = round(self.proof.machine.now() - began, 1)
        self.note(item, found.pop("state"), seconds=spent, **found)
        return self.proof.done(item)

    def items(
        self,
        names: Sequence[str],
        command: Callable[[Sequence[str]], Sequence[str]],
        silence: float,
    ) -> None:
        """One command for several items, of which it says by lines of JSON how they go.

        Each has ``item``, ``state`` (``begun``, any number of ``so far``, then ``done``,
        ``failed`` or ``missing``) and, but for ``begun``, ``value`` or ``error``. Whoever dies or
        hangs at an item is started again with those that follow it.

        Args:
            command: makes it from the names that are still to do.
            silence: seconds without a line after which it counts as hanging.
        """
        todo = [name for name in names if not self.proof.done(name)]
        log = self._log(self.name)
        while todo and self.left >= LEAST_SECONDS:
            heard: dict[str, float] = {}
            take = functools.partial(self._heard, heard)
            ended = self.proof.machine.run(command(todo), self.left, log, take, silence)
            self._settle(heard, ended, log)
            if not heard:
                why = _last_line(log) or f"it ended with {ended.code} and had begun nothing"
                for name in todo:
                    self.note(name, "cut off" if ended.why == "time" else "failed", error=why)
                return
            todo = [name for name in todo if name not in heard]
        for name in todo:
            self.note(name, "cut off", error="no time was left")

    def _heard(self, heard: dict[str, float], text: str) -> None:
        said = json.loads(text)
        item, state = said.pop("item"), said.pop("state")
        began = heard.setdefault(item, self.proof.machine.now())
        self.note(item, state, seconds=round(self.proof.machine.now() - began, 1), **said)

    def _settle(self, heard: dict[str, float], ended: Ended, log: Path) -> None:
        """Those that were under way when it ended."""
        for name in heard:
            known = dict(self.proof.items[name])
            if known["state"] not in UNDER_WAY:
                continue
            why = {
                "time": "its time was up",
                "silence": "it hung",
                "itself": _last_line(log) or f"exit code {ended.code}",
            }[ended.why]
            spent = round(self.proof.machine.now() - heard[name], 1)
            kept = {key: known[key] for key in ("value",) if key in known}
            state = "cut off" if ended.why == "time" else "failed"
            self.note(name, state, seconds=spent, error=why, **kept)

    def _log(self, item: str) -> Path:
        return self.proof.work / "logs" / f"{slug(item)}.txt"


def plainly(ended: Ended, printed: str) -> Item:
    """What an exit code says."""
    if ended.why != "itself":
        return {"state": "cut off", "error": "its time was up"}
    return {"state": "done" if ended.code == 0 else "failed"}


def _last_line(log: Path) -> str | None:
    words = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    return words[-1][:300] if words else None


def slug(name: str) -> str:
    """A name as a file's."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def say(text: str) -> None:
    print(text, flush=True)
