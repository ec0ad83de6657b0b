"""``vitexp bench`` and the parts of ``make bench``: what they say, and that it adds up."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from dataclasses import replace
from typing import Any

import pytest
import torch

from tests.conftest import model_spec
from tests.program.test_terminals import CONTROL, in_terminal
from tools.bench import growth, race, record
from tools.bench.contenders import PEERS, peer_step
from vitexp.models import count
from vitexp.spec import to_json
from vitexp.tasks.bench import summary
from vitexp.training.bench import MEASURING, WARM_SECONDS, WARMING, Stopwatch
from vitexp.training.host import Progress

CPU = torch.device("cpu")


def vitexp(*words, cwd, code=0):
    program = "from vitexp.cli.main import main; main()"
    command = [sys.executable, "-c", program, *words]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done


def told(*windows, macs=10, peak=1e6):
    return {
        "windows": list(windows),
        "macs_executed": macs,
        "peak_flops_per_s": peak,
        "peak_memory": 1000,
        "environment": {},
    }


def test_processes_count_only_while_all_of_them_are_measured():
    """The first process has the machine to itself for a second, which is left out."""
    first = told((0.0, 1.0, 10), (1.0, 2.0, 4), (2.0, 3.0, 4))
    second = told((1.0, 2.0, 4), (2.0, 3.0, 4), (3.0, 4.0, 10))
    both = summary([first, second], batch=8)
    assert both["images_per_s"] == 2 * 8 * 4
    assert both["step_seconds"] == 0.25
    assert both["flops_per_s"] == 6 * 10 * 64
    assert both["utilisation"] == 6 * 10 * 64 / 2e6
    # Where they never were measured together, each is taken as it is.
    apart = summary([told((0.0, 1.0, 4), (1.0, 2.0, 4)), told((5.0, 6.0, 2))], batch=1)
    assert apart["images_per_s"] == 6
    assert summary([told((0.0, 1.0, 1), macs=None)], batch=1)["utilisation"] is None


def test_bench_says_how_fast_a_model_trains_and_leaves_nothing(tmp_path):
    words = "bench --model vit-xxs/4 --image-size 8 --batch 4 --seconds 0.1 --device cpu --json"
    value = json.loads(vitexp(*words.split(), cwd=tmp_path).stdout)
    assert (value["model"], value["batch"], value["image_size"]) == ("vit-xxs/4", 4, 8)
    assert value["step_low"] <= value["step_seconds"] <= value["step_high"]
    flops = 6 * value["macs_executed"] * value["images_per_s"]
    assert value["flops_per_s"] == pytest.approx(flops)
    assert value["utilisation"] == pytest.approx(flops / value["peak_flops_per_s"])
    assert value["peak_memory"] > 1e7
    assert value["environment"]["torch"] == torch.__version__
    assert list(tmp_path.iterdir()) == []
    on_digits = "bench --dataset digits --batch 4 --seconds 0.1 --jobs 1 --device cpu"
    shown = vitexp(*on_digits.split(), cwd=tmp_path).stdout
    assert "vit-xxs/2, 8 px" in shown and "1 at the same time" in shown and "of peak" in shown


def test_a_step_of_more_than_a_second_is_measured_and_its_progress_told(tmp_path):
    """Where nobody looks, a line for each stage; in the terminal one line that changes."""
    words = "bench --model vit-ti/4 --batch 64 --precision fp32 --device cpu --jobs 1 --seconds 0"
    done = vitexp(*words.split(), "--json", cwd=tmp_path)
    value = json.loads(done.stdout)
    assert value["step_seconds"] > WARM_SECONDS
    preparing, warming, measuring = done.stderr.splitlines()
    assert preparing == "preparing"
    assert re.fullmatch(r"warming up, step 1, (\d+ min )?\d+ s", warming)
    assert re.fullmatch(r"measuring, step 2, (\d+ min )?\d+ s", measuring)


def test_in_a_terminal_one_line_tells_how_far_a_measurement_is(tmp_path):
    words = "bench --model vit-xxs/4 --image-size 8 --batch 4 --seconds 0.5 --device cpu"
    code, shown = in_terminal([*words.split(), "--jobs", "1", "--precision", "fp32"], 80)
    assert code == 0, shown
    plain = CONTROL.sub("", shown)
    assert re.search(r"preparing 0:00:\d\d", plain)
    assert re.search(r"measuring, step \d+ 0:00:\d\d", plain)
    # It is gone in the end.
    last = shown.rpartition("\x1b[2K")[2]
    assert "images/s" in last and "measuring" not in last


class Clock:
    """Steps that take so many seconds, one after the other."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)

    def watched(self, seconds: float, *steps: float) -> tuple[Stopwatch, list[tuple[str, int]]]:
        told: list[tuple[str, int]] = []
        watch = Stopwatch(CPU, seconds, lambda what, step: told.append((what, step)))
        for step in steps:
            if watch.stopping():
                break
            self.now += step
            watch.report(Progress(0, 0.0, None, None))
        return watch, told


