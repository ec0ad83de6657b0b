"""Weights & Biases: a run of the project, under the run's own id.

Online W&B says itself how far a run is there. Offline (``WANDB_MODE=offline``) each begin makes a
folder of its own: here the newest, which has all points, takes the place of those before it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vitexp.trackers.base import Point, Tracked, Tracker

_WHOLE = "vitexp-whole"
"""A file in the folder of an offline run that has all there is."""

_LONGEST_TAG = 64


class WandB(Tracker):
    """A project, by default what ``WANDB_PROJECT`` says, or ``vitexp``; its files lie where
    ``WANDB_DIR`` says, or beside the runs."""

    def __init__(self, where: str, out: Path) -> None:
        super().__init__(where, out)
        self._project = where or os.environ.get("WANDB_PROJECT") or "vitexp"
        self._folder = Path(os.environ.get("WANDB_DIR") or out)
        self._runs: dict[str, Any] = {}

    def open(self, run: Tracked) -> bool:
        import wandb

        offline = wandb.setup().settings.mode == "offline"
        if offline and any((folder / _WHOLE).exists() for folder in self._offline(run.id)):
            return False
        if run.id in self._runs:
            self._runs.pop(run.id).finish()
        self._folder.mkdir(parents=True, exist_ok=True)
        words = [*run.tags.get("tags", "").split(), run.tags["data"]]
        self._runs[run.id] = wandb.init(
            project=self._project,
            id=run.id,
            name=run.name,
            group=run.group,
            job_type=run.tags.get("study"),
            tags=[word[:_LONGEST_TAG] for word in words],
            config={**run.settings, **{f"run.{name}": text for name, text in run.tags.items()}},
            dir=self._folder,
            resume="allow",
            reinit="create_new",
            # Without these it sends the names of the machine, the user and the program's folder.
            settings=wandb.Settings(
                console="off",
                disable_git=True,
                save_code=False,
                x_disable_machine_info=True,
                x_disable_meta=True,
                x_disable_stats=True,
                x_save_requirements=False,
            ),
        )
        return True

    def log(self, run: Tracked, points: Sequence[Point]) -> None:
        there = self._runs[run.id]
        first = there.step if there.resumed else 0
        for point in points:
            if point["step"] >= first:
                measured = {name: value for name, value in point.items() if name != "step"}
                there.log(measured, step=int(point["step"]))

    def close(self, run: Tracked) -> None:
        there = self._runs.pop(run.id)
        there.summary.update({**run.results, "state": run.state})
        there.config.update({f"environment.{k}": v for k, v in run.environment.items()})
        folder = Path(there.dir).parent
        there.finish(exit_code=0 if run.state == "done" else 1)
        if there.offline:
            for other in self._offline(run.id):
                if other.resolve() != folder.resolve():
                    shutil.rmtree(other)
            if run.over:
                (folder / _WHOLE).touch()

    def _offline(self, run: str) -> list[Path]:
        return sorted((self._folder / "wandb").glob(f"offline-run-*-{run}*"))
