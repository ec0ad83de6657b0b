"""The command line as people and scripts use it: words, exit codes, files, processes."""

from __future__ import annotations

import dataclasses
import io
import json
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tests.commands import TINY, call, read
from tests.processes import HANG_SECONDS, Slowly, workers_of
from vitexp.cli import live, screen
from vitexp.launch.events import Event
from vitexp.runs.store import Store
from vitexp.settings.flags import Settings
from vitexp.settings.run import resolve

SCRIPT = Path(sys.executable).with_name("vitexp")
# Where the package is only on the path, as on a machine without a network, there is no script.
MODULE = [sys.executable, "-c", "from vitexp.cli.main import main; main()"]
PROGRAM = [str(SCRIPT)] if SCRIPT.exists() else MODULE


@pytest.mark.skipif(not Path("/proc").exists(), reason="needs /proc")
def test_a_folder_that_cannot_be_is_one_clear_line(tmp_path, capsys):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for out, reason in (
        ("/proc/nowhere", "No such file or directory"),
        (tmp_path / ("a" * 300), "File name too long"),
        (tmp_path / "loop" / "deep", ""),
    ):
        code, printed, said = call(capsys, "train", *TINY, "--out", out)
        assert (code, printed) == (2, "")
        assert said.splitlines()[-2].startswith("Error: ")
        assert reason in said.splitlines()[-2]
        assert "--out" in said
    said = call(capsys, "ablate", "pos-emb", *TINY, "--out", "/proc/nowhere")[2]
    assert len(said.splitlines()) == 2, "before anything is begun"


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a one-seed ablation with all ten cells has run, in a log."""
    folder = tmp_path_factory.mktemp("store")
    command = [*PROGRAM, "ablate", "pos-emb", *TINY, "--seeds", "1", "--out", str(folder)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=HANG_SECONDS
    )
    assert done.returncode == 0, done.stderr
    (folder / "log.txt").write_text(done.stderr)
    (folder / "printed.txt").write_text(done.stdout)
    return folder


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["models"],
        ["runs", "list"],
        ["ablate", "pos-emb", "--dry-run", "--no-probe"],
    ],
)
def test_reading_never_imports_torch(arguments, tmp_path):
    code = (
        "import sys\nfrom vitexp.cli.main import main\n"
        f"try: main({arguments!r})\nexcept SystemExit as left: assert not left.code\n"
        "assert 'torch' not in sys.modules\n"
        "assert 'matplotlib' not in sys.modules and 'pandas' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "problem", "remedy"),
    [
        (["ablate", "pos-em"], "Unknown study 'pos-em'.", "Did you mean 'pos-emb'?"),
        (["ablate", "no.py:S"], "There is no file 'no.py' for the study 'no.py:S'.", "file.py"),
        (["train", "--model", "vit-x/4"], "Unknown model 'vit-x/4'.", "Did you mean 'vit-"),
        (["train", "--position", "2-d"], "Unknown position '2-d'.", "learned_2d"),
        (["train", "--dataset", "./none"], "./none", "digits"),
        (
            ["train", "--patch", "3"],
            "A patch of 3 pixels does not divide images of 8 pixels.",
            "Patches that do: 1, 2, 4, 8; the nearest is --patch 2.",
        ),
        (
            ["train", "--width", "10", "--heads", "4"],
            "4 heads do not divide a width of 10.",
            "Numbers of heads that do: 1, 2, 5, 10; the nearest is --heads 5.",
        ),
        (
            ["ablate", "pos-emb", "--width", "65", "--heads", "5"],
            "Position 'learned_2d' needs a width that is a multiple of 2, not 65.",
            "Choose --width",
        ),
        (["train", "--lr", "0"], "--lr is 0.0.", "Write a number above 0."),
        (["train", "--device", "cuda:99"], "There is no device 'cuda:99'.", "Devices here:"),
        (["train", "--precision", "fp16"], "Unknown --precision 'fp16'.", "bf16"),
        (["train", "--config", "no.toml"], "--config no.toml cannot be read", "TOML file"),
        (["table"], "No finished runs of any study in", "vitexp ablate pos-emb"),
        (["plot", "pos-emb"], "No finished runs of study 'pos-emb' in", "vitexp ablate pos-emb"),
        (["models", "resnext"], "Unknown model 'resnext'.", "Choices:"),
        (["runs", "show", "abc"], "No run's id begins with 'abc'", "vitexp runs list"),
        (["runs", "rm", "abc"], "No run's id begins with 'abc'", "vitexp runs list"),
    ],
)
def test_bad_input_is_two_lines_and_nothing_on_disk(
    arguments, problem, remedy, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    code, printed, err = call(capsys, *arguments)
    lines = err.splitlines()
    assert (code, printed) == (2, "")
    assert len(lines) == 2, err
    assert lines[0].startswith("Error: ")
    assert problem in lines[0]
    assert remedy in lines[1]
    assert list(tmp_path.iterdir()) == []


def test_unknown_flag_exits_2(capsys):
    code, _, err = call(capsys, "train", "--batchsize", "3")
    assert code == 2
    assert "--batch" in err


def test_out_that_cannot_be_a_folder(capsys, tmp_path):
    file = tmp_path / "file"
    file.write_text("x")
    code, _, err = call(capsys, "train", "--out", file / "below")
    assert (code, err.splitlines()[0]) == (2, f"Error: --out {file}/below: {file} is a file.")


def test_config_is_read_and_flags_win(capsys, tmp_path):
    config = tmp_path / "mine.toml"
    config.write_text('lr = 0.25\nbatch = 32\nepochs = 2\nrecipe = "small"\n')
    command = ["train", "--config", config, "--dry-run", "--no-probe", "--out", tmp_path]
    plan = read(capsys, *command, "--batch", "16", "--steps", "9")
    assert (plan["lr"], plan["batch"], plan["steps"], plan["recipe"]) == (0.25, 16, 9, "small")

    config.write_text("batchs = 32\n")
    code, _, err = call(capsys, *command)
    assert code == 2
    assert err.splitlines() == [
        f"Error: Unknown key in {config}: 'batchs'.",
        err.splitlines()[1],
    ]
    assert "Did you mean 'batch'?" in err

    config.write_text("lr =\n")
    code, _, err = call(capsys, *command)
    assert (code, len(err.splitlines())) == (2, 2)
    assert "is not TOML" in err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.toml"]


def test_plan_counts_what_is_missing(capsys, out):
    command = ["ablate", "pos-emb", *TINY, "--dry-run", "--no-probe", "--out", out]
    plan = read(capsys, *command, "--seeds", "3")
    assert plan["runs"] == {"total": 30, "done": 10, "todo": 20}
    assert plan["seconds"] is None
    assert set(plan) == {
        "data", "recipe", "lr", "batch", "steps", "precision", "devices", "jobs", "together",
        "runs", "cells", "flops", "weights_bytes", "finds", "seconds",
    }  # fmt: skip
    first = plan["cells"][0]
    assert (first["row"], first["column"], first["seeds"], first["done"]) == (
        "none",
        "stem",
        [0, 1, 2],
        1,
    )
    assert plan["flops"] == sum(2 * 6 * cell["macs"] * 2 * 16 for cell in plan["cells"])
    assert plan["weights_bytes"] == sum(2 * 4 * cell["params"] for cell in plan["cells"])


def test_plan_with_a_probe_estimates_time(capsys, tmp_path):
    plan = read(capsys, "train", *TINY, "--steps", "1000000", "--dry-run", "--out", tmp_path)
    assert plan["seconds"] > 60
    assert list(tmp_path.iterdir()) == []


def test_a_study_writes_its_table_and_its_figures(out):
    written = {str(path.relative_to(out)) for path in out.rglob("pos_emb.*")}
    assert written == {
        f"{folder}/pos_emb.{ending}"
        for folder, endings in (
            ("tables", ("md", "csv", "tex")),
            ("plots", ("png", "svg", "pdf", "csv")),
        )
        for ending in endings
    }
    assert len(list(out.rglob("*.safetensors"))) == len(list(out.rglob("result.json")))
    log = (out / "log.txt").read_text()
    assert all(name in log for name in written)
    assert "10 runs to do, 0 done already." in log
    assert "[10/10 runs]" in log
    assert "\x1b" not in log
    assert "relative" in (out / "printed.txt").read_text()


def test_the_same_command_again_runs_nothing(capsys, out):
    before = {path: path.stat().st_mtime_ns for path in (out / "runs").rglob("*")}
    code, _, err = call(capsys, "ablate", "pos-emb", *TINY, "--seeds", "1", "--out", out)
    assert code == 0
    assert "Nothing to run: 10 runs done already." in err
    assert {path: path.stat().st_mtime_ns for path in (out / "runs").rglob("*")} == before


def test_runs_list_and_show_have_stable_names(capsys, out):
    rows = read(capsys, "runs", "list", "--out", out)
    assert len(rows) == 10
    assert list(rows[0]) == [
        "id", "data", "model", "position", "placement", "seed", "state", "step", "steps",
        "recipe", "precision", "val_top1", "test_top1", "seconds", "bytes", "date", "image_size",
        "fraction", "fold", "start", "search", "studies", "name", "tags",
    ]  # fmt: skip
    assert {tuple(row["studies"]) for row in rows} == {("pos_emb",)}
    assert [row["date"] for row in rows] == sorted(row["date"] for row in rows)
    assert {(row["data"], row["state"], row["step"]) for row in rows} == {("digits", "done", 2)}
    shown = read(capsys, "runs", "show", rows[0]["id"][:10], "--out", out)
    assert shown["id"] == rows[0]["id"]
    assert shown["metrics"]["test_top1"] == rows[0]["test_top1"]
    assert shown["spec"]["model"]["vit"]["width"] == 16
    code, printed, _ = call(capsys, "runs", "show", rows[0]["id"], "--out", out)
    assert code == 0
    assert "\nvit.width               16\n" in printed
    assert "validation top-1 (%) by step" in printed
    assert "{" not in printed and "None" not in printed
    _, printed, err = call(capsys, "runs", "list", "--out", out)
    assert printed.split()[:5] == ["id", "date", "position", "seed", "top-1"]
    assert len(printed.splitlines()) == 11
    assert "10 runs, digits, 8 px, vit-xxs/2 width=16" in err


def test_grid_chooses_among_settings(capsys, out):
    """A second setting: its table is the default, the first one is asked for by a run's id."""
    rows = read(capsys, "runs", "list", "--out", out)
    other = ["ablate", "pos-emb", *TINY, "--lr", "0.01", "--seeds", "1", "--out", out]
    ran = read(capsys, *other)
    table = read(capsys, "table", "pos-emb", "--out", out)
    assert table["rows"] == ran["rows"]
    code, _, err = call(capsys, "table", "pos-emb", "--out", out)
    assert code == 0
    assert "2 grids here; this is the latest. For another:" in err
    assert "--grid " in err
    first = read(capsys, "table", "pos-emb", "--grid", rows[0]["id"][:8], "--out", out)
    assert len(first["rows"]) == 10
    assert sum(len(str(row["run_ids"]).split()) for row in first["rows"]) == 10
    code, _, err = call(capsys, "table", "--grid", "digits", "--out", out)
    assert code == 2
    assert "No grid and no run in one begins with 'digits'" in err
    assert err.count("--grid ") == 3, "both grids, or without"


