"""The cache of decoded images: shared, killed, damaged, full, and never in the way."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from tests.pictures import pixels, refusal, two_classes, write
from tests.processes import HANG_SECONDS
from vitexp.datasets import cache as cache_module
from vitexp.datasets.cache import Cache, Known, SplitWriter
from vitexp.datasets.load import load
from vitexp.datasets.split import PARTS
from vitexp.spec import Reading


def test_what_sources_mean_is_a_part_of_what_the_cache_knows(tmp_path, cache, monkeypatch):
    root = two_classes(tmp_path / "pets")
    load(str(root), cache=cache)
    load(str(root), cache=cache)
    assert len(list((cache / "known").iterdir())) == 2
    for name, value in (("MEANING", 99), ("PREPROCESSING", 99)):
        monkeypatch.setattr(f"vitexp.datasets.load.{name}", value)
        load(str(root), cache=cache)
    for reading in (Reading(skip_broken=True), Reading(follow_links=True)):
        load(str(root), cache=cache, reading=reading)
    assert len(list((cache / "known").iterdir())) == 2 * 5


def test_a_changed_file_is_noticed(tmp_path, cache):
    root = two_classes(tmp_path / "pets")
    before = load(str(root), cache=cache)
    path = write(root / "test/cat/000.png", pixels(99))
    os.utime(path, ns=(1, 1))
    after = load(str(root), cache=cache)
    assert after.fingerprint != before.fingerprint
    assert (after.test.images[0] == pixels(99)).all()


def test_a_damaged_cache_is_built_again(tmp_path, cache):
    root = two_classes(tmp_path / "pets")
    first = load(str(root), cache=cache)
    expected = np.array(first.train.images)
    stored = cache / "sets" / first.fingerprint
    (stored / "train.images.npy").write_bytes(b"")
    assert (load(str(root), cache=cache).train.images == expected).all()
    (stored / "val.labels.npy").unlink()
    assert (load(str(root), cache=cache).train.images == expected).all()
    for known in (cache / "known").iterdir():
        known.write_text("{")
    assert load(str(root), cache=cache).fingerprint == first.fingerprint
    assert json.loads(next((cache / "known").iterdir()).read_text())


def _load_in_process(root, cache, start, results):
    start.wait(HANG_SECONDS)
    results.put(load(root, cache=Path(cache)).fingerprint)


def test_two_processes_may_build_the_same_set_at_once(tmp_path, cache):
    root = two_classes(tmp_path / "pets")
    spawn = multiprocessing.get_context("spawn")
    start, results = spawn.Barrier(2), spawn.Queue()
    arguments = (str(root), str(cache), start, results)
    processes = [spawn.Process(target=_load_in_process, args=arguments) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [p.exitcode for p in processes] == [0, 0]
    found = {results.get(timeout=HANG_SECONDS) for _ in processes}
    assert found == {load(str(root), cache=cache).fingerprint}
    assert {p.name for p in cache.iterdir()} - {"lock"} == {"known", "sets"}


def test_what_is_remembered_leaves_nothing_behind_when_it_is_cut_short(tmp_path, monkeypatch):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Cache(tmp_path).remember("key", Known("stamp", "fingerprint", ("a", "b"), 0, ()))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize("damaged", [False, True])
def test_whoever_finishes_the_same_set_finds_it_in_place(tmp_path, damaged):
    builders = 4
    together = threading.Barrier(builders)

    def provided(cache):
        with cache.building(1) as folder:
            for part in PARTS:
                with closing(SplitWriter(folder, part, 2, 1)) as writer:
                    writer.add(np.zeros((2, 2, 1), np.uint8), 0)
            together.wait(HANG_SECONDS)
            cache.publish(folder, "same")
            return cache.splits("same") is not None

    with ThreadPoolExecutor(builders) as pool:
        for attempt in range(50):
            cache = Cache(tmp_path / str(attempt))
            if damaged:
                in_the_way = cache.folder / "sets" / "same"
                in_the_way.mkdir(parents=True)
                (in_the_way / "train.images.npy").write_bytes(b"")
            assert list(pool.map(provided, [cache] * builders)) == [True] * builders


def test_a_cache_without_room_or_permission_is_said(tmp_path, cache, monkeypatch):
    root = two_classes(tmp_path / "pets")
    (tmp_path / "file").write_text("in the way")
    text = refusal(root, tmp_path / "file" / "cache")
    assert "cannot be written" in text
    assert "VITEXP_CACHE" in text
    full = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: full)
    assert "GB free" in refusal(root, cache)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_disk_that_fills_up_while_writing_is_said(tmp_path, cache, monkeypatch):
    root = two_classes(tmp_path / "pets")
    real = Path.open

    def full(path, mode="r", **options):
        return real(Path("/dev/full") if path.suffix == ".npy" else path, mode, **options)

    monkeypatch.setattr(Path, "open", full)
    assert "is full" in refusal(root, cache)


def test_what_a_killed_process_left_is_swept_after_a_day(tmp_path, cache):
    for name, age in (("building-old", 1), ("building-new", None)):
        write(cache / name / "train.images.npy", pixels(0))
        for path in (cache / name / "train.images.npy", cache / name):
            os.utime(path, None if age is None else (age, age))
    load(str(two_classes(tmp_path / "pets")), cache=cache)
    assert [p.name for p in cache.glob("building-*")] == ["building-new"]


def test_the_cache_is_where_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.setenv("VITEXP_CACHE", str(tmp_path / "mine"))
    load(str(two_classes(tmp_path / "pets")))
    assert (tmp_path / "mine" / "sets").is_dir()
    monkeypatch.delenv("VITEXP_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_module.default_cache() == tmp_path / "xdg" / "vitexp"
