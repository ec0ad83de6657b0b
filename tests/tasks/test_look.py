"""``vitexp look``: the figures of trained transformers and the numbers behind them."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from safetensors.torch import save_file

from tests.commands import call, read
from tests.conftest import model_spec
from tests.program.test_json import listed
from vitexp.catalog import sizes
from vitexp.models.build import build
from vitexp.models.weights.header import header
from vitexp.render.figure import draw
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


def test_what_cannot_be_looked_into_is_refused_in_two_lines(tmp_path, capsys):
    resnet = saved(tmp_path, "r", sizes.model("r8x0.5", 8, channels=1, classes=10))
    none = saved(tmp_path, "none", model_spec(position=PositionSpec("none", std=0.0)))
    for words, problem in (
        (["distanec", none], "Unknown kind of look"),
        (["similarity", resnet], "neither the patches nor the positions"),
        (["similarity", none], "adds no embeddings"),
        (["filters", "ffff"], "No run's id begins"),
        (["filters", tmp_path / "gone.npz"], "There is no file"),
    ):
        code, out, err = call(capsys, "look", *words, "--out", tmp_path)
        assert (code, out, problem in err) == (2, "", True), err
        assert len(err.splitlines()) == 2
    assert not (tmp_path / "plots").exists()
