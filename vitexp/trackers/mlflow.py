"""MLflow: a run in the experiment ``vitexp``, known again by its tag ``vitexp.id``."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from vitexp.trackers.base import Point, Tracked, Tracker, Value

_EXPERIMENT = "vitexp"
_ID, _STATE = "vitexp.id", "vitexp.state"
_STATUS = {"done": "FINISHED", "diverged": "FAILED", "failed": "FAILED", "stopped": "KILLED"}
_AT_ONCE, _METRICS_AT_ONCE, _LONGEST = 100, 1_000, 6_000
"""Settings or tags in a request, metrics in one, and letters of a value, at most."""


@dataclass
class _There:
    """A run as MLflow has it.

    Attributes:
        id: MLflow's own.
        points: name and step of each metric.
    """

    id: str
    points: set[tuple[str, int]]


class MLflow(Tracker):
    """A server or a database, ``http://localhost:5000`` or ``sqlite:///mlflow.db``; by default
    what ``MLFLOW_TRACKING_URI`` says, or ``mlflow.db`` beside the runs."""

    def __init__(self, where: str, out: Path) -> None:
        from mlflow import MlflowClient

        super().__init__(where, out)
        beside = f"sqlite:///{(out / 'mlflow.db').absolute()}"
        self._client = MlflowClient(where or os.environ.get("MLFLOW_TRACKING_URI") or beside)
        self._runs: dict[str, _There] = {}

    def open(self, run: Tracked) -> bool:
        there = self._found(run) or self._client.create_run(
            self._experiment(), _milliseconds(run.at(0)), {_ID: run.id}, run.name
        )
        data, own = there.data, there.info.run_id
        if data.tags.get(_STATE) in ("done", "diverged"):
            return False
        self._client.update_run(own, status="RUNNING", name=run.name)
        histories = [self._client.get_metric_history(own, name) for name in data.metrics]
        points = {(metric.key, metric.step) for several in histories for metric in several}
        self._runs[run.id] = _There(own, points)
        new = {name: value for name, value in run.settings.items() if name not in data.params}
        self._describe(own, new, {"group": run.group, **run.tags})
        return True

    def log(self, run: Tracked, points: Sequence[Point]) -> None:
        from mlflow.entities import Metric

        there = self._runs[run.id]
        new = [
            Metric(name, value, _milliseconds(run.at(point["step"])), int(point["step"]))
            for point in points
            for name, value in point.items()
            if name != "step" and (name, int(point["step"])) not in there.points
        ]
        for at in range(0, len(new), _METRICS_AT_ONCE):
            part = new[at : at + _METRICS_AT_ONCE]
            self._client.log_batch(there.id, metrics=part)
            there.points |= {(metric.key, metric.step) for metric in part}

    def close(self, run: Tracked) -> None:
        if run.results:
            self.log(run, [{"step": run.spec.recipe.steps, **run.results}])
        own = self._runs.pop(run.id).id
        about = {f"environment.{name}": value for name, value in run.environment.items()}
        self._describe(own, {}, about)
        self._client.set_terminated(own, _STATUS[run.state], _milliseconds(run.ended or run.at(0)))
        # Last of all: whoever finds it finds the whole run.
        self._client.set_tag(own, _STATE, run.state)

    def _found(self, run: Tracked) -> Any:
        known = f"tags.`{_ID}` = '{run.id}'"
        return next(iter(self._client.search_runs([self._experiment()], known)), None)

    def _experiment(self) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or _EXPERIMENT
        there = self._client.get_experiment_by_name(name)
        experiment: str = there.experiment_id if there else self._client.create_experiment(name)
        return experiment

    def _describe(self, own: str, settings: Mapping[str, Value], tags: Mapping[str, Value]) -> None:
        from mlflow.entities import Param, RunTag

        params = [Param(name, str(value)[:_LONGEST]) for name, value in settings.items()]
        labels = [RunTag(name, str(value)[:_LONGEST]) for name, value in tags.items()]
        for at in range(0, max(len(params), len(labels)), _AT_ONCE):
            part = slice(at, at + _AT_ONCE)
            self._client.log_batch(own, params=params[part], tags=labels[part])


def _milliseconds(time: datetime) -> int:
    return int(1_000 * time.timestamp())
