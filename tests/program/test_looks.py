"""``--until-decided``: more seeds for what is open, none for what is decided."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.commands import call, read
from tests.plans import by_position, sorted_into
from tests.synthetic import PAPER_CELLS, draw, grid, spec
from vitexp.cli import budget
from vitexp.experiment.looks import still_open
from vitexp.experiment.plan import Plan
from vitexp.spec import FromRun
from vitexp.studies.pos_emb.study import PosEmb
from vitexp.tasks import compare

STUDY = """
from vitexp.experiment.sweep import Sweep

class Rates(Sweep):
    def arms(self, base):
        return {(name, ""): {"lr": lr} for name, lr in
                (("good", 3e-3), ("none", 1e-9), ("lower", 2e-3))}
"""


def seeds_of(out: Path) -> dict[str, int]:
    (file,) = (out / "studies").iterdir()
    cells = json.loads(file.read_bytes())["cells"]
    return {cell["key"][0]: len(cell["runs"]) for cell in cells}


def test_seeds_are_added_to_what_is_open_alone(capsys, tmp_path, monkeypatch):
    """25 steps tell a rate of nothing from a good one with 3 seeds, and not two good ones."""
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(STUDY)
    asked = ["ablate", "mine.py:Rates", "--steps", 25, "--depth", 2, "--precision", "fp32"]
    asked = [*asked, "--until-decided", "--max-seeds", 7, "--out", "out"]
    code, _, said = call(capsys, *asked, "--quiet")
    assert code == 0
    assert "3 seeds: 1 decided; 1 open (lower)." in said
    assert "On to 5 seeds of 2 cells." in said
    assert seeds_of(Path("out")) == {"good": 5, "none": 3, "lower": 5}
    # The same again runs nothing, and the table has each cell's own seeds.
    rows = read(capsys, *asked)["rows"]
    assert {row["group"]: row["n"] for row in rows} == {"good": 5, "none": 3, "lower": 5}
    assert [row["verdict"] for row in rows if row["group"] == "none"] == ["worse"]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["pos-emb", "--until-decided", "--seeds", "4"], "Leave one of them out"),
        (["pos-emb", "--until-decided", "--max-seeds", "2"], "no verdicts below 3 seeds"),
        (["pos-emb", "--max-seeds", "5"], "--max-seeds limits --until-decided"),
        (["compute", "--until-decided"], "no verdicts that wait for seeds alone"),
    ],
)
def test_what_does_not_go_together_is_refused(capsys, tmp_path, flags, words):
    code, _, said = call(capsys, "ablate", *flags, "--out", tmp_path)
    assert code == 2
    assert words in said
    assert not (tmp_path / "runs").exists()


def test_a_budget_for_less_than_a_verdict_is_refused(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(
        budget, "fitted", lambda study, base, machine, limit: replace(base, seeds=base.seeds[:2])
    )
    asked = ["pos-emb", "--until-decided", "--budget", "1h", "--out", tmp_path]
    code, _, said = call(capsys, "ablate", *asked)
    assert (code, "no time for the 3 seeds" in said) == (2, True)


def test_a_verdict_stays_what_it_was_when_other_cells_get_more_seeds():
    rng = np.random.default_rng(1)
    drawn = draw(rng, [0.7, *np.linspace(0.72, 0.95, 9)], 10, 360)
    study, open_at_3 = PosEmb(), {("none", "stem"), *PAPER_CELLS[1:5]}

    def compared(seeds: dict[tuple[str, str], int]) -> dict[Any, Any]:
        cells = {key: one[: seeds[key]] for key, one in zip(PAPER_CELLS, drawn, strict=True)}
        return study.compared(sorted_into(study, grid(cells), by_position, ("none", "stem")))

    first = compared(dict.fromkeys(PAPER_CELLS, 3))
    later = compared({key: 10 if key in open_at_3 else 3 for key in PAPER_CELLS})
    ended = [key for key in PAPER_CELLS if key not in open_at_3]
    assert {first[key].decision.verdict for key in ended} > {"better"}
    for key in ended:
        assert first[key].decision == later[key].decision
    assert later["learned_1d", "stem"].decision.estimate.n == 10


def test_what_no_number_of_seeds_decides_gets_none():
    drawn = draw(np.random.default_rng(2), [0.7, 0.7, 0.95], 3, 100, seed_luck=0.01)
    cells = dict(zip(PAPER_CELLS[:3], drawn, strict=True))
    study = PosEmb()
    done = sorted_into(study, grid(cells), by_position, ("none", "stem"))
    questions = study.questions(done)
    assert [each.state for each in questions] == ["impossible", "decided"]
    assert not still_open(questions)


def test_a_limited_plan_keeps_what_its_runs_start_from():
    parents = [spec(seed=seed) for seed in range(3)]
    children = [replace(one, init=FromRun(one.id)) for one in parents]
    plan = Plan({("parent",): parents, ("child",): children})
    assert len(plan.limited({("parent",): 1, ("child",): 2}).cells["parent",]) == 2
    assert len(plan.limited({("child",): 2}).runs) == 5


def test_two_runs_get_more_seeds_until_one_is_better():
    drawn = draw(np.random.default_rng(4), [0.7, 0.71, 0.95], 3, 300)
    done = grid(dict(zip(PAPER_CELLS[:3], drawn, strict=True)))
    none, stem, every = (
        compare.side(f"{k}/{p}" if k != "none" else k, done) for k, p in PAPER_CELLS[:3]
    )
    plan = compare.more(none, every, 3)
    assert all(run.id in done for run in plan.runs)
    (decided,) = compare.questions(none, every, plan, done)
    (undecided,) = compare.questions(none, stem, compare.more(none, stem, 3), done)
    assert (decided.state, undecided.state) == ("decided", "impossible")
    assert len(compare.more(none, stem, 10).runs) == 20
