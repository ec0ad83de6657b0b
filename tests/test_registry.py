"""Names of one's own code are held against its file, which is not run for that."""

from __future__ import annotations

import pytest

from tests.commands import call
from vitexp.errors import VitexpError
from vitexp.models import MODELS

FILE = """
from elsewhere import Other as Borrowed

raise RuntimeError("run")

class Net: ...

Short = Net
"""


@pytest.mark.parametrize("name", ["Net", "Short", "Borrowed"])
def test_a_name_that_a_file_defines_is_taken_without_running_it(name, tmp_path):
    (tmp_path / "own.py").write_text(FILE)
    assert MODELS.canonical(f"{tmp_path / 'own.py'}:{name}").endswith(name)


def test_a_name_that_only_running_a_file_tells_is_taken(tmp_path):
    (tmp_path / "own.py").write_text("from elsewhere import *\n")
    assert MODELS.canonical(f"{tmp_path / 'own.py'}:Anything")


@pytest.mark.parametrize(
    ("content", "said"),
    [(FILE, "Unknown name in"), ("class Net(:", "is not Python"), ("x\0", "is not Python")],
)
def test_another_is_refused(content, said, tmp_path):
    (tmp_path / "own.py").write_text(content)
    with pytest.raises(VitexpError, match=said):
        MODELS.canonical(f"{tmp_path / 'own.py'}:Nett")


@pytest.mark.parametrize("flag", ["--model", "--position"])
def test_nothing_is_begun_for_a_wrong_name(flag, tmp_path, capsys):
    (tmp_path / "own.py").write_text(FILE)
    words = ["train", flag, f"{tmp_path / 'own.py'}:Nett", "--out", tmp_path / "out"]
    code, _, said = call(capsys, *words)
    assert (code, said.splitlines()[1]) == (2, "Did you mean 'Net'? Choices: Net.")
    assert not (tmp_path / "out").exists()
