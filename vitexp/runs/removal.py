"""Runs that are to go, with all that they hold, and files of others that nothing needs."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path

from vitexp.errors import VitexpError
from vitexp.runs import notes
from vitexp.runs.files import disk, sync_folder
from vitexp.runs.folder import leftovers, size, sweep
from vitexp.runs.lease import hold, is_leased
from vitexp.runs.record import RunRecord
from vitexp.runs.soup import SOUPS
from vitexp.runs.store import PROBES, Store


def check_unneeded(store: Store, doomed: Collection[str]) -> None:
    """Refuse to part a run from one that started from its weights.

    Args:
        doomed: ids of the runs that are to go, all together.

    Raises:
        VitexpError: another run starts from one of them.
    """
    for entry in store.entries():
        parent = entry.spec.parent if entry.spec else None
        if parent in doomed and entry.id not in doomed:
            raise VitexpError(
                f"Run {entry.id} starts from run {parent}.",
                f"Remove both, with `vitexp runs rm {parent} {entry.id}`, or neither.",
            )


def remove(store: Store, run_id: str) -> int:
    """Deletes a run.

    Returns:
        Bytes freed.

    Raises:
        VitexpError: a process is working on it.
    """
    folder = store.folder(run_id)
    lock = hold(folder)
    if lock is None:
        raise VitexpError(
            f"Run {run_id} is being worked on.",
            "Stop that command first (Ctrl-C), then remove the run.",
        )
    freed = size(folder)
    try:
        with disk(folder):
            # The result goes first: a half-deleted run must not count as done.
            (folder / "result.json").unlink(missing_ok=True)
            sync_folder(folder)
            # The lock goes last: as soon as it is gone another process may begin the run anew.
            for item in folder.iterdir():
                if item.is_dir() and not item.is_symlink():
                    shutil.rmtree(item)
                elif item.name != "lock":
                    item.unlink(missing_ok=True)
            (folder / "lock").unlink()
            _remove_empty(folder)
    finally:
        os.close(lock)
    notes.forget(store.out, run_id)
    return freed


def _remove_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT):
            raise


def garbage(store: Store) -> dict[Path, int]:
    """Files that nothing needs, and their bytes: temporary ones, checkpoints of finished runs."""
    found: dict[Path, int] = {}
    for folder, record in _folders(store):
        if not is_leased(folder):
            found |= leftovers(folder, record)
    return found


def collect(store: Store) -> dict[Path, int]:
    """Removes :func:`garbage` and returns what is gone."""
    found: dict[Path, int] = {}
    for folder, record in _folders(store):
        if leftovers(folder, record):
            found |= sweep(folder)
    return found


def _folders(store: Store) -> Iterator[tuple[Path, RunRecord | None]]:
    """Runs that can be read, with their results; soups and probed files."""
    for entry in store.entries():
        if entry.problem is None:
            yield store.folder(entry.id), entry.record
    for name in (SOUPS, PROBES):
        yield from ((path, None) for path in (store.out / name).glob("*/"))
