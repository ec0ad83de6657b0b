"""Runs that are to go, with all that they hold, and files of others that nothing needs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection
from pathlib import Path

from vitexp.errors import VitexpError
from vitexp.runs.files import disk, sync_folder
from vitexp.runs.folder import leftovers, size
from vitexp.runs.lease import hold
from vitexp.runs.store import Store


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
            shutil.rmtree(folder)
    finally:
        os.close(lock)
    return freed


def garbage(store: Store) -> list[Path]:
    """Files that nothing needs: temporary files, and checkpoints of finished runs."""
    found: list[Path] = []
    for entry in store.entries():
        if entry.problem is None and not store.is_leased(entry.id):
            found += leftovers(store.folder(entry.id), entry.record)
    return sorted(found)
