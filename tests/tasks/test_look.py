"""``vitexp look``: the figures of trained transformers and the numbers behind them."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import save_file

from tests.commands import call, read
from tests.conftest import model_spec
from tests.program.test_json import listed
from tests.tasks.test_predict import publish
from vitexp.catalog import sizes
from vitexp.models.build import build
from vitexp.models.weights.header import header
from vitexp.render.figure import draw
from vitexp.runs.store import Store
from vitexp.spec import ModelSpec, PositionSpec


def saved(folder: Path, name: str, spec: ModelSpec) -> Path:
    """A file with the first weights of a model."""
    path = folder / f"{name}.safetensors"
    save_file(build(spec, seed=0).state_dict(), path, metadata=header(spec))
    return path


def rows_of(file: str) -> list[dict[str, str]]:
    with Path(file).open(encoding="utf-8", newline="") as opened:
        return list(csv.DictReader(opened))


def check_figures(files: list[str], figures: int) -> list[list[dict[str, str]]]:
    """Each has its three files; the numbers of the CSV files."""
    endings = [Path(file).suffix for file in files]
    assert [endings.count(e) for e in (".png", ".svg", ".pdf")] == [figures] * 3
    for file in files:
        if file.endswith(".svg"):
            ElementTree.parse(file)
    return [rows_of(file) for file in files if file.endswith(".csv")]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are laid out, and not written three times."""

    def drawn(figure: Any) -> dict[str, bytes]:
        draw(figure)
        return dict.fromkeys(("png", "svg", "pdf"), b"<svg/>")

    monkeypatch.setattr("vitexp.render.figure.drawn", drawn)


def test_similarity_of_every_kind_of_signal(tmp_path, capsys, quick):
    every = PositionSpec("learned_1d", "every-layer", std=1.0)
    added = saved(tmp_path, "added", model_spec(position=every))
    shared = PositionSpec("relative", "shared", std=1.0)
    relative = saved(tmp_path, "relative", model_spec(position=shared, pool="gap"))
    found = read(capsys, "look", "similarity", added, relative, added, "--out", tmp_path)
    assert set(found) == listed("look")
    cosines, profile = check_figures(found["files"], 2)
    assert len(cosines) == 2 * 16 * 16
    assert {row["run"] for row in cosines} == {str(added)}
    own = [
        float(r["cosine"])
        for r in cosines
        if r["row"] + r["column"] == r["other_row"] + r["other_column"]
    ]
    assert own == [1.0] * 32
    assert {row["layer"] for row in profile} == {"all"}
    assert sorted({int(row["offset"]) for row in profile}) == list(range(-15, 16))
    assert {row["head"] for row in profile} == {"1", "2", "3", "4"}


