"""The store: one owner, one result, whole files, and nothing created by looking."""

from __future__ import annotations

import dataclasses
import fcntl
import json
import multiprocessing
import os
import time
from pathlib import Path
from typing import Any

import pytest

from tests.processes import HANG_SECONDS
from vitexp.errors import VitexpError
from vitexp.runs.folder import read_record
from vitexp.runs.lease import Fenced, Lease, alone, checkpoints, hold, is_leased
from vitexp.runs.measurement import Measurement
from vitexp.runs.record import RunRecord
from vitexp.runs.removal import collect, garbage, remove
from vitexp.runs.soup import SOUPS
from vitexp.runs.store import PROBES, Store
from vitexp.spec import FORMAT, ProbeSpec, RunSpec


def record_of(spec: RunSpec, **metrics: float) -> RunRecord:
    return RunRecord(spec, "done", metrics, "", [{"step": 1.0}], {"started": "a", "ended": "b"})


def leased(store: Store, spec: RunSpec) -> Lease:
    lease = store.lease(spec)
    assert lease is not None
    return lease


def test_a_result_is_found_again_and_its_run_is_no_longer_missing(tmp_path, run_spec):
    store, specs = Store(tmp_path), [run_spec(seed=seed) for seed in (0, 1, 0)]
    assert store.missing(specs) == specs[:2]
    assert not list(tmp_path.iterdir())
    lease = leased(store, specs[0])
    assert store.entries()[0].state == "running"
    assert lease.publish(record_of(specs[0], test_top1=0.5), weights=None)
    lease.release()
    assert store.missing(specs) == [specs[1]]
    assert store.lease(specs[0]) is None
    found = Store(tmp_path).results()
    assert [r.spec for r in found] == [specs[0]]
    assert found[specs[0].id].metrics == {"test_top1": 0.5}
    assert store.entries()[0].state == "done"


def test_labels_do_not_change_the_id_and_everything_else_does(run_spec):
    spec = run_spec()
    assert run_spec(name="another name", evaluate_every=7).id == spec.id
    assert len({run_spec(**change).id for change in ({"lr": 2e-3}, {"steps": 31}, {})}) == 3
    assert run_spec(seed=1).id != spec.id


def _contend(folder: str, spec: RunSpec, start: Any, wins: Any) -> None:
    start.wait()
    lease = Lease.take(Path(folder), spec)
    if lease is not None:
        wins.put(os.getpid())
        lease.publish(record_of(spec), None)


def test_of_several_processes_one_gets_the_lease_and_one_publishes(tmp_path, run_spec):
    context = multiprocessing.get_context("fork")
    start, wins = context.Event(), context.Queue()
    arguments = (str(tmp_path / "runs" / run_spec().id), run_spec(), start, wins)
    processes = [context.Process(target=_contend, args=arguments) for _ in range(8)]
    for process in processes:
        process.start()
    start.set()
    for process in processes:
        process.join(HANG_SECONDS)
        assert process.exitcode == 0
    assert wins.get(timeout=HANG_SECONDS)
    assert wins.empty()
    assert len(Store(tmp_path).results()) == 1


def test_a_holder_that_was_overtaken_can_write_nothing(tmp_path, run_spec):
    store, spec = Store(tmp_path), run_spec()
    sleeper = leased(store, spec)
    sleeper.release()
    fresh = leased(store, spec)
    assert fresh.attempt == sleeper.attempt + 1
    for act in (
        lambda: sleeper.save(1, b"old"),
        lambda: sleeper.publish(record_of(spec), None),
        lambda: sleeper.log([{"step": 1.0}]),
        lambda: sleeper.fail("no"),
    ):
        with pytest.raises(Fenced):
            act()
    assert fresh.restore() == (None, [])
    assert fresh.publish(record_of(spec, test_top1=1.0), None)
    assert not fresh.publish(record_of(spec, test_top1=0.0), None)
    assert store.results()[spec.id].metrics == {"test_top1": 1.0}


def test_two_checkpoints_are_kept_and_a_damaged_one_is_passed_over(tmp_path, run_spec):
    store, spec = Store(tmp_path), run_spec()
    lease = leased(store, spec)
    for step in (10, 20, 30):
        lease.save(step, b"state %d " % step * 50)
    assert [path.stem for path in checkpoints(lease.folder)] == [
        "checkpoint-000000020",
        "checkpoint-000000030",
    ]
    assert lease.restore()[0] == b"state 30 " * 50
    assert Store(tmp_path).entries()[0].step == 30
    newest = checkpoints(lease.folder)[-1]
    whole = newest.read_bytes()
    for damage in (whole[:-1], whole[:40], b"", whole[:99] + b"?" + whole[100:]):
        newest.write_bytes(damage)
        content, damaged = lease.restore()
        assert (content, damaged) == (b"state 20 " * 50, [newest])
    checkpoints(lease.folder)[-1].write_bytes(b"")
    assert lease.restore()[0] is None


