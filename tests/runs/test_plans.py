"""What studies asked for: written beside the runs, kept whole, taken elsewhere."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.commands import call, read
from vitexp.errors import VitexpError
from vitexp.runs import archive, plans
from vitexp.runs.plans import Asked
from vitexp.runs.store import Store

BEFORE = Path(__file__).parents[1] / "data" / "runs-without-plans.tar.gz"
"""Runs of four studies from before what was asked for was written down; two steps each."""

ASKED = Asked(
    study="pool",
    name="pool-0123456789abcdef",
    flags="--dataset digits",
    cells={("token", "lr 0.001"): ("a", "b"), ("gap", 0.03, 8): ("c",)},
    reference=("token", "lr 0.001"),
    tries=("t",),
)


def test_what_was_asked_comes_back_and_more_seeds_are_added_to_it(tmp_path):
    assert plans.kept(tmp_path) == []
    assert plans.keep(tmp_path, ASKED) == ASKED
    assert plans.kept(tmp_path) == [ASKED]
    cells = {("token", "lr 0.001"): ("b", "d"), ("gap", 0.03, 8): ("e",)}
    more = Asked(ASKED.study, ASKED.name, ASKED.flags, cells, ASKED.reference, ("t", "u"))
    whole = plans.keep(tmp_path, more)
    assert plans.kept(tmp_path) == [whole]
    assert list(whole.cells.values()) == [("a", "b", "d"), ("c", "e")]
    assert whole.tries == ("t", "u")
    assert all(run in whole for run in "abcdetu")
    assert "x" not in whole


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"format": 9}', json.dumps(ASKED.to_json() | {"study": 5})]
)
def test_a_damaged_file_is_named(content, tmp_path):
    plans.keep(tmp_path, ASKED)
    path = tmp_path / "studies" / f"{ASKED.name}.json"
    path.write_text(content)
    with pytest.raises(VitexpError, match="is damaged") as caught:
        plans.kept(tmp_path)
    assert str(path) in caught.value.problem


MACHINE = ("--device", "cpu", "--precision", "fp32", "--no-keep")


@pytest.fixture
def before(tmp_path: Path) -> Path:
    archive.unpacked(Store(tmp_path / "before"), BEFORE)
    return tmp_path / "before"


@pytest.mark.parametrize(
    ("study", "seeds"),
    [
        ("pos-emb", [3] * 10),
        # Cells that are also the positional study's have the seeds of that one.
        ("pool", [1, 1, 1, 1, 3, 1]),
        ("patch", [1, 1, 3, 3, 1, 1]),
        ("scale", [2] * 4),
    ],
)
def test_a_store_of_an_earlier_version_still_gives_its_tables(study, seeds, before, capsys):
    said = read(capsys, "table", study, "--out", before)
    assert [row["n"] for row in said["rows"]] == seeds
    assert not (before / "studies").exists(), "a report asks for nothing"


def test_the_data_of_an_earlier_store_need_not_be_there(before, capsys):
    for path in (before / "runs").glob("*/result.json"):
        said = path.read_text()
        assert "--dataset digits" in said
        folder = path.parent
        # The same run of data of another name: its id does not depend on where they lie.
        path.write_text(
            said.replace('"source": "digits"', '"source": "gone"').replace(
                "--dataset digits", "--dataset gone"
            )
        )
        assert folder.exists()
    said = read(capsys, "table", "pos-emb", "--out", before)
    assert len(said["rows"]) == 10


def test_claims_and_figures_of_an_earlier_store(before, capsys):
    found = {row["id"]: row for row in read(capsys, "claims", "--out", before)}
    assert found["PE1"]["verdict"] == "INCONCLUSIVE"
    assert found["PE4"]["verdict"] == "NOT RUN", "one seed"
    some = [row["id"] for row in read(capsys, "claims", "positions", "--out", before)]
    assert some == ["PE1", "PE2", "PE3"]
    _, _, said = call(capsys, "claims", "positions", "--out", before)
    assert said.startswith("positions is the study pos-emb.\n")
    code, _, err = call(capsys, "plot", "--out", before)
    assert code == 0, err
    assert len(list((before / "plots").glob("*.png"))) >= 4


def test_a_study_reports_what_it_asked_for_and_takes_up_no_other_runs(before, tmp_path, capsys):
    """On a store full of other runs, two of which it shares."""
    few = ("ablate", "compute", "--models", "vit-xxs/4,r8x0.5", "--steps", "2", "--seeds", "1")
    said = read(capsys, *few, *MACHINE, "--out", before)
    assert [row["model"] for row in said["rows"]] == ["r8x0.5", "vit-xxs/4"]
    again = read(capsys, "table", "compute", "--out", before)
    assert again["rows"] == said["rows"]
    (asked,) = plans.kept(before)
    assert asked.study == "compute"
    # The same question with another seed is the same; with another model it is another.
    read(capsys, *few[:-1], "2", *MACHINE, "--out", before)
    assert [row["n"] for row in read(capsys, "table", "compute", "--out", before)["rows"]] == [2, 2]
    read(capsys, *few[:3], "r8x0.5,vit-xxs/2", *few[4:], *MACHINE, "--out", before)
    assert len(plans.kept(before)) == 2
    _, _, err = call(capsys, "table", "compute", "--out", before)
    first = next(one for one in plans.kept(before) if one.name == asked.name)
    assert f"--grid {first.name.rpartition('-')[2][:8]}" in err
    assert read(capsys, "table", "compute", "--grid", first.name[-16:-8], "--out", before)["rows"]


def test_what_was_asked_travels_with_the_runs_but_for_code(before, tmp_path, capsys):
    runs = list(Store(before).results())
    ids = [record.id for record in runs]
    cells = {("x",): (ids[0],), ("y",): (ids[1],)}
    kept = plans.keep(before, Asked("pool", ASKED.name, "--dataset digits", cells))
    code = Asked("mine.py:Study", "mine-0123456789abcdef", "--dataset digits", cells)
    plans.keep(before, code)
    other = Asked("pool", "pool-aaaaaaaaaaaaaaaa", "", {("z",): (ids[2],)})
    plans.keep(before, other)
    file = tmp_path / "some.tar.gz"
    file.write_bytes(archive.packed(Store(before), ids[:2]))
    archive.unpacked(Store(tmp_path / "there"), file)
    assert plans.kept(tmp_path / "there") == [kept]
    shutil.rmtree(tmp_path / "there")


def test_each_data_set_has_files_of_its_own_and_the_latest_the_plain_name_too(tmp_path, capsys):
    two = ("ablate", "compute", "--models", "vit-xxs/4,r8x0.5", "--seeds", "1", "--steps", "1")
    asked = (*two, *MACHINE, "--out", tmp_path)
    read(capsys, *asked, "--image-size", "8")
    plain = {path.name for path in (tmp_path / "tables").iterdir()}
    assert plain == {"compute.md", "compute.csv", "compute.tex"}
    first = (tmp_path / "tables" / "compute.csv").read_text()
    read(capsys, *asked, "--image-size", "12")
    rows = read(capsys, "table", "compute", "--out", tmp_path)
    others = {path.name for path in (tmp_path / "tables").glob("*.csv")} - {"compute.csv"}
    assert len(others) == 2
    assert all(name.startswith("compute-digits-") for name in others)
    texts = {path.name: path.read_text() for path in (tmp_path / "tables").glob("*.csv")}
    assert first in texts.values()
    assert texts["compute.csv"] != first
    assert sorted(texts.values()).count(texts["compute.csv"]) == 2
    assert set(rows["files"]) == {
        str(tmp_path / "tables" / f"{Path(name).stem}.{ending}")
        for name in (*others, "compute.csv")
        for ending in ("md", "csv", "tex")
    }
    code, _, _ = call(capsys, "plot", "--out", tmp_path)
    assert code == 0
    assert len(list((tmp_path / "plots").glob("*.png"))) == 3
