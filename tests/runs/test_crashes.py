"""A crash between any two operations on files, a full disk at any write, a sleeper at any point."""

from __future__ import annotations

import errno
import hashlib
import itertools
import multiprocessing
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.crashes import Watched, after_power_cut, lay_out, watched
from tests.processes import HANG_SECONDS
from tests.runs.test_store import leased, record_of
from vitexp.errors import VitexpError
from vitexp.runs.files import TEMPORARY, DiskError, publish_once, write_atomic
from vitexp.runs.lease import Fenced, Lease, checkpoints
from vitexp.runs.record import RunRecord
from vitexp.runs.removal import remove
from vitexp.runs.store import Store
from vitexp.spec import RunSpec

WEIGHTS = b"weights" * 100
FORK = multiprocessing.get_context("fork")


def state(step: int) -> bytes:
    return b"state %d " % step * 50


def final(spec: RunSpec, weights: bytes = WEIGHTS) -> RunRecord:
    return record_of(spec, test_top1=0.5).with_weights(hashlib.sha256(weights).hexdigest())


def train(
    lease: Lease, say: Callable[[str], None] = lambda word: None, weights: bytes = WEIGHTS
) -> None:
    """What a worker does to the store; ``say`` is told of what counts as safe from then on."""
    content, _ = lease.restore()
    start = int(content.split()[1]) if content else 0
    for step in range(start + 10, 40, 10):
        lease.log([{"step": float(at)} for at in range(10, step + 1, 10)])
        lease.save(step, state(step))
        say(str(step))
    lease.reads_test()
    lease.publish(final(lease.spec, weights), weights)
    say("published")


def whole_run(out: Path, spec: RunSpec, say: Callable[[str], None] = lambda word: None) -> None:
    lease = leased(Store(out), spec)
    try:
        train(lease, say)
    finally:
        lease.release()


FINISHED = {"attempt", "lock", "log.jsonl", "result.json", "spec.json", "weights.safetensors"}


def check_finished(out: Path, spec: RunSpec) -> None:
    store = Store(out)
    assert {path.name for path in store.folder(spec.id).iterdir()} == FINISHED
    assert [record.to_json() for record in store.results()] == [final(spec).to_json()]
    assert (store.folder(spec.id) / "weights.safetensors").read_bytes() == WEIGHTS


@pytest.fixture
def count(tmp_path: Path, run_spec: Callable[..., RunSpec], monkeypatch: pytest.MonkeyPatch) -> int:
    """How many operations a whole run takes."""
    with watched(monkeypatch) as watch:
        whole_run(tmp_path / "count", run_spec())
    assert watch._count > 50
    return watch._count


def test_the_order_is_write_sync_rename_sync_of_the_folder(tmp_path, monkeypatch):
    for write, naming in ((write_atomic, "name"), (publish_once, "name")):
        with watched(monkeypatch) as watch:
            write(tmp_path / write.__name__, b"content")
        kinds = [op[0] for op in watch.ops]
        assert kinds[:5] == ["create", "write", "sync", naming, "sync folder"]
        assert watch.ops[4] == ("sync folder", tmp_path)
        assert [op[0] for op in watch.ops[5:]] in ([], ["unlink"])


def test_no_power_cut_loses_what_was_reported_or_leaves_half_a_file(
    tmp_path, run_spec, monkeypatch
):
    """All orders in which the disk may store what was not synced, after each operation."""
    out, spec = tmp_path / "out", run_spec()
    out.mkdir()
    with watched(monkeypatch) as watch:
        whole_run(out, spec, watch.say)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    seen = set()
    for end in range(len(watch.ops) + 1):
        said = [op[1] for op in watch.ops[:end] if op[0] == "said"]
        for world in after_power_cut(watch.ops[:end]):
            key = (tuple(said), tuple(sorted(world.items(), key=lambda item: item[0])))
            if key in seen:
                continue
            seen.add(key)
            lay_out(world, out)
            check_survived(out, spec, said)
    assert len(seen) > 50


def check_survived(out: Path, spec: RunSpec, said: list[str]) -> None:
    store = Store(out)
    done = spec.id in store.results()
    assert done or "published" not in said
    if done:
        assert store.results()[spec.id].to_json() == final(spec).to_json()
        assert (store.folder(spec.id) / "weights.safetensors").read_bytes() == WEIGHTS
        assert store.lease(spec) is None
    else:
        lease = leased(store, spec)
        content, damaged = lease.restore()
        assert not damaged
        assert (content or state(0)) in [state(step) for step in (0, 10, 20, 30)]
        assert int((content or state(0)).split()[1]) >= max(map(int, said), default=0)
        train(lease)
        lease.release()
    check_finished(out, spec)