def test_a_study_reports_on_the_grid_it_was_asked_for(capsys, tmp_path):
    """Two initial stds share the cells of ``none``; each command shows its own table."""
    ablate = ["ablate", "pos-emb", *TINY, "--seeds", "1", "--out", tmp_path, "--position-std"]
    first, second = (read(capsys, *ablate, std)["rows"] for std in ("0.1", "0.2"))
    again = read(capsys, *ablate, "0.1")["rows"]
    assert [row["run_ids"] for row in again] == [row["run_ids"] for row in first]
    same = [a["run_ids"] == b["run_ids"] for a, b in zip(first, second, strict=True)]
    assert same == [True] + 9 * [False]


def test_runs_rm_and_gc_say_what_they_free(capsys, tmp_path):
    assert call(capsys, "train", *TINY, "--no-keep", "--out", tmp_path)[0] == 0
    (row,) = read(capsys, "runs", "list", "--out", tmp_path)
    assert not (tmp_path / "runs" / row["id"] / "weights.safetensors").exists()
    leftover = tmp_path / "runs" / row["id"] / "checkpoint-000000001.ckpt"
    leftover.write_bytes(b"x" * 1000)
    planned = read(capsys, "runs", "gc", "--dry-run", "--out", tmp_path)
    assert (planned["freed_bytes"], leftover.exists()) == (1000, True)
    assert read(capsys, "runs", "gc", "--out", tmp_path)["freed_bytes"] == 1000
    assert not leftover.exists()
    size = sum(path.stat().st_size for path in leftover.parent.iterdir())
    removed = read(capsys, "runs", "rm", row["id"][:6], "--out", tmp_path)
    assert removed == {"removed": [row["id"]], "freed_bytes": size}
    assert not leftover.parent.exists()


