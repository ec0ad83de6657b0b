"""A run under way and done, and what each tracker's own package reads back of it."""

from __future__ import annotations

import dataclasses
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vitexp.launch.events import Event
from vitexp.runs import notes, plans
from vitexp.runs.plans import Asked
from vitexp.runs.record import RunRecord
from vitexp.runs.store import Store
from vitexp.spec import RunSpec

STEPS = 60
HOME = "/home/somebody"


def finished(spec: RunSpec) -> RunRecord:
    """A record with an evaluation every tenth step."""
    recipe = dataclasses.replace(spec.recipe, steps=STEPS)
    asked = f"--dataset {HOME}/images"
    data = dataclasses.replace(spec.data, source=f"{HOME}/images", name="few\x1b[31m")
    spec = dataclasses.replace(spec, recipe=recipe, data=data, asked=asked)
    curve = [
        {"step": float(step), "train_loss": 1 / step, "val_top1": step / 100}
        for step in range(10, STEPS + 1, 10)
    ]
    times = {"started": "2026-11-28T10:00:00.000+00:00", "ended": "2026-11-28T10:01:00.000+00:00"}
    execution = {"device": "cpu", "host": "secret", "threads": 2, "few_shot": [{"a": 1}], **times}
    metrics = {"test_top1": 0.75, "val_top1": 0.6, "params": 1234}
    return RunRecord(spec, "done", metrics, "", curve, execution)


def begin(out: Path, record: RunRecord) -> None:
    """The run as a worker has it that has just begun; a study asked for it."""
    store = Store(out)
    lease = store.lease(record.spec)
    assert lease is not None
    lease.release()
    cells = {("learned_1d", "stem"): (record.id,)}
    plans.keep(out, Asked("pos_emb", f"pos_emb-{'0' * 16}", "", cells))
    notes.note(out, [record.id], "first try", ["wide"])


def end(out: Path, record: RunRecord) -> Event:
    """Its end, in the store and as it is told."""
    lease = Store(out).lease(record.spec)
    assert lease is not None
    lease.log(record.curve)
    lease.publish(record, None)
    lease.release()
    return Event("done", record.id)


def evaluated(record: RunRecord, count: int) -> Iterator[Event]:
    """What is told of its first evaluations, some of it twice."""
    yield Event("start", record.id)
    for point in record.curve[:count]:
        told = Event(
            "progress",
            record.id,
            train_loss=point["train_loss"],
            val_top1=point["val_top1"],
            evaluated=int(point["step"]),
        )
        yield from (told, told)


Read = dict[str, Any]
"""``points``: (name, step, value) of each; ``settings``; ``state``; ``text``: all there is."""


def tensorboard(out: Path, run: str) -> Read:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    folder = out / "tensorboard" / run
    (file,) = folder.iterdir()
    read = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0})
    read.Reload()
    tags = read.Tags()
    points = [(name, e.step, e.value) for name in tags["scalars"] for e in read.Scalars(name)]
    hparams = read.PluginTagToContent("hparams")
    start = HParamsPluginData.FromString(hparams["_hparams_/session_start_info"])
    lr = start.session_start_info.hparams["recipe.lr"].number_value
    ended = "_hparams_/session_end_info" in hparams
    names = read.Tensors("run/text_summary")[0].tensor_proto.string_val[0].decode()
    assert "| study | pos-emb |" in names and "| seed | 0 |" in names
    return {
        "points": points,
        "lr": lr,
        "state": "done" if ended else "running",
        "text": file.read_bytes(),
    }


def mlflow(out: Path, run: str) -> Read:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{out / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("vitexp")
    (found,) = client.search_runs([experiment.experiment_id])
    data = found.data
    points = [
        (m.key, m.step, m.value)
        for name in data.metrics
        for m in client.get_metric_history(found.info.run_id, name)
    ]
    assert (data.tags["vitexp.id"], data.tags["study"], data.tags["seed"]) == (run, "pos-emb", "0")
    state = data.tags.get("vitexp.state", "running")
    assert found.info.status == {"done": "FINISHED", "running": "RUNNING"}[state]
    text = json.dumps([data.params, data.tags, found.info.run_name]).encode()
    return {"points": points, "lr": float(data.params["recipe.lr"]), "state": state, "text": text}


def trackio(out: Path, run: str) -> Read:
    from trackio import Api
    from trackio.sqlite_storage import SQLiteStorage

    (found,) = Api().runs("vitexp")
    assert found.id == run
    rows = SQLiteStorage.get_logs("vitexp", run_id=run)
    points = [
        (name, row["step"], value)
        for row in rows
        for name, value in row.items()
        if name not in ("step", "timestamp")
    ]
    config = found.config
    assert config is not None and config["_Group"] == "pos-emb: learned_1d stem"
    text = json.dumps(config).encode()
    return {"points": points, "lr": config["recipe.lr"], "state": config["state"], "text": text}


def wandb(out: Path, run: str) -> Read:
    (folder,) = (out / "wandb").glob(f"offline-run-*-{run}*")
    content = (folder / f"run-{run}.wandb").read_bytes()
    points: list[tuple[str, int, float]] = []
    config: dict[str, Any] = {}
    summary: dict[str, Any] = {}
    state = "running"
    for record in _records(content):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            assert (record.run.run_id, record.run.run_group) == (run, "pos-emb: learned_1d stem")
            config |= {item.key: json.loads(item.value_json) for item in record.run.config.update}
        elif kind == "history":
            row = {"/".join(i.nested_key) or i.key: i.value_json for i in record.history.item}
            values = {k: json.loads(v) for k, v in row.items() if not k.startswith("_")}
            points += [(k, int(row["_step"]), v) for k, v in values.items()]
        elif kind == "summary":
            for item in record.summary.update:
                summary["/".join(item.nested_key) or item.key] = json.loads(item.value_json)
        elif kind == "exit":
            state = summary["state"]
    points += [(k, STEPS, v) for k, v in summary.items() if k.startswith("final/")]
    return {"points": points, "lr": config["recipe.lr"], "state": state, "text": content}


def _records(content: bytes) -> Iterator[Any]:
    """The records in a ``.wandb`` file: LevelDB's log format behind a header of seven bytes."""
    from wandb.proto.wandb_internal_pb2 import Record

    at, block, whole = 7, 32768, b""
    while at + 7 <= len(content):
        if block - at % block < 7:
            at += block - at % block
            continue
        length, kind = struct.unpack("<HB", content[at + 4 : at + 7])
        whole += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            yield Record.FromString(whole)
            whole = b""


READERS = {each.__name__: each for each in (tensorboard, mlflow, trackio, wandb)}
