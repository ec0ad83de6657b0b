"""``vitexp predict`` and ``vitexp plot errors``: what runs and files make of each image."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text
from PIL import Image
from safetensors.torch import save
from scipy.stats import binomtest

from tests.alone import finished
from tests.commands import call, read
from tests.conftest import RECIPE, model_spec
from tests.pictures import png
from tests.program.test_json import listed
from vitexp.analysis.shares import share_interval
from vitexp.catalog import sizes
from vitexp.datasets.folder import Files
from vitexp.datasets.image_set import ImageSet
from vitexp.datasets.load import describe, load
from vitexp.datasets.pictures import Pictures
from vitexp.datasets.split import Part
from vitexp.errors import VitexpError
from vitexp.launch import local
from vitexp.launch.events import Event
from vitexp.launch.orders import Predict, Resources
from vitexp.models.weights.header import header
from vitexp.render.figure import draw, drawn
from vitexp.render.predictions import columns
from vitexp.reporting.report import MatrixFigure, Pair, PairsFigure, Tile, TilesFigure
from vitexp.runs.predictions import Predicted
from vitexp.runs.store import Store
from vitexp.spec import ModelSpec, RunSpec
from vitexp.tasks.predict import run_subject
from vitexp.worker.worker import Worker


def publish(out: Path, model: ModelSpec, seed: int = 0, **recipe: Any) -> str:
    """A run on the digits, trained in this process, in the store; its id."""
    data, images = describe("digits", image_size=model.image_size)
    images = load("digits", image_size=model.image_size, channels=model.channels)
    spec = RunSpec(model, data, dataclasses.replace(RECIPE, **recipe), seed)
    record, tensors = finished(spec, images)
    weights = save(tensors, metadata=header(model))
    lease = Store(out).lease(spec)
    assert lease is not None
    lease.publish(record.with_weights(hashlib.sha256(weights).hexdigest()), weights)
    lease.release()
    return spec.id


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("predict")


@pytest.fixture(scope="module")
def runs(store: Path) -> list[str]:
    """Two seeds of one model."""
    return [publish(store, model_spec(), seed) for seed in (0, 1)]


@pytest.fixture
def here(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Predictions are made in this process: another one takes seconds to start."""

    def predict(todo: Any, machine: Any, on_event: Callable[[Event], None]) -> dict[str, str]:
        told = io.StringIO()
        worker = Worker(machine.out, "cpu", 60, told)
        for of, shown in todo:
            worker.carry_out(Predict(of, Resources(1), shown))
        events = [Event.parse(line) for line in told.getvalue().splitlines()]
        return {e.run_id: e.message for e in events if e.kind == "failed"}

    monkeypatch.setattr(local, "predict", predict)


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as opened:
        return list(csv.DictReader(opened))


def test_the_test_split_comes_out_as_the_run_itself_measured_it(store, runs, capsys, digits):
    """By a worker process; the answer on the screen agrees with the file."""
    code, out, err = call(capsys, "predict", runs[0][:6], "--test", "--out", store)
    assert code == 0, err
    assert "otherwise" not in err
    record, rows = Store(store).result(runs[0]), rows_of(store / "predictions.csv")
    correct = [row["label"] == row["prediction"] for row in rows]
    assert correct == record.correctness().tolist()
    taken = record.taken()
    assert taken is not None
    assert [row["prediction"] for row, right in zip(rows, correct, strict=True) if not right] == [
        str(label) for label in taken if label >= 0
    ]
    assert np.mean(correct) == record.metrics["test_top1"]
    assert [int(row["label"]) for row in rows] == digits.test.labels.tolist()
    assert rows[7]["source"] == "digits test row 7"
    shares = np.array([[float(row[f"p_{k}"]) for k in range(10)] for row in rows])
    assert np.abs(shares.sum(axis=1) - 1).max() < 1e-4
    assert [f"{p:.6g}" for p in shares.max(axis=1)] == [row["probability"] for row in rows]
    low, high = (f"{100 * end:.1f}" for end in share_interval(sum(correct), len(rows)))
    shown = ["360", "360", f"{100 * np.mean(correct):.1f}", low, "to", high]
    assert out.splitlines()[1].split() == [runs[0], *shown]
    assert "lowest recall" in err
    assert (Store(store).folder(runs[0]) / "test-looks").read_text() == "|"