def test_a_run_that_fails_is_named_and_exits_1(capsys, tmp_path):
    file = tmp_path / "broken.py"
    file.write_text("class Broken:\n    def __init__(self, *_): raise ValueError('my mistake')\n")
    command = ["train", *TINY, "--position", f"{file}:Broken", "--out", tmp_path / "out"]
    code, printed, err = call(capsys, *command, "--json")
    assert code == 1
    assert json.loads(printed) == []
    assert "my mistake" in err
    assert "The same command tries the failed runs again." in err


def test_interrupt_says_how_to_go_on_and_leaves_no_process(tmp_path):
    words = [*TINY, "--steps", "1000000", "--checkpoint-seconds", "0.1", "--out", str(tmp_path)]
    command = [*PROGRAM, "train", *words]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    interrupt_after_a_checkpoint(process, tmp_path)
    printed, err = process.communicate(timeout=HANG_SECONDS)
    assert process.returncode == 130, err
    assert printed == ""
    assert "Interrupted with 1 run to do" in err
    assert f"vitexp train {' '.join(words)}" in err
    assert not workers_of(tmp_path)


def interrupt_after_a_checkpoint(process: subprocess.Popen[Any], out: Path) -> None:
    deadline = time.monotonic() + HANG_SECONDS
    while not list(out.glob("runs/*/checkpoint-*.ckpt")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)


