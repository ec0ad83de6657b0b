"""Any terminal and none: 40 columns, ASCII, no colours; never a crash, never a word cut off."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.plans import by_position
from tests.synthetic import paper_grid
from vitexp.cli import screen
from vitexp.runs.plans import Asked, Key, keep
from vitexp.runs.store import Store

PROGRAM = [sys.executable, "-c", "from vitexp.cli.main import main; main()"]
TINY = ["--steps", "2", "--batch", "16", "--width", "16", "--depth", "2", "--heads", "2",
        "--mlp", "16", "--device", "cpu", "--precision", "fp32", "--jobs", "1"]  # fmt: skip
POOREST = {"PYTHONIOENCODING": "ascii", "NO_COLOR": "1", "LC_ALL": "C"}
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def in_terminal(
    arguments: list[str], columns: int, answer: str = "", **environment: str
) -> tuple[int, str]:
    """Exit code and everything shown by the program in a terminal of its own.

    Args:
        answer: what is typed there.
    """
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    inherited = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES", "NO_COLOR")}
    variables = inherited | {"TERM": "xterm"} | environment
    process = subprocess.Popen(
        [*PROGRAM, *arguments], stdin=its, stdout=its, stderr=its, env=variables
    )
    os.close(its)
    os.write(ours, answer.encode())
    shown = b""
    # Reading ends with an error when the last process that had the terminal is gone.
    while chunk := _read(ours):
        shown += chunk
    os.close(ours)
    return process.wait(), shown.decode()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:
        return b""


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study run where there is no terminal and no input, and only ASCII."""
    folder = tmp_path_factory.mktemp("terminals")
    done = subprocess.run(
        [*PROGRAM, "ablate", "pos-emb", *TINY, "--seeds", "1", "--notes", "--out", str(folder)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env={**os.environ, **POOREST, "COLUMNS": "40"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert b"\x1b" not in done.stdout + done.stderr
    assert (done.stdout + done.stderr).isascii()
    assert b"+/-" in done.stdout, "the table's sign has an ASCII form"
    return folder


def test_a_run_in_the_poorest_terminal(tmp_path):
    arguments = ["train", *TINY, "--out", str(tmp_path)]
    code, shown = in_terminal(arguments, 40, **POOREST)
    assert code == 0, shown
    assert shown.isascii()
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", shown), "a colour in spite of NO_COLOR"
    assert "1/1 runs" in shown
    assert "test %" in shown


@pytest.mark.parametrize(
    ("arguments", "whole"),
    [
        (["runs", "list"], ["run  learned_1d every-layer", "seed  0"]),
        (["table"], ["every-layer", "NOT RUN"]),
        (["models"], ["vit-b/16", "params  86.6 M"]),
        (["train", "--help"], ["--weight-decay", "--checkpoint-seconds"]),
        (["--help"], ["ablate", "test split, with", "probabilities."]),
    ],
)
def test_nothing_is_cut_off_in_40_columns(out, arguments, whole):
    here = [] if "--help" in arguments or arguments == ["models"] else ["--out", str(out)]
    code, shown = in_terminal([*arguments, *here], 40, **POOREST)
    assert code == 0, shown
    assert shown.isascii()
    plain = CONTROL.sub("", shown)
    for words in whole:
        assert words in plain
    assert "?" not in plain, "an ellipsis or a sign that ASCII does not have"
    assert "Traceback" not in plain


def test_runs_are_columns_in_80_and_are_removed_when_that_is_confirmed(out):
    runs = sorted(path.name for path in (out / "runs").iterdir())
    words = ["runs", "rm", *runs, "--out", str(out)]
    code, shown = in_terminal(words, 80, answer="n\n")
    assert code == 1
    assert "Remove? (--yes does not ask)" in shown
    assert sorted(path.name for path in (out / "runs").iterdir()) == runs
    lines = [line.rstrip() for line in CONTROL.sub("", shown).splitlines()]
    (head,) = [line for line in lines if line.startswith("id")]
    assert head.split() == ["id", "date", "position", "seed", "top-1"]
    below = lines[lines.index(head) + 1 :][: len(runs)]
    assert {line[:8] for line in below} == {run[:8] for run in runs}
    assert all(len(line) <= 80 for line in below)


@pytest.mark.parametrize("arguments", [["train", "--lr", "0"], ["runs", "show", "é"]])
def test_an_error_is_readable_in_ascii(tmp_path, arguments):
    done = subprocess.run(
        [*PROGRAM, *arguments, *(["--out", str(tmp_path)])],
        capture_output=True,
        text=True,
        env={**os.environ, **POOREST, "COLUMNS": "40"},
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("Error: ")
    assert "Traceback" not in done.stderr


def test_a_reader_that_leaves_early_is_no_crash(out):
    """As in ``vitexp runs list | head -1``."""
    command = subprocess.Popen(
        [*PROGRAM, "runs", "list", "--out", str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert command.stdout is not None
    assert command.stderr is not None
    command.stdout.close()
    assert b"Traceback" not in command.stderr.read()
    command.wait()


EVIL = "cat\x1b]0;owned\x07\x1b[31m\x9b2J\u202e"


@pytest.mark.parametrize("columns", [40, 200])
def test_no_name_steers_the_terminal(tmp_path, columns):
    rng = np.random.default_rng(1)
    store = Store(tmp_path)
    cells: dict[Key, tuple[str, ...]] = {}
    for record in paper_grid(rng, 3):
        spec = record.spec
        named = replace(
            spec,
            data=replace(spec.data, name=EVIL, source=EVIL),
            model=replace(spec.model, name=EVIL),
        )
        lease = store.lease(named)
        assert lease is not None
        lease.publish(replace(record, spec=named), None)
        lease.release()
        cells[by_position(named)] = (*cells.get(by_position(named), ()), named.id)
    keep(tmp_path, Asked("pos_emb", f"pos_emb-{'0' * 16}", f"--dataset '{EVIL}'", cells))
    run = store.entries()[0].id
    for words in (
        ["table", "pos-emb"],
        ["claims"],
        ["runs", "list"],
        ["runs", "show", run],
        ["compare", run, "none"],
        ["plot", EVIL],
        ["train", "--dataset", f"./{EVIL}"],
    ):
        _, shown = in_terminal([*words, "--out", str(tmp_path)], columns)
        if columns == 200 and words[0] in ("table", "runs"):
            assert "cat?]0;owned" in shown, words
        for mark in ("\x1b]0;", "\x07", "\x9b", "\u202e", "\x1b[31m?"):
            assert mark not in shown, words


def test_a_cell_of_two_lines_stays_under_its_column(capsys):
    screen.table(("id", "note"), [("a", "one\ntwo"), ("b", "three")])
    lines = capsys.readouterr().out.splitlines()
    assert [line.rstrip() for line in lines] == ["id  note", "a   one", "    two", "b   three"]
