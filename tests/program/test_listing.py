"""Runs listed, chosen, called something, shown and taken elsewhere with what they are called."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from tests.commands import TINY, call, read
from tests.runs.test_plans import BEFORE
from vitexp.cli import screen
from vitexp.cli.execute import setting
from vitexp.cli.listing import Filters, show
from vitexp.errors import VitexpError
from vitexp.render.sketch import beside, sketch
from vitexp.runs import archive, notes, plans
from vitexp.runs.folder import Entry
from vitexp.runs.notes import Note, noted
from vitexp.runs.plans import Asked
from vitexp.runs.store import Store
from vitexp.spec import PositionSpec
from vitexp.spec.run import TUNING_SEEDS
from vitexp.tasks.listed import Listed, listed


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Finished runs of several studies, one of which wrote down what it asked for."""
    out = tmp_path_factory.mktemp("many")
    archive.unpacked(Store(out), BEFORE)
    first, second, third = sorted(Store(out).results(), key=lambda r: r.execution["ended"])[:3]
    cells = {("a",): (first.id,), ("b",): (second.id,)}
    plans.keep(out, Asked("pos_emb", f"pos_emb-{'0' * 16}", "", cells, tries=(third.id,)))
    notes.note(out, [first.id, second.id], "first try", ["wide", "old"])
    return out


def test_the_latest_run_is_last_and_filters_choose(many):
    every = listed(many)
    dates = [one.entry.date for one in every]
    assert dates == sorted(dates)
    first, second, third = every[:3]

    def chosen(**filters: str) -> list[Listed]:
        return Filters(**filters).chosen(every)

    for name in ("pos-emb", "pos_emb", "positions"):
        assert chosen(study=name) == [first, second, third]
    assert chosen(study="scale") == []
    assert chosen(study="mine.py:Study") == []
    assert chosen(name="first try") == chosen(tag="old") == [first, second]
    assert chosen(name="first") == []
    assert chosen(dataset="DIGI") == every
    some = chosen(model="r8")
    assert 0 < len(some) < len(every)
    assert all("r8" in one.entry.spec.model.name for one in some if one.entry.spec)
    at = dates[3].isoformat()
    assert chosen(since=at) == [one for one in every if one.entry.date >= dates[3]]
    assert chosen(since="36500d", model="r8") == some
    assert chosen(since="1s") == []
    for since in ("yesterday", "9999999d"):
        with pytest.raises(VitexpError, match="no date"):
            chosen(since=since)
    with pytest.raises(VitexpError, match="Unknown study"):
        chosen(study="pos-em")


def test_what_runs_share_stands_below_and_searches_are_marked(run_spec, capsys):
    specs = [run_spec(seed=0), run_spec(seed=TUNING_SEEDS, lr=0.1)]
    entries = [Entry(spec.id, spec, "stopped", 3, 10, None, 1e9) for spec in specs]
    show([Listed(entry, ("data_size",), Note("", ("a", "b"))) for entry in entries])
    printed, said = capsys.readouterr()
    head, one, two = printed.splitlines()
    assert head.split() == ["id", "date", "recipe", "seed", "top-1"]
    assert one.split()[0] == specs[0].id[:8]
    assert one.split()[-2:] == ["0", "-"]
    assert two.split()[-5:] == ["adamw", "lr", "0.1", "search", "-"]
    assert f"{datetime.fromtimestamp(1e9):%Y-%m-%d %H:%M}" in one
    assert said.strip().endswith("30 steps, data-size, a b, stopped at 3.")


def test_what_is_too_wide_is_a_table_for_each_study(run_spec, monkeypatch, capsys):
    monkeypatch.setattr(screen, "fits", lambda columns, rows: len(columns) < 5)
    specs = [run_spec(), run_spec(lr=0.1), run_spec(seed=1)]
    entries = [Entry(spec.id, spec, "done", 3, 10, None, 1e9) for spec in specs]
    studies = [("pos_emb",), ("data_size",), ("pos_emb",)]
    show([Listed(*each, Note("")) for each in zip(entries, studies, strict=True)])
    printed, said = capsys.readouterr()
    begins = [line.split()[0] for line in printed.splitlines()]
    assert begins == ["id", specs[1].id[:8], "id", specs[0].id[:8], specs[2].id[:8]]
    first, second = said.splitlines()
    assert first.startswith("1 run, few, ")
    assert first.endswith("adamw lr 0.1, 30 steps, data-size.")
    assert second.startswith("2 runs, few, ")