def test_a_run_that_began_deterministic_goes_on_so(capsys, tmp_path):
    """Interrupted and gone on without the flag: the same bits, and that is said."""
    slowly = Slowly(tmp_path)
    command = ["train", *TINY, "--steps", "150", "--checkpoint-seconds", "0.05"]
    command += ["--position", slowly.position]
    means = ["--deterministic", "--micro-batch", "5", "--grad-checkpointing"]
    (whole,) = read(capsys, *command, *means, "--out", tmp_path / "whole")
    out = tmp_path / "cut"
    slowly.begin()
    process = subprocess.Popen([*PROGRAM, *command, *means, "--out", str(out)])
    interrupt_after_a_checkpoint(process, out)
    assert process.wait(timeout=HANG_SECONDS) == 130
    slowly.end()
    code, _, err = call(capsys, *command, "--out", out)
    assert f"Run {whole['id']} began with --deterministic and goes on so." in err
    assert f"Run {whole['id']} began with --grad-checkpointing and goes on so." in err
    cut, peace = (Store(folder).results()[whole["id"]] for folder in (out, tmp_path / "whole"))
    assert cut.execution["deterministic"] == peace.execution["deterministic"] is True
    assert (cut.execution["micro_batch"], cut.execution["grad_checkpointing"]) == (5, True)
    assert (code, cut.weights_sha, cut.curve) == (0, peace.weights_sha, peace.curve)
    read(capsys, "probe", cut.id, "--device", "cpu", "--deterministic", "--out", out)
    (probed,) = (json.loads(path.read_text()) for path in out.glob("runs/*/measurement-*"))
    assert probed["execution"]["deterministic"] is True


