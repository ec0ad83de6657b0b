"""What ``--json`` prints has the names that docs/json.md lists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.commands import TINY, read

PAGE = (Path(__file__).parents[2] / "docs/json.md").read_text(encoding="utf-8")


def listed(command: str) -> set[str]:
    """The names at the top of what a command prints, those in brackets left out."""
    rows = [line.split(" | ") for line in PAGE.splitlines() if line.startswith("| ")]
    (row,) = (row for row in rows if f"`{command}`" in row[0])
    spans = row[1].partition(";")[0] if command == "models" else row[1]
    names = " ".join(re.findall(r"`([^`]+)`", spans))
    while (flat := re.sub(r"\[[^\[\]{}]*\]|\{[^\[\]{}]*\}", "", names)) != names:
        names = flat
    return set(names.split())


@pytest.fixture
def store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    read(capsys, "train", *TINY, "--seeds", 2, "--out", tmp_path)
    return tmp_path


def test_brackets_hold_what_is_below():
    assert listed("soup") == {"runs", "best_run", "best_soup", "soups"}
    assert listed("compare") == {"data", "a", "b", "n", "rows"}


def test_of_runs_and_claims(store, capsys):
    def names(*command: object) -> set[str]:
        value = read(capsys, *command, "--out", store)
        return set(value[0] if isinstance(value, list) else value)

    (first, second) = (run["id"] for run in read(capsys, "runs", "list", "--out", store))
    assert names("train", *TINY, "--seeds", 2) == listed("train")
    assert names("train", *TINY, "--dry-run", "--no-probe") == listed("train --dry-run")
    assert names("runs", "list") == listed("runs list")
    assert names("runs", "show", first) == listed("runs show")
    assert names("compare", first, second) == listed("compare")
    assert names("claims") == listed("claims")


def test_of_models(capsys):
    row, *_ = read(capsys, "models", "vit-xxs/2")
    assert set(row) == listed("models")
    # 64 weights and a bias an output; 4 pixels of 64 weights a channel.
    few, *_ = read(capsys, "models", "vit-xxs/2", "--classes", 10)
    assert row["params"] - few["params"] == 990 * 65
    grey, *_ = read(capsys, "models", "vit-xxs/2", "--dataset", "digits")
    assert few["params"] - grey["params"] == 2 * 4 * 64


def test_of_a_study(tmp_path, capsys):
    run = read(capsys, "ablate", "pool", *TINY, "--seeds", 1, "--out", tmp_path)
    assert set(run) == listed("ablate")
    assert set(read(capsys, "plot", "pool", "--out", tmp_path)) == listed("plot")
