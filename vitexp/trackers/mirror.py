"""What happens to runs, brought to one tracker."""

from __future__ import annotations

from dataclasses import dataclass, field

from vitexp.launch.events import Event
from vitexp.runs.store import Store
from vitexp.trackers.base import Point, Tracked, Tracker
from vitexp.trackers.described import tracked, with_rate


@dataclass
class _Followed:
    """A run that the tracker has, or will have.

    Attributes:
        run: as the store had it when it began, or has it now that it has ended.
        points: its course as far as it is known here, by step.
        sent: the steps that the tracker has taken from here; None while it is not open.
    """

    run: Tracked
    points: dict[float, Point] = field(default_factory=dict)
    sent: set[float] | None = None

    @property
    def late(self) -> bool:
        """Whether a point comes before one that was sent, while trackers want steps that rise: it
        was told to a process before this one."""
        sent = self.sent or set()
        return any(step < max(sent) for step in self.points.keys() - sent) if sent else False


class Mirror:
    """Keeps a tracker's copy of runs as the store and the events have them.

    An event that failed may be told again: then its run is opened anew, with all its points.
    """

    def __init__(self, store: Store, tracker: Tracker) -> None:
        self._store, self._tracker = store, tracker
        self._runs: dict[str, _Followed] = {}

    def take(self, event: Event) -> None:
        """Sends what is new.

        Raises:
            Exception: whatever the tracker raises.
        """
        followed, under_way = self._followed(event), event.kind in ("start", "progress")
        try:
            self._send(followed, ended=not under_way)
        except Exception:
            followed.sent = None
            raise
        if not under_way:
            del self._runs[event.run_id]

    def _followed(self, event: Event) -> _Followed:
        followed = self._runs.get(event.run_id)
        if followed is None or event.kind != "progress":
            state = "running" if event.kind in ("start", "progress") else event.kind
            run = tracked(self._store, event.run_id, state)
            followed = self._runs.setdefault(run.id, _Followed(run))
            followed.run = run
            followed.points |= {point["step"]: point for point in run.points}
        if event.evaluated is not None:
            point = with_rate(followed.run.spec, _point(event))
            followed.points.setdefault(point["step"], point)
        return followed

    def _send(self, followed: _Followed, ended: bool) -> None:
        run, points = followed.run, followed.points
        if followed.late:
            followed.sent = None
        if followed.sent is None and not self._tracker.open(run):
            return
        new = sorted(points.keys() - (followed.sent or set()))
        self._tracker.log(run, [points[step] for step in new])
        followed.sent = set(points)
        if ended:
            self._tracker.close(run)


def _point(event: Event) -> Point:
    """The evaluation of which an event tells."""
    assert event.evaluated is not None
    known = {"train_loss": event.train_loss, "val_top1": event.val_top1}
    measured = {name: value for name, value in known.items() if value is not None}
    return {"step": float(event.evaluated), **measured}
