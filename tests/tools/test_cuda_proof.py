"""``make cuda`` without CUDA: its boxes of time by a clock of their own, and the way through it."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tools.cuda_proof import __main__ as program
from tools.cuda_proof import boxes, proof
from tools.cuda_proof.boxes import FULL
from tools.cuda_proof.processes import Ended, ThisMachine
from tools.cuda_proof.proof import Minutes, Proof
from vitexp.launch import devices
from vitexp.runs import archive
from vitexp.runs.store import Store


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Small pictures of three kinds of noise."""
    made, random = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for split, count in (("train", 24), ("test", 4)):
        for label in range(3):
            (made / split / f"kind{label}").mkdir(parents=True)
            for index in range(count):
                pixels = random.integers(80 * label, 80 * label + 90, (8, 8, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(made / split / f"kind{label}" / f"{index}.png")
    return made


HANGS, DIES = "hangs", "dies"

VALUES = {
    "facts": {"torch": "2", "cuda": "13", "python": "3", "vitexp": "0", "cores": 16},
    "ceilings": {"flops_per_s": {"bf16": 8e14}, "copied_bytes_per_s": 3e12},
}


class Fake:
    """A machine whose clock goes on by what its processes are said to take.

    Attributes:
        at: seconds by its clock.
        faults: item -> what the process does there.
        begun: the items that processes began, in order.
        power: seconds after which the whole program is gone.
    """

    def __init__(self, faults: dict[str, str] | None = None, power: float = 1e9) -> None:
        self.at, self.power, self.faults = 0.0, power, faults or {}
        self.begun: list[str] = []

    def now(self) -> float:
        return self.at

    def run(self, command, seconds, log, line, silence=None, ask=signal.SIGTERM, every=None):
        end, acted = self.at + seconds, self.at
        for takes, said in self._script(command):
            if said == HANGS:
                self._pass(min(end - self.at, silence or 1e9))
                return Ended("time" if self.at >= end else "silence")
            if self.at + takes >= end:
                self._pass(end - self.at)
                return Ended("time")
            self._pass(takes)
            if every is not None and self.at - acted >= every[0]:
                every[1]()
                acted = self.at
            if said == DIES:
                return Ended("itself", -11)
            if said:
                line(said)
        return Ended("itself", 0)

    def _pass(self, seconds: float) -> None:
        self.at += seconds
        if self.at >= self.power:
            raise SystemExit("the power is gone")

    def _script(self, command: list[str]) -> Iterator[tuple[float, str]]:
        """Seconds, and then what it says."""
        words = [*command, ""]
        if "tools.cuda_proof.canary" in words:
            yield 6.0, ""
            yield from self._items(command[command.index("tools.cuda_proof.canary") + 2 :], 1.5)
        elif "tools.cuda_proof.speed" in words:
            until, *names = command[command.index("tools.cuda_proof.speed") + 2 :]
            yield 6.0, ""
            yield from self._items(names, min(12.0, (float(until) - self.at) / 8))
        elif "pytest" in words:
            yield from self._task("tests", 400.0)
            report = Path(command[-1].removeprefix("--junitxml="))
            report.write_text("<testsuites><testcase classname='t' name='a'/></testsuites>")
        elif "--dry-run" in words:
            yield 12.0, json.dumps({"data": {"train": 45_000}})
        elif "scale" in words or "ablate" in words:
            name = command[command.index("--seeds") + 1] if "ablate" in words else "scale"
            yield from self._task(name, 120.0)
        else:
            yield 2.0, ""

    def _task(self, name: str, seconds: float) -> Iterator[tuple[float, str]]:
        self.begun.append(name)
        if name in self.faults:
            yield 1.0, self.faults[name]
        for _ in range(20):
            yield seconds / 20, ""

    def _items(self, names: list[str], seconds: float) -> Iterator[tuple[float, str]]:
        for name in names:
            self.begun.append(name)
            yield 0.0, json.dumps({"item": name, "state": "begun"})
            if name in self.faults:
                yield 0.5, self.faults[name]
            value = VALUES.get(name, {"course": "ViT-Ti", "entries": [], "missing": {}})
            yield seconds / 2, json.dumps({"item": name, "state": "so far", "value": value})
            yield seconds / 2, json.dumps({"item": name, "state": "done", "value": value})


@pytest.fixture
def quick_disk(monkeypatch):
    """What is not synced is lost in a power cut alone, and here the power is not really gone."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


def call(tmp_path, minutes, machine, asked=None):
    """One call of the proof; its record."""
    out, work, divided = tmp_path / "out", tmp_path / "work", Minutes.of(minutes)
    made = Proof(out, work, "cuda:0", "NVIDIA H100", divided, "abc", machine)
    assert boxes.understood(made, FULL, "data") is None
    program._run(made, FULL, "data", asked)
    return made


def spent(made):
    """Seconds of the last call, by box."""
    return made.facts["calls"][-1]["boxes"]


def record(tmp_path):
    return json.loads((tmp_path / "out" / "nvidia-h100" / "record.json").read_text())


def states(tmp_path):
    return {name: item["state"] for name, item in record(tmp_path)["items"].items()}


@pytest.mark.usefixtures("quick_disk")
@pytest.mark.parametrize("minutes", [2, 4, 9, 30])
def test_every_box_ends_with_its_time_and_the_whole_with_its_own(tmp_path, minutes):
    machine = Fake()
    made, divided = call(tmp_path, minutes, machine), Minutes.of(minutes)
    assert machine.now() <= 60 * minutes
    assert spent(made)["canary"] <= divided.canary <= 75
    assert spent(made)["speed"] <= divided.speed <= 150
    assert spent(made)["grid"] > 0
    assert "begun" not in states(tmp_path).values()
    assert ("tests" in spent(made)) == (minutes == 30)
    assert f"{60 * minutes} s: canary at most" in divided.words()
    page = (tmp_path / "out" / "nvidia-h100" / "record.md").read_text()
    assert page.startswith("# NVIDIA H100\n\ntorch 2, CUDA 13")


def test_nine_minutes_hold_the_canary_the_comparison_and_a_grid(tmp_path):
    made = call(tmp_path, 9, Fake())
    found = states(tmp_path)
    assert {found[name] for name in (*FULL.checks, *FULL.courses, "grid of 3 seeds")} == {"done"}
    assert sum(spent(made).values()) > 300


@pytest.mark.usefixtures("quick_disk")
@pytest.mark.parametrize("fault", [HANGS, DIES])
@pytest.mark.parametrize("at", ["r8", FULL.courses[1], "3"])
def test_what_hangs_or_dies_costs_itself_alone(tmp_path, fault, at):
    call(tmp_path, 9, Fake({at: fault}))
    found = states(tmp_path)
    item = "grid of 3 seeds" if at == "3" else at
    # Of the canary alone it is known how long it may be silent.
    assert found[item] == ("cut off" if fault == HANGS and at != "r8" else "failed")
    boxes_of = {name: known["box"] for name, known in record(tmp_path)["items"].items()}
    others = {name for name, state in found.items() if state != "done"} - {item}
    # What follows in its box may lack the time that was waited; the other boxes go on.
    late = {boxes_of[item]} if fault == HANGS else set()
    assert {boxes_of[name] for name in others} <= {"grid", "tests"} | late
    assert at == "3" or found["grid of 3 seeds"] == "done"


def test_a_box_that_throws_is_kept_and_the_next_begins(tmp_path, monkeypatch):
    def thrown(*_: object, **how: object) -> None:
        raise ZeroDivisionError("in the box")

    monkeypatch.setattr(proof.Box, "items", thrown)
    made = call(tmp_path, 9, Fake())
    found = record(tmp_path)["items"]
    for name in ("canary", "speed"):
        assert found[f"the {name} box"]["error"] == "ZeroDivisionError: in the box"
    assert found["grid of 3 seeds"]["state"] == "done"
    assert program.verdict(made) == 1


@pytest.mark.usefixtures("quick_disk")
@pytest.mark.parametrize("seed", range(12))
def test_after_any_end_the_same_command_goes_on(tmp_path, seed):
    """The power goes at any moment, again and again; nothing that was done is done again."""
    moments, done = random.Random(seed), set[str]()
    for _ in range(40):
        machine = Fake(power=moments.uniform(20, 300))
        with pytest.raises(SystemExit):
            call(tmp_path, 9, machine)
        if not (tmp_path / "out" / "nvidia-h100" / "record.json").exists():
            continue
        again = done & set(machine.begun)
        assert not again, again
        done |= {name for name, state in states(tmp_path).items() if state == "done"}
        if set(FULL.checks) <= done:
            break
    final = Fake()
    call(tmp_path, 60, final)
    found = states(tmp_path)
    assert set(found.values()) == {"done"}, found
    assert not done & set(final.begun)
    assert {"grid of 3 seeds", "grid of 5 seeds", "scaling study"} <= found.keys()
    files = {path.name for path in (tmp_path / "out" / "nvidia-h100").iterdir()}
    assert files <= {"record.json", "record.md", "runs.tar.gz", "logs.tar.gz"}


def test_another_device_has_a_record_of_its_own(tmp_path):
    call(tmp_path, 9, Fake(), ["canary"])
    before = (tmp_path / "out" / "nvidia-h100" / "record.json").read_bytes()
    other = Proof(
        tmp_path / "out", tmp_path / "w", "cuda:0", "NVIDIA H200", Minutes.of(9), None, Fake()
    )
    boxes.canary(other, FULL)
    assert (tmp_path / "out" / "nvidia-h100" / "record.json").read_bytes() == before
    assert (tmp_path / "out" / "nvidia-h200" / "record.json").exists()


def entry(rate, who="vitexp", compiled=False, ready=10.0):
    return {"who": who, "compiled": compiled, "images_per_s": rate, "ready": ready}


def test_what_compiling_saves_has_to_repay_its_time():
    plain, fast = entry(1e4), entry(2e4, compiled=True, ready=40.0)
    # At 10,000 images/s more a second is saved for every 20,000 images; it takes 30 s longer.
    assert boxes.repays([plain, fast], 20_000 * 31)
    assert not boxes.repays([plain, fast], 20_000 * 29)
    assert not boxes.repays([plain, entry(9e3, compiled=True, ready=40.0)], 1e9)
    assert not boxes.repays([plain], 1e9)


@pytest.mark.parametrize(("rate", "epochs"), [(None, 1), (1e3, 1), (50_000, 5), (1e6, 20)])
def test_the_grid_trains_as_long_as_its_first_seeds_fit(tmp_path, rate, epochs):
    made = call(tmp_path, 9, Fake(), ["canary"])
    if rate is not None:
        entries = [entry(rate / 2), entry(rate, "vitexp, together"), entry(1e9, "timm")]
        value = {"course": "ViT-Ti/4, 32 px", "entries": entries}
        made.items["a course"] = {"box": "speed", "state": "done", "value": value}
    chosen = boxes._length(made, FULL, 300.0)
    assert chosen == ["--steps", str(epochs * 45_000 // 128), "--no-compile"]
    # A later call goes on with the same runs, whatever it would choose.
    made.items.clear()
    assert boxes._length(made, FULL, 10_000.0) == chosen


def test_a_process_is_cut_off_with_all_that_it_started(tmp_path):
    machine, heard = ThisMachine(), list[str]()
    child = "import subprocess, sys, time; print('begun', flush=True);"
    child += "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'],"
    child += " start_new_session=True); print('started', flush=True); time.sleep(600)"
    log = tmp_path / "log.txt"

    def fails(line: str) -> None:
        raise ValueError(line)

    def ended(code, seconds, **how):
        return machine.run([sys.executable, "-c", code], seconds, log, heard.append, **how)

    assert ended(child, 3600.0, silence=3.0) == Ended("silence")
    assert heard == ["begun", "started"]
    assert ended("import time; time.sleep(600)", 1.0) == Ended("time")
    stubborn = "import signal, time; signal.signal(signal.SIGTERM, lambda *_: 0); time.sleep(600)"
    assert ended(stubborn, 2.0) == Ended("time")
    assert ended("raise SystemExit(3)", 600.0) == Ended("itself", 3)
    assert ended("import os, time; os.close(1); time.sleep(600)", 1.0) == Ended("time")
    acts: list[int] = []
    every = (0.05, lambda: acts.append(len(acts)))
    ended("import time; time.sleep(600)", 2.0, every=every)
    assert len(acts) > 3
    with pytest.raises(ValueError, match="not a number"):
        machine.run([sys.executable, "-c", "print('not a number')"], 600.0, log, fails)


@pytest.mark.skipif(bool(devices.cuda_devices()), reason="there is a CUDA device")
def test_without_cuda_it_says_so_and_runs_nothing(folder, tmp_path, capsys):
    out = tmp_path / "proof"
    assert program.main(["--data", str(folder), "--out", str(out)]) == 2
    assert "There is no CUDA device here" in capsys.readouterr().out
    assert not out.exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--data", "nowhere"], "--data nowhere is not there"),
        (["--data", "{folder}", "--minutes", "1.5"], "--minutes 1.5 is too short; give 2 or more"),
        (["--data", "{folder}", "--boxes", "gird"], "no box gird"),
    ],
)
def test_wrong_usage_is_said_at_once(folder, capsys, words, said):
    with pytest.raises(SystemExit) as ended:
        program.main([word.replace("{folder}", str(folder)) for word in words])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_a_folder_that_is_no_data_set_is_refused_before_anything_runs(tmp_path, capsys):
    empty, out = tmp_path / "empty", tmp_path / "proof"
    empty.mkdir()
    words = ["--data", str(empty), "--out", str(out), "--work", str(tmp_path / "work")]
    assert program.main([*words, "--device", "cpu"]) == 2
    assert str(empty) in capsys.readouterr().out
    assert not list(out.glob("*/record.*"))


def test_the_way_through_it_all_and_what_it_leaves(folder, tmp_path, capsys):
    out = tmp_path / "proof"
    words = ["--data", str(folder), "--out", str(out), "--work", str(tmp_path / "work")]
    words += ["--device", "cpu", "--minutes", "60"]
    assert program.main(words) == 0, capsys.readouterr().out
    at = out / "cpu"
    items = json.loads((at / "record.json").read_text())["items"]
    assert {name: i["state"] for name, i in items.items() if i["state"] != "done"} == {
        "too large": "missing"
    }
    assert "programs side by side need" in items["too large"]["error"]
    assert items["ceilings"]["value"]["copied_bytes_per_s"] > 1e8
    assert items["some tests"]["value"]["tests"] == 1
    ours, theirs = items["quick"]["value"]["entries"]
    assert (ours["who"], len(ours["rounds"])) == ("vitexp", len(theirs["rounds"]))
    page = (at / "record.md").read_text()
    assert "| relative, shared |" in page and "20 finished runs; --steps 4." in page
    assert "| **none** |" in page

    added, _ = archive.unpacked(Store(tmp_path / "elsewhere"), at / "runs.tar.gz")
    assert len(added) == 10 * 2
    assert sum(path.stat().st_size for path in at.iterdir()) < 2e6

    # On a new machine, with what was kept: only what was missing is looked for again.
    capsys.readouterr()
    words[words.index("--work") + 1] = str(tmp_path / "another")
    assert program.main(words) == 0
    said = capsys.readouterr().out
    assert "20 finished runs from earlier calls" in said
    assert ": done" not in said


def test_a_package_that_is_not_there_is_said_and_is_no_failure(tmp_path):
    case = '<testcase classname="t" name="{}">{}</testcase>'
    absent = '<error message="No module named &apos;not_here.at_all&apos;"/>'
    cases = [case.format("a", ""), case.format("b", absent), case.format("c", "<skipped/>")]
    report = tmp_path / "report.xml"

    def judged(why="itself"):
        report.write_text(f"<testsuites><testsuite>{''.join(cases)}</testsuite></testsuites>")
        return boxes.judge(report)(Ended(why, 0), "")

    counts = {"tests": 3, "skipped": 1, "failed": [], "not_installed": ["not_here"]}
    assert judged() == {"state": "done", "value": counts}
    assert judged("time")["state"] == "cut off"
    cases.append(case.format("d", "<failure>assert 1 == 2</failure>"))
    assert (judged()["state"], judged()["value"]["failed"]) == ("failed", ["t::d"])
    # What is installed and cannot be imported is a failure.
    cases[3] = case.format("e", '<error message="No module named &apos;torch.nothing&apos;"/>')
    assert judged()["value"]["failed"] == ["t::e"]
