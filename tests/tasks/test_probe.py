"""What is made of a finished run: probes of its features on other images."""

from __future__ import annotations

import contextlib
import io
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.commands import TINY, call, read
from tests.pictures import image_rows, two_classes, write_parquet
from vitexp.catalog import sizes
from vitexp.cli.main import main
from vitexp.datasets.image_set import ImageSet
from vitexp.datasets.load import describe, images_of, load
from vitexp.launch.events import Event
from vitexp.launch.orders import Measure, Resources
from vitexp.models.build import build
from vitexp.models.weights.files import exported, write
from vitexp.runs.lease import alone
from vitexp.runs.measurement import Measurement
from vitexp.runs.record import pack_correct
from vitexp.runs.store import Store
from vitexp.spec import ProbeSpec
from vitexp.training.measure import measure
from vitexp.worker.worker import Worker


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one trained run on the digits."""
    out = tmp_path_factory.mktemp("transfer")
    with pytest.raises(SystemExit) as left:
        main(["train", *TINY, "--steps", "60", "--lr", "3e-3", "--seed", "3", "--out", str(out)])
    assert not left.value.code
    return out


@pytest.fixture
def run(store: Path) -> str:
    return next(iter(Store(store).results())).id


def folder_of(digits: ImageSet, path: Path, each: dict[int, int], mode: str = "L") -> Path:
    """Some classes of the digits, drawn larger, as a folder of PNG files."""
    for label, count in each.items():
        for part, split, size in (("train", digits.train, count), ("test", digits.test, 10)):
            (path / part / str(label)).mkdir(parents=True)
            for row in np.flatnonzero(split.labels == label)[:size]:
                image = Image.fromarray(split.images[row, :, :, 0]).resize((16, 16))
                colours = [image, image, image.point(lambda v: 255 - v)]
                image = image if mode == "L" else Image.merge("RGB", colours)
                image.save(path / part / str(label) / f"{row}.png")
    return path


def test_a_probe_of_a_runs_own_data_says_what_the_run_said(store, run, capsys):
    (found,) = read(capsys, "probe", run[:6], "--out", store)
    metrics = Store(store).results()[run].metrics
    shots = ("few_shot_1_top1", "few_shot_5_top1", "few_shot_10_top1", "few_shot_25_top1")
    assert {name: found[name] for name in shots} == {name: metrics[name] for name in shots}
    assert (found["run"], found["data"], found["probe"]) == (run, "digits", "few_shot")
    assert metrics["few_shot_5_top1"] > 0.3


def test_a_probe_is_kept_with_its_run_and_not_made_again(store, run, capsys, digits, tmp_path):
    data = folder_of(digits, tmp_path / "some", {0: 30, 1: 30, 7: 8})
    command = ["probe", run, "--dataset", data, "--out", store]
    code, out, err = call(capsys, *command)
    assert code == 0, err
    assert "class '7' has 7 in train" in err
    assert "1-shot %" in out
    assert "10-shot" not in out
    folder = Store(store).folder(run)
    files = {path: path.stat().st_mtime_ns for path in folder.glob("measurement-*.json")}
    (found,) = read(capsys, *command)
    assert {path: path.stat().st_mtime_ns for path in files} == files
    kept = json.loads((folder / f"measurement-{found['id']}.json").read_text())
    assert kept["execution"]["test_reads"] == 1
    assert len(kept["per_example"]["few_shot_5"]) == 3
    assert len(kept["per_example"]["few_shot_5"][0]) == len(pack_correct(np.zeros(30)))
    assert found["few_shot_5_top1"] == pytest.approx(np.mean(found["few_shot"][1]["top1"]))
    assert found["few_shot_5_top1"] > 0.5


def test_two_that_probe_the_same_at_once_measure_it_once(store, run, monkeypatch, digits, tmp_path):
    data, _ = describe(str(folder_of(digits, tmp_path / "some", {0: 12, 1: 12})), image_size=8)
    probe, spec = ProbeSpec("few_shot", data), Store(store).result(run).spec
    together, made = threading.Barrier(2), []

    def measured(*arguments: Any) -> Measurement:
        made.append(arguments)
        with contextlib.suppress(threading.BrokenBarrierError):
            together.wait(timeout=1)
        return measure(*arguments)

    monkeypatch.setattr("vitexp.worker.worker.measure", measured)
    workers = [Worker(store, "cpu", 60, io.StringIO()) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda worker: worker.carry_out(Measure(spec, Resources(1), probe)), workers))
    assert len(made) == 1
    found = Store(store).measurement(spec, probe)
    assert found is not None
    assert found.execution["test_reads"] == 1


def test_who_waits_for_anothers_probe_ends_when_told_to(store, run, digits, tmp_path):
    data, _ = describe(str(folder_of(digits, tmp_path / "some", {2: 12, 3: 12})), image_size=8)
    probe, spec, told = ProbeSpec("few_shot", data), Store(store).result(run).spec, io.StringIO()
    worker = Worker(store, "cpu", 60, told)
    with alone(Store(store).folder(run)):
        worker.stop.set()
        worker.carry_out(Measure(spec, Resources(1), probe))
    assert Event.parse(told.getvalue()) == Event("stopped", run)
    assert Store(store).measurement(spec, probe) is None


def test_what_cannot_be_probed_is_refused_in_two_lines(store, run, capsys, digits, tmp_path):
    data = folder_of(digits, tmp_path / "colour", {0: 5, 1: 5}, mode="RGB")
    code, _, err = call(capsys, "probe", run, "--dataset", data, "--out", store)
    assert code == 2
    assert "are RGB, and vit-xxs" in err.splitlines()[0]
    weights = Store(store).folder(run) / "weights.safetensors"
    whole = weights.read_bytes()
    for damage, problem in ((whole[:-1], "is damaged"), (b"", "is damaged")):
        weights.write_bytes(damage)
        code, _, err = call(capsys, "probe", run, "--out", store)
        weights.write_bytes(whole)
        assert code == 2
        assert problem in err.splitlines()[0]
        assert len(err.splitlines()) == 2


def test_files_in_any_layout_are_probed_alike_and_kept_by_what_is_in_them(tmp_path, capsys):
    spec = sizes.model("vit-xxs/2", 8, channels=1, classes=7)
    state = build(spec, seed=3).state_dict()
    files = {layout: tmp_path / f"{layout}.safetensors" for layout in ("timm", "vitexp")}
    files["npz"] = tmp_path / "weights.npz"
    for layout, file in files.items():
        write(exported(state, spec, layout), layout, file, spec)
    named = [files["npz"], files["timm"], "--model", "vit-xxs/2", "--dataset", "digits"]
    found = read(capsys, "probe", *named, "--out", tmp_path)
    found += read(capsys, "probe", files["vitexp"], "--dataset", "digits", "--out", tmp_path)
    shots = [[probed[f"few_shot_{k}_top1"] for k in (1, 5, 10, 25)] for probed in found]
    assert shots[0] == shots[1] == shots[2]
    assert 0.2 < shots[0][1] < shots[0][3]
    kept = sorted((tmp_path / "probes").glob("*/measurement-*.json"))
    assert len(kept) == 3
    times = [path.stat().st_mtime_ns for path in kept]
    moved = files["npz"].rename(tmp_path / "moved.npz")
    again = read(capsys, "probe", moved, *named[2:], "--out", tmp_path)
    assert again[0]["id"] == found[0]["id"]
    assert [path.stat().st_mtime_ns for path in kept] == times


def test_files_that_cannot_be_probed_are_refused(tmp_path, capsys):
    spec = sizes.model("vit-xxs/2", 8)
    write(exported(build(spec, 0).state_dict(), spec, "timm"), "timm", tmp_path / "a.pth", spec)
    plain = tmp_path / "a.safetensors"
    (tmp_path / "a.pth").rename(plain)
    for words, problem in (
        ([plain, "--kind", "bias"], "is measured on the test images of runs"),
        ([plain, "--kind", "biased"], "Unknown --kind"),
        ([plain], "On which images is"),
        ([plain, "--dataset", "digits"], "Which model is in"),
        ([tmp_path / "none.npz", "--dataset", "digits"], "There is no file"),
    ):
        code, _, err = call(capsys, "probe", *words, "--out", tmp_path)
        assert (code, problem in err.splitlines()[0]) == (2, True)
    on = ["--dataset", "digits", "--out", tmp_path]
    code, out, err = call(capsys, "probe", plain, "--model", "vit-xs/4", *on)
    assert (code, "does not fit" in err, out) == (2, True, "")


def test_a_model_of_rgb_images_sees_grey_ones_in_three_equal_channels(tmp_path, capsys):
    """The same features as of colour images that show the same."""
    spec = sizes.model("vit-xxs/2", 8, classes=7)
    plain = tmp_path / "a.safetensors"
    write(exported(build(spec, 0).state_dict(), spec, "timm"), "timm", plain, spec)
    grey = load("digits")
    for part in ("train", "val", "test"):
        split = getattr(grey, part)
        for i, (image, label) in enumerate(zip(split.images, split.labels, strict=True)):
            folder = tmp_path / "colour" / part / str(label)
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.repeat(image, 3, axis=2)).save(folder / f"{i:04}.png")
    seen = images_of(describe("digits")[0], channels=3)
    colour, _ = describe(str(tmp_path / "colour"))
    assert seen.fingerprint == grey.fingerprint
    assert (seen.test.images == grey.test.images).all()
    assert seen.channels == load(colour.source).channels == 3
    on = ["--model", "vit-xxs/2", "--out", tmp_path]
    code, out, err = call(capsys, "probe", plain, "--dataset", "digits", "--json", *on)
    assert code == 0
    assert "it sees them as three equal channels" in err
    found = json.loads(out)[0]
    assert 0.2 < found["few_shot_5_top1"] < 1
    finetune = ["finetune", "--from", plain, "--dataset", "digits", "--steps", "2", "--lr", "0.01"]
    code, out, err = call(capsys, *finetune, *on, "--dry-run", "--no-probe", "--json")
    assert code == 0, err
    assert "three equal channels" in json.loads(out)["data"]["remarks"][-1]
    code, out, err = call(capsys, *finetune, *on, "--json")
    assert code == 0, err
    code, _, err = call(capsys, "probe", _grey_file(tmp_path), "--dataset", colour.source, *on)
    assert (code, "are RGB, and vit-xxs/2 was trained on grey" in err) == (2, True)


def _grey_file(folder):
    spec = sizes.model("vit-xxs/2", 8, channels=1, classes=7)
    path = folder / "grey.safetensors"
    write(exported(build(spec, 0).state_dict(), spec, "timm"), "timm", path, spec)
    return path


@pytest.fixture
def odd_table(tmp_path):
    """Images in which the usual columns are others, and one of which is broken."""
    rows = image_rows(60, "a", [0, 1])
    rows = {"image": [None] * 60, "label": [0] * 60, "photo": rows["image"], "kind": rows["label"]}
    rows["photo"][7] = {"bytes": b"no image", "path": None}
    write_parquet(tmp_path / "table" / "train.parquet", rows)
    return tmp_path / "table"


def test_a_probe_takes_the_flags_about_the_files_of_its_data_set(odd_table, tmp_path, capsys):
    spec = sizes.model("vit-xxs/2", 8, classes=7)
    file = tmp_path / "a.safetensors"
    write(exported(build(spec, 0).state_dict(), spec, "timm"), "timm", file, spec)
    asked = ["probe", file, "--model", "vit-xxs/2", "--dataset", odd_table, "--out", tmp_path]
    columns = ["--image-column", "photo", "--label-column", "kind"]
    code, _, err = call(capsys, *asked, *columns)
    assert (code, "--skip-broken" in err) == (2, True)
    found = read(capsys, *asked, *columns, "--skip-broken")
    assert found[0]["data"] == "table"
    assert "few_shot_1_top1" in found[0]


def test_pre_training_reads_its_target_by_columns_of_its_own(odd_table, tmp_path, capsys):
    command = ["ablate", "pretrain", *TINY, "--steps", "4", "--seeds", "1", "--fractions", "100%",
               "--dataset", two_classes(tmp_path / "pets"), "--target", odd_table,
               "--out", tmp_path, "--image-size", "8", "--skip-broken", "--dry-run",
               "--no-probe"]  # fmt: skip
    own = ["--target-image-column", "photo", "--target-label-column", "kind"]
    assert read(capsys, *command, *own)["runs"]["todo"] > 3
    code, _, err = call(capsys, *command, *own[:2])
    assert (code, "Traceback" in err) == (2, False)
    code, _, err = call(capsys, "ablate", "pretrain", *own, "--out", tmp_path)
    assert (code, "There is no --target" in err) == (2, True)