def test_filters_in_colour(tmp_path, capsys):
    file = saved(tmp_path, "colour", model_spec(channels=3, patch=4))
    found = read(capsys, "look", "filters", file, "--out", tmp_path)
    (rows,) = check_figures(found["files"], 1)
    assert {int(row["component"]) for row in rows} == set(range(1, 29))
    assert {row["channel"] for row in rows} == {"1", "2", "3"}
    shares = [float(rows[48 * k]["variance_share"]) for k in range(28)]
    assert shares == sorted(shares, reverse=True) and np.sum(shares) < 1


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A store, and in it two seeds of one model and another model."""
    out, recipe = tmp_path_factory.mktemp("look"), {"steps": 1, "warmup": 0}
    models = ((model_spec(), 0), (model_spec(), 1), (model_spec(pool="gap"), 0))
    return out, [publish(out, model, seed, **recipe) for model, seed in models]


def test_distances_of_several_seeds_are_one_panel(runs, capsys, monkeypatch):
    out, ids = runs
    shown = list[Any]()

    def drawn(figure: Any) -> dict[str, bytes]:
        shown.append(figure)
        return {"png": b""}

    monkeypatch.setattr("vitexp.render.figure.drawn", drawn)
    found = read(capsys, "look", "distance", *ids, "--out", out, "--device", "cpu")
    rows = rows_of(found["files"][1])
    assert len(rows) == 3 * 2 * 4
    assert {row["images"] for row in rows} == {"128"}
    (figure,) = shown
    first, second = figure.panels
    assert "gap" in second.name and "gap" not in first.name and second.spread is None
    far = np.array([float(row["distance"]) for row in rows]).reshape(3, 2, 4)
    ranked = np.sort(far[:2], axis=2)
    assert np.allclose(first.values, ranked.mean(axis=0), atol=1e-3)
    assert np.allclose(first.spread, [ranked.min(axis=0), ranked.max(axis=0)], atol=1e-3)
    assert np.allclose(second.values, np.sort(far[2], axis=1), atol=1e-3)
    draw(figure)
    assert (Store(out).folder(ids[0]) / "test-looks").read_text() == "|"


def test_any_images_are_watched_in_their_order(runs, capsys, quick, digits, tmp_path):
    """The same pixels, from files that the loader resizes, give the same numbers."""
    out, ids = runs
    for row in range(4):
        image = Image.fromarray(digits.test.images[row, :, :, 0])
        image.save(tmp_path / f"{row}.png")
    image.resize((16, 16), Image.Resampling.NEAREST).save(tmp_path / "4.png")
    distances = ["look", "distance", ids[0], "--out", out, "--device", "cpu"]
    one = rows_of(read(capsys, *distances, "--indices", "0-3")["files"][-1])
    (tmp_path / "notes.txt").write_text("no image")
    command = [*distances, "--images", tmp_path]
    other = rows_of(read(capsys, *command, "--indices", "0-2,3")["files"][-1])
    assert other == one
    (tmp_path / "torn.png").write_bytes(b"\x89PNG\r\n")
    code, _, err = call(capsys, *command)
    assert (code, "torn.png" in err) == (2, True)
    found = read(capsys, *command, "--skip-broken")
    assert any("notes.txt" in text for text in found["remarks"])
    assert {row["images"] for row in rows_of(found["files"][-1])} == {"5"}
    assert any("5 images, where the paper takes 128" in text for text in found["remarks"])


def test_attention_over_images_and_by_head(runs, capsys, quick, digits):
    out, ids = runs
    command = ["look", "attention", "--out", out, "--device", "cpu"]
    found = read(capsys, *command, ids[0], ids[2])
    token, gap = check_figures(found["files"], 2)
    assert len(token) == len(gap) == 6 * 16
    assert {(row["layer"], row["head"]) for row in token} == {("all", "all")}
    sums = [sum(float(row["weight"]) for row in rows) for rows in (token, gap)]
    assert sums[0] < 6 and sums[1] == pytest.approx(6, abs=1e-4)
    found = read(capsys, *command, ids[0], "--layer", 2, "--indices", "9,0")
    (heads,) = check_figures(found["files"], 1)
    assert [row["image"] for row in heads[::64]] == ["digits test row 9", "digits test row 0"]
    assert [row["head"] for row in heads[:64:16]] == ["1", "2", "3", "4"]


def test_where_a_resnet_finds_its_class(tmp_path, capsys, quick):
    file = saved(tmp_path, "r", sizes.model("r8x0.5", 8, channels=1, classes=10))
    command = ["look", "cam", file, "--images", "digits", "--out", tmp_path]
    (rows,) = check_figures(read(capsys, *command, "--indices", "0-19")["files"], 1)
    assert len(rows) == 20 * 4
    assert {(row["class"], float(row["logit"])) for row in rows} == {("0", 0.0)}, "its head is zero"


def test_names_that_are_no_text_are_spelled(runs, capsys, quick, digits, tmp_path):
    out, ids = runs
    odd = tmp_path / os.fsdecode(b"=\xff.png")
    Image.fromarray(digits.test.images[0, :, :, 0]).save(odd)
    command = ["look", "attention", ids[0], "--images", tmp_path, "--out", out]
    (rows,) = check_figures(read(capsys, *command)["files"], 1)
    assert {Path(row["image"]).name for row in rows} == {"=\\xff.png"}


def test_what_the_class_token_reads_from_patches(runs, capsys, quick):
    out, ids = runs
    found = read(capsys, "look", "tokens", *ids[:2], "--out", out, "--device", "cpu")
    (rows,) = check_figures(found["files"], 1)
    assert len(rows) == 2 * 2 * 4
    assert all(0 < float(row["from_patches"]) < 100 for row in rows)
    code, _, err = call(capsys, "look", "tokens", *ids, "--out", out)
    assert (code, "has no class token" in err) == (2, True)


def test_what_cannot_be_looked_into_is_refused_in_two_lines(tmp_path, capsys):
    resnet = saved(tmp_path, "r", sizes.model("r8x0.5", 8, channels=1, classes=10))
    none = saved(tmp_path, "none", model_spec(position=PositionSpec("none", std=0.0)))
    for words, problem in (
        (["distanec", none], "Unknown kind of look"),
        (["similarity", resnet], "neither the patches nor the positions"),
        (["tokens", resnet], "`vitexp look cam` shows where"),
        (["cam", none, "--images", "digits"], "does not read the mean of a ResNet's map"),
        (["cam", resnet, "--images", "digits", "--indices", "0-24"], "25 images are more"),
        (["similarity", none], "adds no embeddings"),
        (["filters", "ffff"], "No run's id begins"),
        (["filters", none, "--indices", "3"], "needs no images"),
        (["distance", none], "has no test images"),
        (["distance", none, "--layer", "1"], "not of one layer"),
        (["attention", none, "--images", "digits", "--layer", "3"], "has no layer 3"),
        (["attention", none, "--images", "digits", "--indices", "0-24"], "25 images are more"),
        (["distance", none, "--images", "digits", "--indices", "7,x"], "no list of numbers"),
        (["distance", none, "--images", "digits", "--indices", "7,5-3"], "no list of numbers"),
        (["distance", none, "--images", "digits", "--indices", "7,360"], "There is no image 360"),
        (["distance", none, "--images", tmp_path / "no"], "Unknown data set"),
        (["filters", tmp_path / "gone.npz"], "There is no file"),
    ):
        code, out, err = call(capsys, "look", *words, "--out", tmp_path)
        assert (code, out, problem in err) == (2, "", True), err
        assert len(err.splitlines()) == 2
    assert not (tmp_path / "plots").exists()