def test_the_line_before_the_runs_says_only_what_they_share(run_spec):
    line = setting([run_spec(), run_spec(lr=0.1), run_spec(PositionSpec("none"))])
    assert line == "few (8 px; 200 train, 50 validation, 60 test images), 30 steps, batch 32, fp32"
    assert "adamw lr 0.1, 30 steps" in setting([run_spec(lr=0.1)])


def test_runs_are_called_something_and_that_travels_with_them(tmp_path, capsys):
    here, there = tmp_path / "here", tmp_path / "there"
    command = ["train", *TINY, "--seeds", 2, "--out", here, "--name", "mine", "--tag", "a"]
    rows = read(capsys, *command, "--tag", "b c")
    ids = [row["id"] for row in rows]
    assert [row["name"] for row in read(capsys, "runs", "list", "--out", here)] == 2 * ["mine"]
    code, printed, _ = call(capsys, *command, "--name", "ours")
    assert code == 0
    assert "test images, train % on " in printed
    assert " training images\nmean of 2 seeds: " in printed
    assert "95 % interval [" in printed
    (changed,) = read(
        capsys, "runs", "tag", ids[0], "--add", "d", "--remove", "a", "--remove", "x", "--out", here
    )
    assert changed == {"id": ids[0], "name": "ours", "tags": ["b c", "d"]}
    shown = read(capsys, "runs", "show", ids[0], "--out", here)
    assert (shown["name"], shown["tags"]) == ("ours", ["b c", "d"])
    file = tmp_path / "runs.tar.gz"
    read(capsys, "runs", "export", file, "--out", here)
    notes.note(there, [ids[1]], "theirs", ["e"])
    read(capsys, "runs", "import", file, "--out", there)
    assert noted(there, ids[0]) == Note("ours", ("b c", "d"))
    assert noted(there, ids[1]) == Note("theirs", ("a", "b c", "e"))
    (there / "studies").mkdir()
    (there / "studies" / "pool-0.json").write_text("damaged")
    read(capsys, "runs", "rm", *ids, "--out", there)
    assert not list((there / "notes").iterdir())
    read(capsys, "runs", "tag", *ids, "--name", "", "--out", here)
    assert read(capsys, "runs", "list", "--name", "ours", "--out", here) == []


@pytest.mark.parametrize("text", ["", " ", "a\nb", "\x1b[31m", "x" * 81])
def test_what_is_no_name_is_refused(text, tmp_path):
    with pytest.raises(VitexpError, match="no name and no tag"):
        notes.note(tmp_path, ["0" * 16], add=[text])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["", "[]", '{"format": 1, "name": "x", "tags": "y"}'])
def test_a_damaged_note_is_named(content, tmp_path):
    notes.note(tmp_path, ["0" * 16], "x")
    (path,) = tmp_path.glob("notes/*")
    path.write_text(content)
    with pytest.raises(VitexpError, match="is damaged") as caught:
        noted(tmp_path, "0" * 16)
    assert str(path) in caught.value.problem


def test_names_and_tags_in_a_file(tmp_path, capsys):
    config = tmp_path / "c.toml"
    words = ["train", "--config", config, "--dry-run", "--no-probe", "--out", tmp_path]
    config.write_text('name = "x"\ntag = ["a", "b"]\n')
    assert call(capsys, *words)[0] == 0
    config.write_text("tag = [1]\n")
    assert "not a list of texts" in call(capsys, *words)[2]


def test_a_curve_is_drawn_with_letters():
    drawn = sketch("loss", [(1, 2.0), (2, 1.0), (3, 0.5)], 20)
    assert drawn[0] == "loss"
    assert max(map(len, drawn)) <= 20
    assert drawn[1].rstrip() == "  2 |*"
    assert drawn[-3].startswith("0.5 |")
    assert drawn[-3].endswith("*")
    assert drawn[-1].split() == ["1", "3"]
    assert sum(line.count("*") for line in drawn) == 3
    flat = sketch("", [(5, 1.0)], 20)
    assert sum(line.count("*") for line in flat) == 1
    both = beside([["a", "bb"], ["c"]])
    assert both == ["a   c", "bb"]