FAMILIES: dict[str, tuple[Callable[[], ModelSpec], dict[str, Any]]] = {
    "best mean": (lambda: model_spec(pool="gap"), {"averaging": 0.9, "early_stopping": 2}),
    "resnet": (lambda: sizes.model("r8x0.5", 8, channels=1, classes=10), {}),
    "hybrid": (lambda: sizes.model("r8x0.75+vit-xxs/2", 8, channels=1, classes=10), {}),
    "own": (lambda: ModelSpec("examples/my_net.py:Net", 8, 3, 10), {}),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_models_of_every_kind_predict_as_they_measured(name, tmp_path, capsys, here, monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[2])
    make, recipe = FAMILIES[name]
    run = publish(tmp_path, make(), steps=4, warmup=1, evaluate_every=2, **recipe)
    (found,) = read(capsys, "predict", run, "--test", "--out", tmp_path)["runs"]
    record = Store(tmp_path).result(run)
    assert found["top1"] == record.metrics["test_top1"]
    rows = rows_of(tmp_path / "predictions.csv")
    correct = [row["label"] == row["prediction"] for row in rows]
    assert correct == record.correctness().tolist()


def test_runs_and_their_mean_are_one_table(store, runs, capsys, here, tmp_path):
    file = tmp_path / "seeds.parquet"
    found = read(capsys, "predict", *runs, "--test", "--mean", "-o", file, "--out", store)
    table = pd.read_parquet(file)
    assert [each["run"] for each in found["runs"]] == [*runs, "mean"]
    assert table["run"].tolist() == [run for run in (*runs, "mean") for _ in range(360)]
    shares = table.filter(like="p_").to_numpy().reshape(3, 360, 10)
    assert np.allclose(shares[2], shares[:2].mean(axis=0), atol=1e-6)
    mean = table[table["run"] == "mean"]
    assert (mean["prediction"].astype(int) == shares[2].argmax(axis=1)).all()
    assert found["runs"][2]["top1"] == (mean["label"] == mean["prediction"]).mean()


def folder(digits: ImageSet, root: Path) -> Path:
    """Digits as files: of classes that a model knows, of another, of none, and what is no image."""
    for place, row in (("3/a.png", 0), ("deep/3/b.png", 1), ("horse/c.png", 2), ("d.png", 3)):
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).write_bytes(png(digits.test.images[row, :, :, 0]))
    large = Image.fromarray(digits.test.images[4, :, :, 0]).resize((40, 30))
    large.save(root / "large.png")
    (root / "notes.txt").write_text("no image")
    return root


def test_any_folder_is_predicted_and_labels_are_matched_by_name(
    store, runs, capsys, here, digits, tmp_path
):
    root, file = folder(digits, tmp_path / "new"), tmp_path / "new.csv"
    command = ["predict", runs[0], root, "-o", file, "--out", store]
    found = read(capsys, *command)
    rows = {Path(row["source"]).name: row for row in rows_of(file)}
    assert set(found) == listed("predict")
    labels = {name: row["label"] for name, row in rows.items()}
    assert labels == {"a.png": "3", "b.png": "3", "c.png": "", "d.png": "", "large.png": ""}
    assert (found["runs"][0]["images"], found["runs"][0]["labelled"]) == (5, 2)
    assert found["unknown_classes"] == {"horse": 1}
    said = " ".join(found["remarks"])
    assert "without a label: 2." in said and "('horse'): 1;" in said and "notes.txt" in said
    # The same pixels come to the same numbers as in the test split.
    read(capsys, "predict", runs[0], "--test", "--out", store)
    own = rows_of(store / "predictions.csv")
    for row, name in enumerate(("a.png", "b.png", "c.png", "d.png")):
        numbers = [float(own[row][f"p_{k}"]) for k in range(10)]
        assert [float(rows[name][f"p_{k}"]) for k in range(10)] == pytest.approx(numbers, abs=1e-5)
    read(capsys, "predict", runs[0], root / "d.png", "-o", file, "--out", store)
    assert [row["probability"] for row in rows_of(file)] == [rows["d.png"]["probability"]]

    (root / "torn.png").write_bytes(b"\x89PNG\r\n")
    code, _, err = call(capsys, *command)
    assert (code, "torn.png" in err, "--skip-broken" in err) == (2, True, True)
    found = read(capsys, *command, "--skip-broken")
    assert len(rows_of(file)) == found["runs"][0]["images"] == 5
    assert "Unreadable images that are left out: 1." in found["remarks"]
    Image.new("RGB", (8, 8), "red").save(root / "torn.png")
    code, _, err = call(capsys, *command)
    assert (code, "is RGB, and the model was trained on grey" in err) == (2, True)


