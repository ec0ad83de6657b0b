"""What the README shows works as it stands there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from tests.positions.test_positions import assert_contract, made
from vitexp.cli.main import app
from vitexp.positions import placements

README = Path(__file__).parents[2].joinpath("README.md").read_text(encoding="utf-8")
BLOCKS = [
    re.sub(r"^ {4}", "", block, flags=re.MULTILINE).strip("\n") + "\n"
    for block in re.findall(r"(?:^ {4}.*\n|^\n(?= {4}))+", README, flags=re.MULTILINE)
]
COMMANDS = [
    line.partition("  #")[0].strip()
    for block in BLOCKS
    for line in block.splitlines()
    if line.startswith("vitexp ")
]


PROGRAM = typer.main.get_group(app)


def options_of(words: list[str]) -> set[str]:
    """The flags of the command that ``words`` begin with."""
    command: Any = PROGRAM
    while words and words[0] in getattr(command, "commands", ()):
        command, words = command.commands[words[0]], words[1:]
    assert command is not PROGRAM or words == ["--install-completion"], words
    return {option for parameter in command.params for option in parameter.opts} | {"--help"}


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_and_flag_exists(line):
    words = shlex.split(line)[1:]
    assert {word for word in words if word.startswith("--")} <= options_of(words), line


def test_every_command_of_the_program_is_in_the_readme():
    for name in PROGRAM.commands:
        assert re.search(rf"`vitexp {name}\b", README), name
    assert len(COMMANDS) >= 4


@pytest.mark.parametrize("placement", placements("my_signal.py:Diagonal"))
def test_the_signal_that_is_shown_keeps_the_contract(tmp_path, placement):
    (code,) = (block for block in BLOCKS if block.startswith("# my_signal.py"))
    file = tmp_path / "my_signal.py"
    file.write_text(code)
    for class_token in (True, False):
        assert_contract(made(f"{file}:Diagonal", placement, class_token))