def test_the_log_follows_the_run_also_back_to_a_checkpoint(tmp_path, run_spec):
    lease = leased(Store(tmp_path), run_spec())

    def logged() -> list[float]:
        lines = (lease.folder / "log.jsonl").read_text().splitlines()
        return [json.loads(line)["step"] for line in lines]

    lease.log([{"step": 1.0}])
    lease.log([{"step": 1.0}, {"step": 2.0}])
    assert logged() == [1.0, 2.0]
    lease.log([{"step": 1.0}, {"step": 3.0}])
    assert logged() == [1.0, 3.0]


def test_removing_frees_the_folder_but_not_under_a_worker(tmp_path, run_spec):
    store, spec = Store(tmp_path), run_spec()
    lease = leased(store, spec)
    lease.save(1, b"x" * 1000)
    with pytest.raises(VitexpError, match="is being worked on"):
        remove(store, spec.id)
    lease.release()
    assert store.entries()[0].state == "stopped"
    assert remove(store, spec.id) > 1000
    assert not store.folder(spec.id).exists()


def test_a_run_may_begin_anew_while_it_is_removed(tmp_path, run_spec, monkeypatch):
    store, spec = Store(tmp_path), run_spec()
    leased(store, spec).release()
    anew: list[Lease] = []
    unlink = os.unlink

    def begin(path: Any, **at: Any) -> None:
        unlink(path, **at)
        if Path(path).name == "lock" and not anew:
            anew.append(leased(store, spec))

    monkeypatch.setattr(os, "unlink", begin)
    remove(store, spec.id)
    (lease,) = anew
    lease.save(1, b"state")
    assert lease.publish(record_of(spec), None)


def test_a_look_at_a_lock_keeps_nobody_from_the_run(tmp_path, run_spec, monkeypatch):
    store, spec = Store(tmp_path), run_spec()
    leased(store, spec).release()
    look = os.open(store.folder(spec.id) / "lock", os.O_RDONLY)
    fcntl.flock(look, fcntl.LOCK_SH)
    monkeypatch.setattr(time, "sleep", lambda _: os.close(look))
    assert store.lease(spec) is not None


def test_what_a_probe_is_about_to_keep_is_no_garbage(tmp_path, run_spec, monkeypatch):
    store, spec = Store(tmp_path), run_spec()
    lease = leased(store, spec)
    lease.publish(record_of(spec), None)
    lease.release()
    link = os.link

    def swept(*paths: Any) -> None:
        store.tidy(store.results())
        assert collect(store) == {}
        with pytest.raises(VitexpError, match="is being worked on"):
            remove(store, spec.id)
        link(*paths)

    monkeypatch.setattr(os, "link", swept)
    probe = ProbeSpec("few_shot", dataclasses.replace(spec.data, name="other"))
    found = Measurement(spec.id, probe, {}, {}, {})
    with alone(store.folder_for(spec)):
        store.keep(spec, found)
    assert store.measurements(spec.id) == [found]


def test_garbage_is_what_nothing_needs(tmp_path, run_spec):
    store = Store(tmp_path)
    done, half = leased(store, run_spec(seed=0)), leased(store, run_spec(seed=1))
    done.publish(record_of(done.spec), None)
    half.save(1, b"needed")
    leftovers = [done.folder / ".tmp-1", done.folder / "checkpoint-000000001.ckpt"]
    leftovers += [tmp_path / room / "0123" / ".tmp-2" for room in (SOUPS, PROBES)]
    for path in leftovers:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    cooking, probing = (hold(path.parent) for path in leftovers[2:])
    assert cooking is not None and probing is not None
    assert not garbage(store)
    done.release()
    half.release()
    os.close(cooking)
    os.close(probing)
    assert sorted(garbage(store)) == sorted(leftovers)
    assert collect(store) == dict.fromkeys(leftovers, 0)
    assert not any(path.exists() for path in leftovers)
    assert checkpoints(half.folder)


