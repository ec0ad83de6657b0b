"""Commands of the program, in the test's own process."""

from __future__ import annotations

import json
from typing import Any

import pytest

from vitexp.cli.main import main

TINY = ["--steps", "2", "--batch", "16", "--width", "16", "--depth", "2", "--heads", "2",
        "--mlp", "16", "--device", "cpu", "--precision", "fp32"]  # fmt: skip


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Exit code, standard output and error output of one command."""
    with pytest.raises(SystemExit) as left:
        main(list(map(str, arguments)))
    out, err = capsys.readouterr()
    code = left.value.code
    return code if isinstance(code, int) else 0, out, err


def read(capsys: pytest.CaptureFixture[str], *arguments: object) -> Any:
    """What a command that must work prints as JSON."""
    code, out, err = call(capsys, *arguments, "--json")
    assert code == 0, err
    return json.loads(out)