UNPOOLING = """
import os, torch
class Net(torch.nn.Module):
    def __init__(self, spec, dropout=0.0, stochastic_depth=0.0):
        super().__init__()
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
        self.head = torch.nn.Linear(spec.image_size ** 2, spec.classes)
    def forward(self, images, noise=None):
        pooled, at = torch.nn.functional.max_pool2d(images, 2, return_indices=True)
        return self.head(torch.nn.functional.max_unpool2d(pooled, at, 2).flatten(1))
"""


def test_deterministic_refuses_what_cannot_be_so_and_nothing_else_does(capsys, tmp_path):
    """Unpooling has no such kernel, on a CPU neither."""
    file = tmp_path / "net.py"
    file.write_text(UNPOOLING)
    command = ["train", "--model", f"{file}:Net", "--device", "cpu", "--steps", "2", "--out"]
    code, _, err = call(capsys, *command, tmp_path / "out", "--deterministic")
    assert code == 1
    assert "does not have a deterministic implementation.\nLeave out --deterministic." in err
    assert call(capsys, *command, tmp_path / "out")[0] == 0


def _progress() -> live.Progress:
    base = resolve(Settings(), "fp32", seeds=2)
    specs = [base.cell(base.run.position, seed) for seed in base.seeds]
    return live.Progress(
        specs={spec.id: spec for spec in specs},
        label=lambda spec: (spec.position.kind, spec.position.placement),
        top1={},
        todo={spec.id for spec in specs},
    )


def _happens(progress: live.Progress) -> list[Event]:
    first, second = progress.specs
    return [
        Event("start", first, 0, 400),
        Event("progress", first, 100, 400, images_per_s=1234.0),
        Event("done", first, 400, 400, val_top1=0.5, test_top1=0.625),
        Event("start", second, 0, 400),
        Event("progress", second, 200, 400, images_per_s=1000.0),
    ]


