"""Weights that a run starts from, or that are measured, as the file that holds them."""

from __future__ import annotations

from pathlib import Path

from vitexp.errors import VitexpError
from vitexp.runs.files import file_hash
from vitexp.spec import FromFile


def from_file(path: Path) -> FromFile:
    """The file ``path``, by what is in it.

    Raises:
        VitexpError: there is none.
    """
    if not path.is_file():
        raise VitexpError(f"There is no file {str(path)!r}.", "Give a run or a file.")
    return FromFile(file_hash(path), str(path.absolute()))
