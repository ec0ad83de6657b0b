"""Work of more than an hour is announced, with what would shorten it, and asked for."""

from __future__ import annotations

import re

import pytest

from tests.commands import call
from tests.program.test_terminals import in_terminal
from vitexp.cli import execute, long
from vitexp.cli.execute import machine_of
from vitexp.cli.forecast import forecast, timed
from vitexp.experiment.plan import Plan
from vitexp.launch import local
from vitexp.launch.local import Paces
from vitexp.models.count import macs
from vitexp.runs.record import Results
from vitexp.runs.times import Times
from vitexp.settings.flags import Settings
from vitexp.settings.run import resolve


@pytest.fixture
def slow(monkeypatch):
    """A machine on which every step takes so many seconds, and on which nothing is run."""
    begun = []

    def run(machine, planner, label):
        begun.append(planner(Results(())))
        return True

    def is_as_slow_as(seconds):
        monkeypatch.setattr(
            local,
            "pace",
            lambda specs, *rest: Paces(0.0, {spec.id: Times(step=seconds) for spec in specs}),
        )
        monkeypatch.setattr(execute, "execute", run)
        return begun

    return is_as_slow_as


HOUR = ["--steps", "60000", "--jobs", "1", "--device", "cpu", "--seeds", "4"]


def test_what_takes_over_an_hour_is_said_with_flags_that_bring_it_under_one(slow, capsys, tmp_path):
    begun = slow(0.05)
    command = ["train", *HOUR, "--out", tmp_path]
    code, _, err = call(capsys, *command)
    assert (code, len(begun)) == (0, 1)
    assert "This will take about 3 h 20 min on this machine (4 runs)." in err
    assert "Under an hour: --steps 18000 or --seeds 1." in err
    assert "nobody can be asked" in err
    code, _, err = call(capsys, *command, "--yes")
    assert (code, len(begun), "will take" in err) == (0, 2, False)
    for words in ("--steps 18000", "--seeds 1"):
        code, _, err = call(capsys, *command, *words.split())
        assert (code, "will take" in err) == (0, False), words


@pytest.mark.parametrize("study", [["ablate", "pos-emb"], ["scale"], ["ablate", "pretrain"]])
def test_every_study_says_so(study, slow, capsys, tmp_path):
    slow(0.2)
    asked = [*study, "--steps", "40000", "--jobs", "2", "--device", "cpu", "--out", tmp_path]
    code, _, err = call(capsys, *asked)
    assert code == 0
    least = "at least about" if "pretrain" in study else "about"
    assert f"This will take {least}" in err
    (steps,) = re.findall(r"Under an hour: --steps (\d+)", err)
    code, _, err = call(capsys, *asked, "--steps", steps)
    assert (code, "will take" in err) == (0, False)


def test_epochs_stay_epochs_and_what_no_flag_shortens_has_no_hint(slow, capsys, tmp_path):
    begun = slow(1.0)
    command = ["train", "--epochs", "1000", "--jobs", "1", "--device", "cpu", "--out", tmp_path]
    _, _, err = call(capsys, *command)
    (epochs,) = re.findall(r"Under an hour: --epochs (\d+)\.", err)
    assert "will take" not in call(capsys, *command, "--epochs", epochs)[2]
    slow(1000.0)
    _, _, err = call(capsys, *command)
    assert "will take" in err and "Under an hour" not in err
    assert len(begun) == 3


def test_short_work_is_not_probed(slow, monkeypatch, capsys, tmp_path):
    begun = slow(1e9)
    machine = machine_of(Settings(out=str(tmp_path), device="cpu"))
    base = resolve(Settings(), "fp32")
    monkeypatch.setattr(local, "pace", lambda *rest: pytest.fail("probed"))
    long.consent(machine, lambda done: Plan({("one",): [base.run]}))
    assert call(capsys, "ablate", "pos-emb", "--device", "cpu", "--out", tmp_path)[0] == 0
    assert len(begun) == 1


def test_done_runs_cost_nothing(slow, tmp_path):
    slow(1.0)
    machine = machine_of(Settings(out=str(tmp_path), device="cpu"))
    base = resolve(Settings(steps=100_000), "fp32")
    cast = timed(forecast(machine, lambda done: Plan({("one",): [base.run]})), machine)
    assert cast.seconds == 100_000
    assert cast.taken({}) == 0


def test_a_model_that_was_not_timed_is_judged_by_the_nearest_that_was(slow, monkeypatch, tmp_path):
    machine = machine_of(Settings(out=str(tmp_path), device="cpu", jobs=2))
    small, large = (
        resolve(Settings(steps=100, width=width, heads=4), "fp32").run for width in (64, 256)
    )
    found = Paces(2.0, {large.id: Times(begin=1.0, step=0.5)})
    monkeypatch.setattr(local, "pace", lambda *_: found)
    cast = forecast(machine, lambda done: Plan({("a",): [small, large], ("b",): [small.seeded(1)]}))
    assert cast.seconds is None
    cast = timed(cast, machine)
    factor = (macs(small.model) or 0) / (macs(large.model) or 1)
    assert factor < 0.2
    alone = 1 + 100 * 0.5 * factor
    assert cast.taken({small: 100}) == pytest.approx(2 + alone)
    # The small ones of both seeds go first, side by side.
    assert cast.seconds == pytest.approx(2 + alone + (1 + 100 * 0.5))


def test_on_a_terminal_it_is_asked_for(tmp_path):
    words = ["train", "--steps", "90000000", "--device", "cpu", "--out", str(tmp_path)]
    code, shown = in_terminal(words, 100, answer="n\n")
    assert code == 130
    assert "Begin? (--yes does not ask) [y/N]" in shown
    assert not list(tmp_path.glob("runs/*"))
