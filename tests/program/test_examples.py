"""The examples run, each by the command that is shown beside it, made small."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands import call, read
from vitexp.runs.plans import Asked, keep, kept

ROOT = Path(__file__).parents[2]
SMALL = ["--steps", "2", "--batch", "16", "--device", "cpu", "--precision", "fp32", "--jobs", "1"]


@pytest.fixture(autouse=True)
def _at_the_root(monkeypatch):
    monkeypatch.chdir(ROOT)


def test_a_study_of_ones_own_is_planned_run_and_reported_again(tmp_path, capsys):
    study = "examples/my_study.py:Heads"
    made = read(capsys, "ablate", study, *SMALL, "--seeds", 2, "--out", tmp_path)
    assert [row["group"] for row in made["rows"]] == ["1 heads", "2 heads", "4 heads"]
    assert all(row["n"] == 2 for row in made["rows"])
    with (tmp_path / "tables" / "heads.csv").open(encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 3
    assert (tmp_path / "plots" / "heads.png").stat().st_size > 1000
    again = read(capsys, "table", study, "--out", tmp_path)
    assert again["rows"] == made["rows"]
    (tmp_path / "tables" / "heads.csv").unlink()
    assert call(capsys, "table", "--out", tmp_path)[0] == 0
    assert (tmp_path / "tables" / "heads.csv").exists(), "all studies, one's own among them"
    code, _, said = call(capsys, "ablate", study, *SMALL, "--seeds", 2, "--out", tmp_path)
    assert code == 0
    assert "Nothing to run" in said


def test_a_results_folder_does_not_choose_what_code_is_run(tmp_path, capsys, monkeypatch):
    results = tmp_path / "here" / "results"
    read(capsys, "ablate", "compute", "--models", "vit-xxs/4,r8x0.5", *SMALL, "--seeds", 1,
         "--out", results)  # fmt: skip
    ran = f"open({str(tmp_path / 'ran')!r}, 'w')"
    places = {"among": results / "evil.py", "above": tmp_path / "evil.py"}
    (known,) = kept(results)
    for name, place in places.items():
        place.write_text(f"class Evil: {ran}")
        keep(results, Asked(f"{place}:Evil", f"{name}-{'0' * 16}", known.flags, known.cells))
    monkeypatch.chdir(tmp_path / "here")
    code, _, said = call(capsys, "table", "--out", "results")
    assert code == 0
    assert said.count("Left out: ") == 2
    assert not (tmp_path / "ran").exists()


def test_a_study_of_ones_own_refuses_the_flag_that_it_compares(tmp_path, capsys):
    study = "examples/my_study.py:Heads"
    code, _, said = call(capsys, "ablate", study, *SMALL, "--heads", 4, "--out", tmp_path)
    assert code == 2
    assert "--heads" in said


def test_a_model_of_ones_own_is_trained_and_probed(tmp_path, capsys):
    words = ["--model", "examples/my_net.py:Net", *SMALL, "--out", tmp_path]
    (run,) = read(capsys, "train", *words)
    assert run["state"] == "done"
    assert run["params"] > 90_000
    _, _, said = call(capsys, "runs", "list", "--out", tmp_path)
    assert said == "1 run, digits, 8 px, Net, adamw lr 0.003, 2 steps.\n", "no position is claimed"
    plan = read(capsys, "train", *words, "--patch", 4, "--heads", 4, "--dry-run", "--no-probe")
    assert [(cell["row"], cell["column"]) for cell in plan["cells"]] == [("Net patch=4", "")]
    shown = read(capsys, "runs", "show", run["id"], "--out", tmp_path)
    assert 0 < shown["metrics"]["few_shot_5_top1"] < 1


def test_a_signal_of_ones_own_is_a_row_of_the_grid(tmp_path, capsys):
    words = ["--position", "examples/my_signal.py:Diagonal", *SMALL, "--out", tmp_path]
    (run,) = read(capsys, "train", *words, "--placement", "shared")
    assert run["state"] == "done"
    plan = read(capsys, "ablate", "pos-emb", *words, "--seeds", 1, "--dry-run", "--no-probe")
    rows = {cell["row"] for cell in plan["cells"]}
    assert "examples/my_signal.py:Diagonal" in rows
    assert plan["runs"]["total"] == 13


def test_flags_from_a_file_are_taken_and_flags_win(tmp_path, capsys):
    words = ["--config", "examples/sweep.toml", "--precision", "fp32", "--out", tmp_path]
    words += ["--dry-run", "--no-probe"]
    plan = read(capsys, "ablate", "pos-emb", *words)
    assert (plan["runs"]["total"], plan["lr"]) == (30, 2e-3)
    assert read(capsys, "ablate", "pos-emb", *words, "--seeds", 5)["runs"]["total"] == 50


def test_the_package_is_the_program():
    command = [sys.executable, "-m", "vitexp"]
    helped = subprocess.run([*command, "--help"], capture_output=True, text=True, check=True)
    assert "Usage: vitexp [OPTIONS] COMMAND" in helped.stdout
    refused = subprocess.run([*command, "nonsense"], capture_output=True, text=True, check=False)
    assert refused.returncode == 2


def test_runs_are_a_data_frame(tmp_path, capsys):
    read(capsys, "train", *SMALL, "--seeds", 2, "--out", tmp_path)
    shown = subprocess.run(
        [sys.executable, "examples/frame.py", tmp_path], capture_output=True, text=True, check=True
    )
    assert shown.stdout.split()[:3] == ["count", "mean", "std"]
    assert shown.stdout.splitlines()[-1].split()[3] == "2"