def test_of_long_steps_the_first_alone_is_a_warm_up(monkeypatch):
    watch, told = Clock(monkeypatch).watched(0.0, *[8.0] * 9)
    assert watch.windows == [(8.0, 16.0, 1), (16.0, 24.0, 1)]
    assert told == [(WARMING, 1), (MEASURING, 2), (MEASURING, 3)]


def test_a_hitch_in_the_warm_up_is_not_measured(monkeypatch):
    watch, told = Clock(monkeypatch).watched(1.0, 30.0, 5.0, *[0.25] * 9)
    assert [start for start, *_ in watch.windows] == [35.25, 35.5, 35.75, 36.0]
    assert told[:4] == [(WARMING, 1), (MEASURING, 2), (WARMING, 3), (MEASURING, 4)]


def test_a_measurement_ends_when_it_is_told_to():
    assert Stopwatch(CPU, 1e9, stopped=lambda: True).stopping()
    assert not Stopwatch(CPU, 0.0).stopping()


@pytest.mark.parametrize("peer", ["transformers", "SimpleViT", "timm"])
def test_a_peer_has_the_same_sizes_and_trains(peer):
    spec = model_spec(channels=3)
    try:
        model = PEERS[peer][1](spec)
    except ImportError as error:
        pytest.skip(str(error))
    params = sum(value.numel() for value in model.parameters())
    # SimpleViT has no class token and no biases in attention; nothing else differs much.
    assert params == pytest.approx(count.params(spec), rel=0.06)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    step = peer_step(model, spec, 4, CPU, torch.bfloat16)
    step()
    step()
    changed = [n for n, v in model.state_dict().items() if not torch.equal(v, before[n])]
    assert len(changed) > len(before) / 2


def test_a_race_takes_turns_and_says_who_is_missing(tmp_path, monkeypatch):
    names = ("vitexp", "vit of nobody", "transformers")
    field = [race.Entry(name, False, 1 + (name in PEERS), 1) for name in names]
    monkeypatch.setattr(race, "entries", lambda course, device: field)
    course = race.Course("tiny", model_spec(channels=3), 4, "fp32", 3, 0.05)
    run = race.race(course, "cpu")
    ours, theirs = run["entries"]
    assert (ours["ratio"], theirs["processes"]) == (1, 2)
    assert len(ours["rounds"]) == len(theirs["rounds"]) == 3
    ratios = sorted(a / b for a, b in zip(ours["rounds"], theirs["rounds"], strict=True))
    assert theirs["ratio"] == ratios[1]
    assert list(run["missing"]) == ["vit of nobody"]
    at = record.environment("cpu")
    _, page = record.write({"environment": at, "after": at, "peers": [run]}, tmp_path, "record")
    assert "| vitexp 0.1.0 | 1 x 1 |" in page.read_text()
    assert "vit of nobody did not take part" in page.read_text()
    assert f"| transformers | 2 x 1 | {theirs['ratio']:.2f} |" in page.read_text()


def test_several_seeds_race_a_stacked_model_of_as_many(tmp_path, monkeypatch):
    course = race.Course("tiny", model_spec(channels=3), 4, "fp32", 2, 0.05, seeds=3)
    field = race.entries(course, "cuda")
    names = ["vitexp, together", "stacked", "stacked, compiled"]
    assert [(e.name, e.processes, e.seeds) for e in field] == [(name, 1, 3) for name in names]
    # The compiler would take longer than all else here.
    monkeypatch.setattr(race, "entries", lambda course, device: field[:2])
    run = race.race(course, "cpu")
    assert run["missing"] == {} and run["seeds"] == 3
    at = record.environment("cpu")
    _, page = record.write({"environment": at, "after": at, "seeds": [run]}, tmp_path, "record")
    assert "tiny, batch 4, fp32, seeds in one process: 3" in page.read_text()
    ours, stacked = run["entries"]
    assert f"| vitexp, together 0.1.0 | 1 x 1 | {ours['images_per_s']:.0f} |" in page.read_text()
    assert f"| stacked | 1 x 1 | {stacked['images_per_s']:.0f} |" in page.read_text()


class Told(race.Contender):
    """A process that says what it was given to say."""

    def __init__(self, *answers):
        self.answers, self.ended = list(answers), False

    def go(self, seconds):
        assert seconds == 0.1

    def answer(self, deadline=0.0):
        return self.answers.pop(0)

    def end(self):
        self.ended = True


