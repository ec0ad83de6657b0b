"""A file layer that is watched: what reaches the disk, in which order, and what a crash leaves.

Everything that the store does to files goes through these functions of ``os``. The watcher lets
them through and writes them down; it can also stand in their way at any one of them.
"""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

Op = tuple[Any, ...]
"""("create", path, file), ("write", file, bytes), ("sync", file), ("sync folder", path),
("name", path, file, old path or None), ("unlink", path), ("mkdir", path), ("said", word)."""


@dataclass
class Watched:
    """What was done, and what is to happen before the next thing is.

    Attributes:
        before: called with the number and the name of each operation, before it is done.
    """

    ops: list[Op] = field(default_factory=list)
    before: Callable[[int, str], None] | None = None
    _count: int = 0
    _open: dict[int, int | Path] = field(default_factory=dict)
    _files: dict[Path, int] = field(default_factory=dict)

    def say(self, word: str) -> None:
        """Notes that the program was told that something is done."""
        self.ops.append(("said", word))

    def step(self, name: str) -> None:
        self._count += 1
        if self.before is not None:
            self.before(self._count - 1, name)


@contextmanager
def watched(patch: pytest.MonkeyPatch, really_sync: bool = False) -> Iterator[Watched]:
    """Watches the file layer of this process."""
    watch = Watched()
    real = {name: getattr(os, name) for name in _CALLS}
    with patch.context() as within:
        for name, made in _CALLS.items():
            within.setattr(os, name, made(watch, real[name], really_sync))
        yield watch


def _open(watch: Watched, real: Any, _: bool) -> Any:
    def call(path: Any, flags: int, *rest: Any, **named: Any) -> int:
        name, creates = Path(path), bool(flags & os.O_CREAT) and not Path(path).exists()
        if creates:
            watch.step("create")
        descriptor: int = real(path, flags, *rest, **named)
        if name.is_dir():
            watch._open[descriptor] = name
            return descriptor
        if creates:
            watch._files[name] = len(watch.ops)
            watch.ops.append(("create", name, len(watch.ops)))
        watch._open[descriptor] = watch._files.get(name, -1)
        return descriptor

    return call


def _write(watch: Watched, real: Any, _: bool) -> Any:
    def call(descriptor: int, content: bytes) -> int:
        if descriptor not in watch._open:
            return int(real(descriptor, content))
        watch.step("write")
        count: int = real(descriptor, content)
        watch.ops.append(("write", watch._open[descriptor], bytes(content[:count])))
        return count

    return call


def _fsync(watch: Watched, real: Any, really: bool) -> Any:
    def call(descriptor: int) -> None:
        watch.step("sync")
        if really:
            real(descriptor)
        what = watch._open[descriptor]
        watch.ops.append(("sync folder" if isinstance(what, Path) else "sync", what))

    return call


def _renaming(keeps: bool) -> Any:
    def make(watch: Watched, real: Any, _: bool) -> Any:
        def call(source: Any, target: Any, **named: Any) -> None:
            watch.step("link" if keeps else "rename")
            real(source, target, **named)
            old, new = Path(source), Path(target)
            file = watch._files[old]
            if not keeps:
                del watch._files[old]
            watch._files[new] = file
            watch.ops.append(("name", new, file, None if keeps else old))

        return call

    return make


def _unlink(watch: Watched, real: Any, _: bool) -> Any:
    def call(path: Any, **named: Any) -> None:
        watch.step("unlink")
        real(path, **named)
        watch._files.pop(Path(path), None)
        watch.ops.append(("unlink", Path(path)))

    return call


def _mkdir(watch: Watched, real: Any, _: bool) -> Any:
    def call(path: Any, *rest: Any, **named: Any) -> None:
        watch.step("mkdir")
        real(path, *rest, **named)
        watch.ops.append(("mkdir", Path(path)))

    return call


_CALLS: dict[str, Any] = {
    "open": _open,
    "write": _write,
    "fsync": _fsync,
    "replace": _renaming(keeps=False),
    "link": _renaming(keeps=True),
    "unlink": _unlink,
    "mkdir": _mkdir,
}

World = dict[Path, bytes | None]
"""What is there after a crash: path -> content; None for a folder."""


def after_power_cut(ops: list[Op]) -> Iterator[World]:
    """Every disk that ``ops`` may leave if the power goes after the last of them.

    What was not synced may be there or not, each by itself: a name without its content, a
    removal before an older renaming. A file that was not synced is cut in half.
    """
    names: dict[Path, int | None] = {}
    waiting: list[Op] = []
    cache: dict[int, bytes] = {}
    stored: dict[int, bytes] = {}
    for op in ops:
        if op[0] == "write":
            cache[op[1]] = cache.get(op[1], b"") + op[2]
        elif op[0] == "sync":
            stored[op[1]] = cache.get(op[1], b"")
        elif op[0] == "sync folder":
            for change in [change for change in waiting if change[1].parent == op[1]]:
                _apply(names, change)
                waiting.remove(change)
        elif op[0] != "said":
            waiting.append(op)
    torn = {file: content[: len(content) // 2] for file, content in cache.items()} | stored
    for kept in itertools.product((False, True), repeat=len(waiting)):
        world = dict(names)
        for change, done in zip(waiting, kept, strict=True):
            if done:
                _apply(world, change)
        yield {
            path: None if file is None else torn.get(file, b"")
            for path, file in world.items()
            if all(above in world for above in path.parents if above in _folders(ops))
        }


def _folders(ops: list[Op]) -> set[Path]:
    return {op[1] for op in ops if op[0] == "mkdir"}


def _apply(names: dict[Path, int | None], change: Op) -> None:
    if change[0] == "unlink":
        names.pop(change[1], None)
        return
    names[change[1]] = None if change[0] == "mkdir" else change[2]
    if change[0] == "name":
        names.pop(change[3], None)


def lay_out(world: World, out: Path) -> None:
    """Makes ``out`` what ``world`` says."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    for path, content in sorted(world.items()):
        if content is None:
            path.mkdir()
        else:
            path.write_bytes(content)
