"""``vitexp plot curves``: what runs reached on the way."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.commands import TINY, call, read
from vitexp.reporting.report import TraceFigure
from vitexp.runs.store import Store
from vitexp.tasks.curves import COLUMNS, curves
from vitexp.training.schedule import learning_rate


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seeds of one cell and one run of another."""
    from vitexp.cli.main import main

    out = tmp_path_factory.mktemp("curves")
    for more in (["--seeds", "2"], ["--position", "none"]):
        with pytest.raises(SystemExit) as left:
            main(["train", *TINY, "--steps", "40", "--out", str(out), *more])
        assert not left.value.code
    return out


def test_all_runs_are_drawn_with_the_numbers_behind_it(store, capsys):
    files = [Path(file) for file in read(capsys, "plot", "curves", "--out", store)["files"]]
    assert [file.name for file in files] == [f"curves.{e}" for e in ("png", "svg", "pdf", "csv")]
    rows = list(csv.DictReader(files[-1].open()))
    assert tuple(rows[0]) == COLUMNS
    records = {record.id: record for record in Store(store).results()}
    assert {row["run"] for row in rows} == set(records)
    for row in rows:
        record = records[row["run"]]
        point = next(p for p in record.curve if p["step"] == int(row["step"]))
        assert float(row["train_loss"]) == point["train_loss"]
        assert float(row["val_top1"]) == pytest.approx(100 * point["val_top1"])
        rate = learning_rate(record.spec.recipe, int(row["step"]) - 1)
        assert float(row["learning_rate"]) == rate
    assert {row["name"] for row in rows} == {"learned_1d stem", "none"}
    ElementTree.parse(files[1])


def test_a_line_a_run_and_a_panel_a_quantity(store):
    (figure,) = curves(Store(store), []).figures
    assert isinstance(figure, TraceFigure)
    assert [panel.y_axis for panel in figure.panels] == [
        "training loss", "validation top-1 (%)", "learning rate"
    ]  # fmt: skip
    assert [len(panel.series) for panel in figure.panels] == [3, 3, 3]
    rates = figure.panels[-1].series[0].points
    recipe = next(iter(Store(store).results())).spec.recipe
    assert rates[0][0] == 1 and rates[-1][0] == 40
    assert max(rate for _, rate in rates) == recipe.lr


def test_chosen_runs_alone_are_drawn_also_while_they_are_under_way(store, tmp_path, capsys):
    run = next(iter(Store(store).results()))
    (tmp_path / "runs").mkdir()
    folder = tmp_path / "runs" / run.id
    (store / "runs" / run.id).rename(folder)
    try:
        (folder / "result.json").rename(tmp_path / "kept")
        lines = "".join(json.dumps(point) + "\n" for point in run.curve[:3])
        (folder / "log.jsonl").write_text(lines + '{"step": 4')
        report = curves(Store(tmp_path), [run.id[:6]])
        assert [row["step"] for row in report.rows] == [p["step"] for p in run.curve[:3]]
        (folder / "log.jsonl").unlink()
        code, _, err = call(capsys, "plot", "curves", run.id, "--out", tmp_path)
        assert (code, "has been evaluated so far" in err) == (2, True)
    finally:
        (tmp_path / "kept").rename(folder / "result.json")
        folder.rename(store / "runs" / run.id)


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["curves", "zzzz"], "No run's id begins with 'zzzz'"),
        (["pos-emb", "zzzz"], "zzzz means nothing to pos-emb"),
    ],
)
def test_wrong_words_are_refused(words, problem, store, capsys):
    code, _, err = call(capsys, "plot", *words, "--out", store)
    assert (code, problem in err) == (2, True)


def test_an_empty_folder_is_refused(tmp_path, capsys):
    code, _, err = call(capsys, "plot", "curves", "--out", tmp_path)
    assert (code, "No run in" in err, list(tmp_path.iterdir())) == (2, True, [])
