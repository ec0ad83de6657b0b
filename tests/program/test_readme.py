"""What the README and docs/ show works as it stands there."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from tests.commands import TINY
from tests.positions.test_positions import assert_contract, made
from vitexp.cli.main import app, main
from vitexp.positions import placements

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = {path: path.read_text(encoding="utf-8") for path in (README, *ROOT.glob("docs/*.md"))}
TEXT = "\n".join(PAGES.values())
INDENTED = re.compile(r"(?:^ {4}.*\n|^\n(?= {4}))+", re.MULTILINE)
FENCED = re.compile(r"^```\w+\n# (examples/\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHOWN = dict(FENCED.findall(TEXT))
COMMANDS = sorted(
    {
        line.partition("  #")[0].strip()
        for block in INDENTED.findall(FENCED.sub("", TEXT))
        for line in block.splitlines()
        if line.startswith("    vitexp ")
    }
)
PROGRAM: Any = typer.main.get_group(app)
# Typer brings its own click, or takes the one that is installed.
USAGE_ERROR = typer.BadParameter.__mro__[1]


def parsed(words: list[str]) -> None:
    """Hold a command against the program without running it: names, flags and their values."""
    command = PROGRAM
    while hasattr(command, "commands"):
        command, words = command.commands[words[0]], words[1:]
    command.make_context(command.name, list(words))


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_that_is_shown_is_taken(line, monkeypatch):
    monkeypatch.chdir(ROOT)
    parsed(shlex.split(line)[1:])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run, below the folder that commands are pasted in."""
    out = tmp_path_factory.mktemp("pasted")
    (out / "examples").symlink_to(ROOT / "examples")
    with pytest.raises(SystemExit) as left:
        main(["train", *TINY, "--out", str(out)])
    assert not left.value.code
    return next((out / "runs").iterdir())


TRAINING = [
    line
    for line in COMMANDS
    if line.split()[1] in ("ablate", "scale", "train", "finetune") and "weights" not in line
    if ".npz" not in line
]
"""The commands that plan runs, but for those that need a file of weights."""
STAND_FOR = {"path/to/images": "digits", "cifar10": "digits", "cifar100": "digits"}
"""Images that need not be at hand -> what is."""


@pytest.mark.parametrize("line", TRAINING)
def test_what_a_shown_command_would_run_is_planned(line, run, monkeypatch, capsys):
    monkeypatch.chdir(run.parents[1])
    given = {**STAND_FOR, "RUN": run.name}
    words = [given.get(word, word) for word in shlex.split(line)[1:]]
    with pytest.raises(SystemExit) as left:
        main([*words, "--dry-run", "--no-probe"])
    assert not left.value.code, capsys.readouterr().err


PYTHON = [line for line in TEXT.splitlines() if line.startswith("    python -c ")]


@pytest.mark.parametrize("line", PYTHON)
def test_python_that_is_shown_runs(line, run, monkeypatch, capsys):
    monkeypatch.chdir(run.parents[1])
    exec(shlex.split(line)[2], {})
    assert "vit-xxs" in capsys.readouterr().out


def test_every_block_of_code_is_an_example_which_is_run():
    assert TEXT.count("\n```") == 2 * len(SHOWN)
    assert PYTHON


@pytest.mark.parametrize("line", ["nonsense", "train --nonsense", "train --seeds few", "compare A"])
def test_a_command_that_the_program_does_not_take_would_be_noticed(line):
    with pytest.raises((USAGE_ERROR, KeyError)):
        parsed(shlex.split(line))


def commands(group: Any, name: str = "vitexp") -> dict[str, Any]:
    if not hasattr(group, "commands"):
        return {name: group}
    below = group.commands.items()
    return {k: v for part, one in below for k, v in commands(one, f"{name} {part}").items()}


def test_every_command_of_the_program_is_described():
    for page in (PAGES[README], PAGES[ROOT / "docs/commands.md"]):
        for name in PROGRAM.commands:
            assert re.search(rf"`vitexp {name}\b", page), name
    assert len(COMMANDS) >= 20


def test_every_flag_is_described():
    for name, command in commands(PROGRAM).items():
        for parameter in command.params:
            # Of a switch, whichever way it is not set by default.
            spelled = {*parameter.opts, *parameter.secondary_opts}
            flags = [flag for flag in spelled if flag.startswith("--")]
            known = [flag for flag in flags if re.search(rf"{flag}(?![\w-])", TEXT)]
            assert known or not flags, f"{name} {flags}"


def test_the_readme_is_short_and_names_every_page():
    assert len(PAGES[README].splitlines()) <= 150
    for page in PAGES:
        assert page == README or f"(docs/{page.name})" in PAGES[README], page.name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)\s]+)\)", PAGES[page])
    for link in links:
        assert "://" in link or (page.parent / link).exists(), link
    named = re.findall(r"`((?:vitexp|tests|tools|examples)/[\w/.-]+)(?:::\w+)?`", PAGES[page])
    for path in named:
        assert (ROOT / path).exists(), path


FRAMES = re.findall(r"^ {4}(vitexp/\S+\.py) +(\w+)  ", PAGES[ROOT / "docs/architecture.md"], re.M)


@pytest.mark.parametrize(("path", "function"), FRAMES)
def test_the_way_through_the_code_is_as_described(path, function):
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    assert function in {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)}


def test_both_ways_through_the_code_are_there():
    assert len(FRAMES) >= 20


@pytest.mark.parametrize("name", SHOWN)
def test_an_example_is_shown_as_it_is(name):
    assert SHOWN[name] == (ROOT / name).read_text(encoding="utf-8")


def test_every_example_is_shown():
    assert set(SHOWN) == {f"examples/{path.name}" for path in ROOT.glob("examples/*.*")}


@pytest.mark.parametrize("placement", placements("my_signal.py:Diagonal"))
def test_the_signal_that_is_shown_keeps_the_contract(placement):
    for class_token in (True, False):
        assert_contract(made(f"{ROOT}/examples/my_signal.py:Diagonal", placement, class_token))
