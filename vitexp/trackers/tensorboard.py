"""TensorBoard: an event file a run, ``DIR/<id>/``, always written from its beginning.

A run that is sent again is written again, byte for byte, and takes the old file's place. Settings
and results are also what the HParams page compares runs by; the names of its tags and those of
texts are TensorBoard's (``tensorboard/plugins/hparams/metadata.py``, ``plugins/text/metadata.py``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from vitexp.render.markdown import escaped
from vitexp.trackers.base import Point, Tracked, Tracker, Value

_FILE = "events.out.tfevents.0.vitexp"
_UNDER_WAY = "under-way.tmp"


class TensorBoard(Tracker):
    """Event files below a folder, by default ``tensorboard`` beside the runs."""

    def __init__(self, where: str, out: Path) -> None:
        super().__init__(where, out)
        self._folder = Path(where) if where else out / "tensorboard"
        self._files: dict[str, IO[bytes]] = {}

    def open(self, run: Tracked) -> bool:
        from tensorboard.compat.proto.event_pb2 import Event

        folder = self._folder / run.id
        folder.mkdir(parents=True, exist_ok=True)
        # An earlier one may still be open, with what a full disk refused.
        (folder / _UNDER_WAY).unlink(missing_ok=True)
        self._files[run.id] = (folder / _UNDER_WAY).open("wb")
        self._write(run.id, Event(wall_time=run.at(0).timestamp(), file_version="brain.Event:2"))
        about = {"name": run.name, "group": run.group, **run.tags}
        self._values(run, 0, [_text("run", about), _text("settings", run.settings), _begin(run)])
        return True

    def log(self, run: Tracked, points: Sequence[Point]) -> None:
        for point in points:
            numbers = [_scalar(k, v) for k, v in point.items() if k != "step"]
            self._values(run, int(point["step"]), numbers)
        self._files[run.id].flush()
        folder = self._folder / run.id
        if (folder / _UNDER_WAY).exists():
            # From here on it is seen; a file that is read goes on where it was.
            (folder / _UNDER_WAY).replace(folder / _FILE)

    def close(self, run: Tracked) -> None:
        numbers = [_scalar(name, value) for name, value in run.results.items()]
        texts = [_text("environment", run.environment)] if run.environment else []
        self._values(run, run.spec.recipe.steps, [*numbers, *texts, _end(run)])
        self._files.pop(run.id).close()

    def _values(self, run: Tracked, step: int, values: Sequence[Any]) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        summary = Summary(value=values)
        self._write(run.id, Event(wall_time=run.at(step).timestamp(), step=step, summary=summary))

    def _write(self, run: str, event: Any) -> None:
        from tensorboard.summary.writer.record_writer import RecordWriter

        RecordWriter(self._files[run]).write(event.SerializeToString(deterministic=True))


def _scalar(name: str, value: float) -> Any:
    from tensorboard.compat.proto.summary_pb2 import Summary

    return Summary.Value(tag=name, simple_value=value)


def _text(name: str, pairs: Mapping[str, Value]) -> Any:
    """A table in Markdown, which TensorBoard shows as one."""
    from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.compat.proto.types_pb2 import DT_STRING

    rows = [f"| {escaped(key)} | {escaped(str(value))} |" for key, value in pairs.items()]
    text = "\n".join(["| | |", "|---|---|", *rows])
    plugin = SummaryMetadata.PluginData(plugin_name="text")
    return Summary.Value(
        tag=f"{name}/text_summary",
        metadata=SummaryMetadata(plugin_data=plugin),
        tensor=TensorProto(dtype=DT_STRING, string_val=[text.encode()]),
    )


def _begin(run: Tracked) -> Any:
    from tensorboard.plugins.hparams.plugin_data_pb2 import SessionStartInfo

    info = SessionStartInfo(group_name=run.id, start_time_secs=run.at(0).timestamp())
    for name, value in run.settings.items():
        if isinstance(value, bool):
            info.hparams[name].bool_value = value
        elif isinstance(value, str):
            info.hparams[name].string_value = value
        else:
            info.hparams[name].number_value = value
    return _hparams("session_start_info", info)


def _end(run: Tracked) -> Any:
    from tensorboard.plugins.hparams.api_pb2 import Status
    from tensorboard.plugins.hparams.plugin_data_pb2 import SessionEndInfo

    status = "STATUS_SUCCESS" if run.state == "done" else "STATUS_FAILURE"
    seconds = run.at(run.spec.recipe.steps).timestamp()
    return _hparams(
        "session_end_info", SessionEndInfo(status=Status.Value(status), end_time_secs=seconds)
    )


def _hparams(kind: str, info: Any) -> Any:
    from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    content = HParamsPluginData(version=0, **{kind: info}).SerializeToString(deterministic=True)
    plugin = SummaryMetadata.PluginData(plugin_name="hparams", content=content)
    return Summary.Value(tag=f"_hparams_/{kind}", metadata=SummaryMetadata(plugin_data=plugin))
