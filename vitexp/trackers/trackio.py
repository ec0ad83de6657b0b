"""Trackio: a run of a local project, whose database keeps each point once, by a name of its own.

``trackio sync`` takes such a project to a Space. Its own ``trackio.log`` would drop what a full
disk refuses without a word, and follow one run at a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vitexp.trackers.base import Point, Tracked, Tracker


class Trackio(Tracker):
    """A project, by default ``vitexp``, where Trackio keeps its projects (``TRACKIO_DIR``)."""

    def __init__(self, where: str, out: Path) -> None:
        super().__init__(where, out)
        self._project = where or "vitexp"

    def open(self, run: Tracked) -> bool:
        return True

    def log(self, run: Tracked, points: Sequence[Point]) -> None:
        if points:
            self._add(run, [(int(point["step"]), _measured(point)) for point in points], "")

    def close(self, run: Tracked) -> None:
        if run.results:
            self._add(run, [(run.spec.recipe.steps, run.results)], "final")

    def _add(
        self, run: Tracked, rows: Sequence[tuple[int, Mapping[str, float]]], kind: str
    ) -> None:
        from trackio.sqlite_storage import SQLiteStorage

        SQLiteStorage.bulk_log(
            project=self._project,
            run=run.name,
            run_id=run.id,
            metrics_list=[dict(measured) for _, measured in rows],
            steps=[step for step, _ in rows],
            timestamps=[run.at(step).isoformat() for step, _ in rows],
            log_ids=[f"{run.id}:{kind}{step}" for step, _ in rows],
            config=_config(run),
        )


def _config(run: Tracked) -> dict[str, Any]:
    about = {f"run.{name}": text for name, text in run.tags.items()}
    surroundings = {f"environment.{name}": value for name, value in run.environment.items()}
    # Names that begin with _ are Trackio's own.
    own = {"_Group": run.group, "_Created": run.at(0).isoformat()}
    return {**run.settings, **about, **surroundings, "state": run.state, **own}


def _measured(point: Point) -> dict[str, float]:
    return {name: value for name, value in point.items() if name != "step"}