def test_a_file_of_weights_predicts_a_data_set(store, runs, capsys, here, tmp_path):
    file = tmp_path / "a.safetensors"
    shutil.copy(Store(store).weights(runs[0]), file)
    found = read(capsys, "predict", file, "digits", "--top", 2, "--out", store)
    metrics = Store(store).result(runs[0]).metrics
    assert found["runs"][0]["top1"] == metrics["test_top1"]
    assert any("taken to be those of the images" in text for text in found["remarks"])
    rows = rows_of(store / "predictions.csv")
    assert list(rows[0])[5:] == ["top_1", "p_1", "top_2", "p_2"]
    assert all(row["top_1"] == row["prediction"] != row["top_2"] for row in rows)


def test_what_cannot_predict_is_refused_in_two_lines(store, runs, capsys, here, tmp_path):
    empty, one, file = tmp_path / "empty", tmp_path / "one.png", store / "new.csv"
    empty.mkdir()
    one.write_bytes(png(np.zeros((8, 8), np.uint8)))
    for words, problem in (
        ([runs[0]], "On which images is"),
        (["ffff", "digits"], "No run's id begins"),
        ([runs[0], "nowhere"], "Unknown data set"),
        ([runs[0], empty], "holds nothing"),
        ([runs[0], one, one], "is an image, and several are"),
        ([runs[0], "digits", "--to", "a.txt"], "no kind of file"),
        ([tmp_path / "none.npz", "digits"], "There is no file"),
        ([store / "runs" / runs[0] / "weights.safetensors", "--test"], "has no test images"),
    ):
        code, out, err = call(capsys, "predict", "-o", file, *words, "--out", store)
        assert (code, out, problem in err.splitlines()[0]) == (2, "", True), err
        assert len(err.splitlines()) == 2
    weights = Store(store).folder(runs[1]) / "weights.safetensors"
    kept = weights.read_bytes()
    weights.write_bytes(kept[:-1])
    code, _, err = call(capsys, "predict", runs[1], "--test", "-o", file, "--out", store)
    weights.write_bytes(kept)
    assert (code, "is damaged" in err) == (2, True)
    assert not file.exists()
    assert not list(store.glob(".tmp-*"))


def test_many_classes_get_a_few_columns_and_formulas_in_names_stay_text():
    shares = np.array([[0.1, 0.6, 0.3], [0.2, 0.2, 0.6]], np.float32)
    predicted = Predicted(["a", "b"], np.array([1, -1]), np.array([1, 2]), shares)
    table = columns("r", predicted, ("x", "y", "z"), 2)
    assert table["label"] == ["y", None]
    assert (table["top_1"], table["top_2"]) == (["y", "z"], ["z", "x"])
    assert table["p_2"] == pytest.approx([0.3, 0.2])
    assert list(columns("r", predicted, ("x", "y", "z"), 0))[5:] == ["p_x", "p_y", "p_z"]