def _die(out: Path, spec: RunSpec, at: int) -> None:
    patch = pytest.MonkeyPatch()
    with watched(patch) as watch:
        watch.before = lambda number, _: os._exit(9) if number == at else None
        whole_run(out, spec)


def test_a_process_that_is_killed_before_any_operation_is_made_up_for(
    tmp_path, run_spec, count, monkeypatch
):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    spec = run_spec()
    for at in range(count):
        out = tmp_path / str(at)
        process = FORK.Process(target=_die, args=(out, spec, at))
        process.start()
        process.join()
        assert process.exitcode == 9
        store = Store(out)
        if store.missing([spec]):
            whole_run(out, spec)
        else:
            store.tidy(store.results())
        check_finished(out, spec)


def test_a_disk_that_is_full_at_any_write_costs_nothing(tmp_path, run_spec, count, monkeypatch):
    spec, refused = run_spec(), 0
    for at in range(count):
        out = tmp_path / str(at)
        with watched(monkeypatch) as watch:

            def full(number: int, name: str, at: int = at, watch: Watched = watch) -> None:
                if number == at and name in ("write", "create", "mkdir", "sync"):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

            watch.before = full
            try:
                whole_run(out, spec, watch.say)
            except DiskError as error:
                refused += "is full" in error.problem
        said = [op[1] for op in watch.ops if op[0] == "said"]
        assert not list(out.rglob(f"{TEMPORARY}*"))
        check_survived(out, spec, said)
    assert refused > 30


def _look_at_test(out: Path, spec: RunSpec) -> None:
    lease = leased(Store(out), spec)
    reads = lease.reads_test()
    with (out / "looks").open("a") as looks:
        looks.write(".")
    lease.publish(record_of(spec, reads=reads), None)
    lease.release()


def _die_at_test(out: Path, spec: RunSpec, at: int) -> None:
    with watched(pytest.MonkeyPatch()) as watch:
        watch.before = lambda number, _: os._exit(9) if number == at else None
        _look_at_test(out, spec)
        os._exit(0)