ROUND = {"steps": 10, "seconds": 2.0, "core_seconds": 1.0, "memory": 7}
TINY = race.Course("any", model_spec(), 4, "fp32", 1, 0.1)


def test_the_images_of_all_seeds_and_processes_count():
    entry = race.Entry("stacked", False, 2, 1, seeds=3)
    one = race.Running(entry, [Told(ROUND), Told(ROUND | {"memory": 9})])
    assert one.turn(TINY, 0.0) is None
    assert one.turns == [race.Turn(2 * 3 * 4 * 10 / 2.0, 2 * 1.0 / (2 * 3 * 4 * 10), 9)]


def test_who_falls_out_keeps_its_rounds_and_the_others_go_on(monkeypatch):
    gone = {"missing": "CUDA error: an illegal memory access"}
    plain = {"ready": 1.0, "said": ["Run 1 goes on without capturing its step"]}
    said: dict[str, list[dict[str, Any]]] = {
        "vitexp": [plain, ROUND, ROUND | {"seconds": 1.0}],
        "timm": [{"ready": 1.0}, ROUND, gone],
        "transformers": [gone],
    }
    monkeypatch.setattr(race, "Contender", lambda entry, course, at: Told(*said[entry.who]))
    with race.Race(TINY, "cpu") as run:
        for who in said:
            run.start(race.Entry(who, False, 1, 1))
        run.wait()
        run.round()
        run.round()
        found = run.result()
    assert found["missing"] == {"transformers": gone["missing"], "timm": gone["missing"]}
    assert [(one["who"], len(one["rounds"])) for one in found["entries"]] == [
        ("vitexp", 2),
        ("timm", 1),
    ]
    assert found["entries"][1]["ratio"] == 1.0
    assert "vitexp: Run 1 goes on without capturing its step" in record.course_lines(found)


def test_who_is_not_ready_in_time_is_left_out(monkeypatch):
    """And ended: a process that hangs must not hold the device."""
    waits = [sys.executable, "-c", "import time; time.sleep(600)"]
    popen = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda _, **how: popen(waits, **how))
    with race.Race(TINY, "cpu") as run:
        run.start(race.Entry("timm", True, 1, 1))
        (one,) = run._all
        run.wait(time.monotonic() + 0.1)
        assert run.missing == {"timm, compiled": "it took too long"}
        assert one.group[0].process.returncode is not None
        assert run.result()["entries"] == []


def test_the_best_of_a_peers_configurations_is_that_which_ours_is_ahead_of_by_least():
    def entry(who, ratio, processes=1):
        return {"who": who, "ratio": ratio, "processes": processes}

    field = [entry("vitexp", 1.0), entry("timm", 1.2), entry("timm", 1.1, 2), entry("timm", 1.4)]
    found = race.best([*field, entry("SimpleViT", 1.3), entry("stacked", 0.1)])
    assert found == {"timm": field[2], "SimpleViT": entry("SimpleViT", 1.3)}


def test_ours_runs_one_thread_a_core_and_peers_both_ways(monkeypatch):
    monkeypatch.setattr(race, "cores", lambda: 4)
    course = race.Course("any", model_spec(), 4, "fp32", 1, 0.1)
    found = {(e.name, e.processes, e.threads) for e in race.entries(course, "cpu")}
    assert {("vitexp", 4, 1), ("timm", 4, 1), ("timm", 1, 4), ("timm, compiled", 1, 4)} <= found
    assert ("timm, compiled", 4, 1) in found
    assert {e.processes for e in race.entries(course, "cuda")} == {1}
    five = race.entries(replace(course, together=5), "cuda")
    assert [(e.name, e.processes, e.seeds) for e in five[:3]] == [
        ("vitexp", 1, 1),
        ("vitexp, compiled", 1, 1),
        ("vitexp, together", 1, 5),
    ]


def test_growth_is_measured_in_a_process_of_its_own_and_its_exponent_fitted():
    (axis,) = (axis for axis in growth.AXES if axis.name == "tokens")
    model, batch = axis.point(576)
    assert count.tokens(model) == 576
    order = json.dumps({"model": to_json(model), "batch": batch})
    command = [sys.executable, "-m", "tools.bench.growth", order, "0.1"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    point = json.loads(done.stdout)
    assert point["step_seconds"] > 0
    # Four blocks with four heads keep at least one map of attention each.
    assert point["memory"] > 4 * 4 * 576**2 * 4 * batch / 2
    points = [{"x": x, "y": 3 * x**1.5} for x in (2, 5, 9)]
    assert growth.slope(points, "x", "y") == pytest.approx(1.5)