@pytest.mark.parametrize(("right", "images"), [(0, 20), (7, 20), (360, 360)])
def test_the_interval_of_a_share_is_wilsons(right, images):
    known = binomtest(right, images).proportion_ci(method="wilson")
    assert share_interval(right, images) == pytest.approx((known.low, known.high))


HOSTILE = ("$\\frac{<b>", "=HYPERLINK\x1b[31m\n", "名前", *(f"{'long ' * 200}{k}" for k in "abc"))


@pytest.mark.parametrize(
    "figure",
    [
        MatrixFigure("t", HOSTILE, tuple(map(tuple, np.eye(6, dtype=int).tolist())), ("$\\frac{",)),
        PairsFigure("t", tuple(Pair(a, b, 3, 7) for a, b in pairwise(HOSTILE)), ("a",)),
        TilesFigure(
            "t",
            tuple(Tile(np.zeros((8, 8, 1), np.uint8), pair) for pair in pairwise(HOSTILE)),
        ),
    ],
    ids=lambda figure: type(figure).__name__,
)
def test_any_name_of_a_class_is_a_short_text_in_a_figure(figure, recwarn):
    assert drawn(figure)["svg"] == drawn(figure)["svg"]
    assert not recwarn.list
    texts = [text.get_text() for text in draw(figure).findobj(Text)]
    assert any("…" in text for text in texts)
    assert any("$\\frac{" in text for text in texts)
    assert all(len(text) < 80 and "\x1b" not in text for text in texts)


def test_of_images_that_a_run_was_trained_on_and_of_classes_without_names_it_is_said(
    store, runs, monkeypatch
):
    spec, said = Store(store).result(runs[0]).spec, list[str]()
    spec = dataclasses.replace(spec, data=dataclasses.replace(spec.data, source="/data/digits"))
    monkeypatch.setattr("vitexp.tasks.predict.images_of", lambda *_: load("digits"))
    cases: tuple[tuple[str, Part | None, bool], ...] = (
        ("/data/digits", None, True),
        ("/data/digits/train/3", None, True),
        ("/data/digits", "test", False),
        ("/data/digits/test", None, False),
        ("/data/other", None, False),
    )
    for place, split, warned in cases:
        pictures = Pictures(place, split, (), Files(Path(place), [], np.zeros(0, np.int64)))
        assert run_subject(spec, Store(store), pictures, said.append).classes[3] == "3"
        assert ["trained on some of these" in text for text in said] == [True] * warned
        said.clear()

    def gone(*_: object) -> ImageSet:
        raise VitexpError("Nothing is there.", "Put it back.")

    monkeypatch.setattr("vitexp.tasks.predict.images_of", gone)
    assert run_subject(spec, Store(store), pictures, said.append).classes[3] == "3"
    assert "Nothing is there. Its classes are numbered" in said[0]
    with pytest.raises(VitexpError, match="not to be had as they were"):
        run_subject(spec, Store(store), None, said.append)


def test_errors_are_drawn_with_the_numbers_behind_them(store, runs, capsys, here, digits):
    files = [Path(f) for f in read(capsys, "plot", "errors", runs[0], "--out", store)["files"]]
    stem = f"errors-{runs[0][:8]}"
    names = [f"{s}.{e}" for s in (stem, f"{stem}-worst") for e in ("png", "svg", "pdf", "csv")]
    assert [file.name for file in files] == names
    rows = rows_of(files[3])
    assert sum(int(row["images"]) for row in rows) == 360
    right = sum(int(row["images"]) for row in rows if row["true"] == row["predicted"])
    assert right == Store(store).result(runs[0]).correctness().sum()
    worst = rows_of(files[7])
    shares = [float(row["true_probability"]) for row in worst]
    assert shares == sorted(shares) and len(shares) == min(24, 360 - right)
    for row in worst:
        assert digits.test.labels[int(row["row"])] == int(row["true"]) != int(row["predicted"])
    for file in (files[1], files[5]):
        ElementTree.parse(file)
    code, _, err = call(capsys, "plot", "errors", "--out", store)
    assert (code, "The errors of which run?" in err) == (2, True)