@pytest.mark.parametrize("width", [40, 120])
@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_live_grid_fits_any_terminal(width, encoding, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict")
    console = Console(file=file, force_terminal=True, width=width, highlight=False)
    progress = _progress()
    with live.display(progress, console) as display:
        for event in _happens(progress):
            display(event)
    file.seek(0)
    shown = file.read()
    assert "62.5 1/2" in shown
    assert "1/2 runs" in shown
    assert not re.search(r"\x1b\[[34]\d", shown), "a colour in spite of NO_COLOR"


def test_a_run_may_end_while_the_live_grid_is_drawn(monkeypatch):
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    display = live.Screen(progress := _progress(), console)
    for run in progress.specs:
        display(Event("start", run, 0, 400))
    told = [threading.Thread(target=display, args=[Event("done", r)]) for r in progress.specs]
    waiting = iter(told)

    def bar(**_: object) -> str:
        (thread := next(waiting)).start()
        thread.join(0.2)
        return ""

    monkeypatch.setattr(live, "ProgressBar", bar)
    console.print(display._frame())
    for thread in told:
        thread.join()
    assert progress.finished == 2


def test_lines_in_a_log(monkeypatch):
    """The first of them is there as soon as it can say how long it all will take."""
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    file = io.StringIO()
    progress = _progress()
    start, under_way, *others = _happens(progress)
    further = dataclasses.replace(under_way, step=110)
    failed = Event("failed", others[-1].run_id, 200, 400, message="no luck")
    with live.display(progress, Console(file=file, width=40)) as display:
        for event in (start, under_way, further, *others, failed):
            display(event)
            clock[0] += 5
    first, done, failed_line = file.getvalue().splitlines()
    assert re.fullmatch(
        r"\[0/2 runs, 1234 images/s, \d+ min \d+ s left\] learned_1d stem seed 0: step 110/400",
        first,
    )
    assert re.fullmatch(
        r"\[1/2 runs, \d+ s left\] learned_1d stem seed 0: 62.5 % test, 50.0 % validation", done
    )
    assert failed_line == "[2/2 runs] learned_1d stem seed 1: failed: no luck"


def test_time_left_is_there_from_the_first_step_and_counts_only_steps_done_here(monkeypatch):
    """Neither what workers need to start nor a run's first 300 steps of earlier are its rate."""
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    progress = _progress()
    first, spec = next(iter(progress.specs.items()))
    assert progress.seconds_left() is None
    assert progress.summary() == "0/2 runs, workers start"
    clock[0] = 100.0
    progress.update(Event("start", first, 300, 400))
    assert progress.seconds_left() is None
    speed = spec.recipe.batch / 10.0
    progress.update(Event("progress", first, 350, 400, images_per_s=speed))
    # Steps of ten seconds: nobody waits for a second one. What is reported on after the last step
    # takes its time, too, and validations a little.
    left = progress.seconds_left()
    assert left is not None
    assert (50 + 400) * 10.0 < left < 1.2 * (50 + 400) * 10.0
    speed = spec.recipe.batch * 50.0
    progress.update(Event("progress", first, 350, 400, images_per_s=speed))
    assert progress.seconds_left() is None, "the first of short steps is no measure"
    clock[0] = 110.0
    progress.update(Event("progress", first, 375, 400, images_per_s=speed))
    left = progress.seconds_left()
    assert left is not None
    assert (25 + 400) / 2.5 < left < 1.2 * (25 + 400) / 2.5


def test_numbers_for_people():
    assert [screen.amount(n) for n in (None, 12, 1234, 86_567_656, 1.7e13)] == [
        "-", "12", "1.23 k", "86.6 M", "17 T",
    ]  # fmt: skip
    assert [screen.duration(s) for s in (None, 0.2, 59.5, 125, 7500)] == [
        "-", "1 s", "1 min 0 s", "2 min 5 s", "2 h 5 min",
    ]  # fmt: skip
    assert [screen.percent(p) for p in (None, float("nan"), 0.9875)] == ["-", "-", "98.8"]


def test_an_unreadable_run_is_shown_with_its_reason(capsys, tmp_path):
    assert call(capsys, "train", *TINY, "--out", tmp_path)[0] == 0
    (row,) = read(capsys, "runs", "list", "--out", tmp_path)
    (tmp_path / "runs" / row["id"] / "result.json").write_text("{}")
    (bad,) = read(capsys, "runs", "list", "--out", tmp_path)
    assert list(bad) == list(row)
    assert (bad["state"], bad["seed"]) == ("unreadable", None)
    code, printed, err = call(capsys, "runs", "list", "--out", tmp_path)
    assert (code, row["id"][:8] in printed) == (0, True)
    assert "1 run, unreadable." in err
    assert f"`vitexp runs show {row['id']}` says why" in err
    code, _, err = call(capsys, "runs", "show", row["id"], "--out", tmp_path)
    assert code == 2
    assert "in format None" in err
    code, _, err = call(capsys, "train", *TINY, "--out", tmp_path)
    assert (code, len(err.splitlines())) == (2, 2)
    assert call(capsys, "runs", "rm", row["id"], "--out", tmp_path)[0] == 0
    assert call(capsys, "train", *TINY, "--out", tmp_path)[0] == 0