def test_no_kill_leaves_a_read_of_test_uncounted(tmp_path, run_spec, monkeypatch):
    """Killed before each operation, then done again: as many reads as there were, or one more."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    spec, seen = run_spec(), set()
    for at in itertools.count():
        out = tmp_path / str(at)
        process = FORK.Process(target=_die_at_test, args=(out, spec, at))
        process.start()
        process.join()
        if Store(out).missing([spec]):
            _look_at_test(out, spec)
        looks = (out / "looks").stat().st_size
        (record,) = Store(out).results()
        seen.add((looks, record.metrics["reads"]))
        if process.exitcode == 0:
            break
    assert seen == {(1, 1), (1, 2), (2, 2)}


@pytest.mark.parametrize("first", ["the sleeper", "the other"])
def test_a_sleeper_that_wakes_up_after_being_replaced_damages_nothing(
    tmp_path, run_spec, count, monkeypatch, first
):
    """Its lock is lost in its sleep, before each of its operations; another one takes over.

    Each has weights of its own, as two machines would; the result has to fit those that are kept.
    """
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    monkeypatch.setattr("fcntl.flock", lambda descriptor, kind: None)
    spec, fenced = run_spec(), []
    for at in range(count):
        store = Store(tmp_path / str(at))
        with watched(monkeypatch) as watch:
            other: list[Lease | None] = []

            def take_over(
                number: int,
                _: str,
                at: int = at,
                store: Store = store,
                other: list[Lease | None] = other,
            ) -> None:
                if number == at:
                    other.append(store.lease(spec))
                    if first == "the other":
                        fenced.append(is_fenced(other[0], b"other"))

            watch.before = take_over
            sleeper = store.lease(spec)
            fenced.append(is_fenced(sleeper, b"sleeper"))
        if first == "the sleeper":
            fenced.append(is_fenced(other[0], b"other"))
        (record,) = store.results()
        weights = (store.folder(spec.id) / "weights.safetensors").read_bytes()
        assert record.weights_sha == hashlib.sha256(weights).hexdigest()
        store.tidy([record])
        assert {path.name for path in store.folder(spec.id).iterdir()} == FINISHED
    assert sum(fenced) > 30


def is_fenced(lease: Lease | None, weights: bytes) -> bool:
    """Trains a run to its end, if it was leased; whether another one stopped that."""
    try:
        if lease is not None:
            train(lease, weights=weights)
    except Fenced:
        return True
    return False


def test_a_run_that_is_removed_under_a_sleeper_is_not_brought_back(tmp_path, run_spec):
    store, spec = Store(tmp_path), run_spec()
    sleeper = leased(store, spec)
    sleeper.release()
    remove(store, spec.id)
    with pytest.raises(Fenced):
        sleeper.save(1, b"old")
    assert not store.folder(spec.id).exists()


def test_without_links_the_first_result_stands(tmp_path, run_spec, monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    lease = leased(Store(tmp_path), run_spec())
    assert lease.publish(record_of(lease.spec, test_top1=1.0), None)
    assert not lease.publish(record_of(lease.spec, test_top1=0.0), None)
    assert Store(tmp_path).results()[lease.spec.id].metrics == {"test_top1": 1.0}


def test_without_locks_the_folder_is_refused(tmp_path, run_spec, monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(VitexpError, match="cannot be locked"):
        Store(tmp_path).lease(run_spec())


@pytest.mark.parametrize("damage", ["truncated", "flipped"])
def test_every_damage_of_a_checkpoint_is_noticed(tmp_path, run_spec, damage):
    """200 random truncations and 200 random bit flips; the generation before is used."""
    lease, draw = leased(Store(tmp_path), run_spec()), random.Random(0)
    lease.save(10, state(10))
    lease.save(20, state(20))
    older, newest = checkpoints(lease.folder)
    whole = newest.read_bytes()
    for _ in range(200):
        hurt = bytearray(whole[: draw.randrange(len(whole))] if damage == "truncated" else whole)
        if damage == "flipped":
            bit = draw.randrange(8 * len(hurt))
            hurt[bit // 8] ^= 1 << bit % 8
        newest.write_bytes(hurt)
        assert lease.restore() == (state(10), [newest])
        assert checkpoints(lease.folder) == [older]


def test_a_checkpoint_of_another_run_is_not_taken(tmp_path, run_spec):
    one, other = (leased(Store(tmp_path), run_spec(seed=seed)) for seed in (0, 1))
    one.save(10, state(10))
    (path,) = checkpoints(one.folder)
    (other.folder / path.name).write_bytes(path.read_bytes())
    assert other.restore()[0] is None


def test_half_a_line_at_the_end_of_the_log_is_dropped_and_said(tmp_path, run_spec):
    lease = leased(Store(tmp_path), run_spec())
    assert not lease.log([{"step": 1.0}])
    path = lease.folder / "log.jsonl"
    with path.open("a") as file:
        file.write('{"step": 2.0, "tra')
    assert lease.log([{"step": 1.0}, {"step": 3.0}])
    assert path.read_text() == '{"step": 1.0}\n{"step": 3.0}\n'


def _work(out: Path, specs: list[RunSpec], shift: int, all_at_work: Any) -> None:
    store = Store(out)
    todo = specs[shift:] + specs[:shift]
    _make(store, todo[0])
    all_at_work.wait(HANG_SECONDS)
    while todo := store.missing(todo):
        for spec in todo:
            _make(store, spec)


def _make(store: Store, spec: RunSpec) -> None:
    if lease := store.lease(spec):
        lease.publish(record_of(spec, made_by=float(os.getpid())), None)
        lease.release()


def test_eight_processes_and_500_cells_give_500_results(tmp_path, run_spec, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    specs, at_work = [run_spec(seed=seed) for seed in range(500)], FORK.Barrier(8)
    processes = [
        FORK.Process(target=_work, args=(tmp_path, specs, 20 * index, at_work))
        for index in range(8)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(HANG_SECONDS)
        assert process.exitcode == 0
    results = Store(tmp_path).results()
    assert {record.id for record in results} == {spec.id for spec in specs}
    assert len({record.metrics["made_by"] for record in results}) == 8
    attempts = [(Store(tmp_path).folder(s.id) / "attempt").read_text().split()[0] for s in specs]
    assert attempts == ["1"] * 500, "a run was begun twice"
