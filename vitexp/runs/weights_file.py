"""Weights that a run starts from, or that are measured, as the file that holds them."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Literal

from vitexp.errors import VitexpError
from vitexp.models.weights import place
from vitexp.runs.files import file_hash
from vitexp.spec import FromFile


def names_file(text: str) -> bool:
    """Whether ``text`` is a path rather than a run's id, which is hexadecimal digits."""
    return bool(text) and (os.sep in text or "." in text or Path(text).exists())


def from_file(path: Path, copy: Literal["ema"] | None = None) -> FromFile:
    """The weights at ``path``, by what is in them.

    Raises:
        VitexpError: there are none.
    """
    path = place.find(path)
    return FromFile(_hash(path), str(path.absolute()), copy)


def unchanged(file: FromFile) -> Path:
    """Where a file is.

    Raises:
        VitexpError: it is not there, or another one by now.
    """
    path = Path(file.path)
    if not path.is_file() or _hash(path) != file.sha256:
        raise VitexpError(
            f"{path} is no longer the file that it was when the command began.",
            "Put it back, or repeat the command with the file's new path.",
        )
    return path


def _hash(path: Path) -> str:
    """SHA-256 of a file, or of an index with the names and hashes of its shards."""
    if shards := place.index(path):
        files = sorted({path, *shards.values()})
        text = json.dumps([(file.name, file_hash(file)) for file in files])
        return hashlib.sha256(text.encode()).hexdigest()
    return file_hash(path)