def test_a_prefix_finds_a_run_if_it_is_the_only_one(tmp_path, run_spec):
    store, spec = Store(tmp_path), run_spec()
    leased(store, spec).release()
    assert store.find(spec.id[:5]).spec == spec
    with pytest.raises(VitexpError, match="No run's id begins with 'zz'"):
        store.find("zz")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: (folder / "result.json").write_text("[]"),
        lambda folder: (folder / "result.json").write_bytes(b"\xff\x00"),
        lambda folder: (folder / "result.json").write_text('{"format": 0}'),
        lambda folder: (folder / "spec.json").write_text("{"),
        lambda folder: (folder / "spec.json").write_text('{"seed": 1}'),
        lambda folder: change_json(folder / "spec.json", seed=77),
        lambda folder: change_json(folder / "spec.json", seed="x"),
        lambda folder: change_json(folder / "spec.json", asked=5),
        lambda folder: change_json(folder / "spec.json", seed=[1]),
        lambda folder: change_json(folder / "spec.json", seed=float("nan")),
    ],
)
def test_one_unreadable_folder_is_listed_and_removed_and_hides_no_other(tmp_path, run_spec, spoil):
    store, good, bad = Store(tmp_path), run_spec(seed=0), run_spec(seed=1)
    for spec in (good, bad):
        lease = leased(store, spec)
        lease.publish(record_of(spec), None)
        lease.release()
    result = store.folder(bad.id) / "result.json"
    leaves_result = result.read_bytes()
    spoil(store.folder(bad.id))
    if result.read_bytes() == leaves_result:
        result.unlink()
    states = {entry.id: entry.state for entry in store.entries()}
    assert states == {good.id: "done", bad.id: "unreadable"}
    assert not garbage(store)
    problem = store.find(bad.id).problem
    assert problem is not None
    assert problem.remedy
    assert remove(store, bad.id) > 0
    assert [entry.id for entry in store.entries()] == [good.id]


def change_json(path: Path, **fields: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_a_result_in_another_runs_folder_is_refused(tmp_path, run_spec):
    store, one, two = Store(tmp_path), run_spec(seed=0), run_spec(seed=1)
    leased(store, one).publish(record_of(one), None)
    lease = leased(store, two)
    (lease.folder / "result.json").write_bytes((store.folder(one.id) / "result.json").read_bytes())
    with pytest.raises(VitexpError, match="holds the result of another run"):
        store.results()


def test_files_may_go_while_the_store_is_listed(tmp_path, run_spec, monkeypatch):
    """As they do when somebody works there."""
    store, spec = Store(tmp_path), run_spec()
    lease = leased(store, spec)
    (lease.folder / ".tmp-1").write_bytes(b"")
    real = os.scandir

    class Listed(list[Any]):
        def __enter__(self) -> Listed:
            return self

        def __exit__(self, *_: object) -> None:
            pass

    def scandir(path: Any) -> Listed:
        found = Listed(real(path))
        (lease.folder / ".tmp-1").unlink(missing_ok=True)
        return found

    monkeypatch.setattr(os, "scandir", scandir)
    (entry,) = store.entries()
    assert entry.state == "running"
    assert entry.bytes > 0


def test_a_run_that_is_removed_while_the_store_is_listed_is_not_listed(
    tmp_path, run_spec, monkeypatch
):
    store, spec = Store(tmp_path), run_spec()
    leased(store, spec).release()

    def removed(folder: Path) -> RunRecord | None:
        if folder.exists():
            remove(store, spec.id)
        return read_record(folder)

    monkeypatch.setattr("vitexp.runs.folder.read_record", removed)
    assert store.entries() == []


def test_a_run_that_ends_while_the_store_is_listed_is_running_or_done(
    tmp_path, run_spec, monkeypatch
):
    store, spec = Store(tmp_path), run_spec()
    lease = leased(store, spec)

    def ended(folder: Path) -> bool:
        lease.publish(record_of(spec), None)
        lease.release()
        return is_leased(folder)

    monkeypatch.setattr("vitexp.runs.folder.is_leased", ended)
    assert [entry.state for entry in store.entries()] == ["done"]


def test_what_a_kill_left_in_a_finished_run_goes_when_it_is_asked_for(tmp_path, run_spec):
    store, spec = Store(tmp_path), run_spec()
    lease = leased(store, spec)
    lease.publish(record_of(spec), None)
    lease.release()
    leftovers = (".tmp-1", "checkpoint-000000001.ckpt", "weights.safetensors")
    for name in leftovers:
        (lease.folder / name).write_bytes(b"")
    assert store.lease(spec) is None
    assert not any((lease.folder / name).exists() for name in leftovers)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v.update(format=FORMAT + 1), "in format"),
        (lambda v: v["spec"].update(seed=77), "does not belong to its spec"),
        (lambda v: v.pop("metrics"), "is damaged"),
        (lambda v: v["spec"].update(extra=1), "fields of another version: extra"),
        (lambda v: v["metrics"].update(test_top1="high"), "test_top1: not a number"),
        (lambda v: v.update(status="fine"), "status 'fine'"),
        (lambda v: v.update(correct="AAAA"), "not one bit for each of 60 test images"),
    ],
)
def test_a_result_that_was_tampered_with_is_refused(tmp_path, run_spec, change, message):
    store, spec = Store(tmp_path), run_spec()
    leased(store, spec).publish(record_of(spec), None)
    path = store.folder(spec.id) / "result.json"
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))
    with pytest.raises(VitexpError, match=message):
        store.results()


def test_an_out_folder_that_is_a_file_is_refused(tmp_path, run_spec):
    (tmp_path / "runs").write_text("")
    with pytest.raises(VitexpError, match="cannot be written"):
        Store(tmp_path).lease(run_spec())
