"""Where weights lie: in a file, in a folder that a program saved, in shards by their index.

No torch needed.
"""

from __future__ import annotations

import json
from pathlib import Path, PurePath

from vitexp.errors import VitexpError

_IN_FOLDERS = (
    *("weights.safetensors", "model.safetensors", "model.safetensors.index.json"),
    *("pytorch_model.bin", "pytorch_model.bin.index.json"),
)
"""What runs, soups and `save_pretrained` call weights, in the order of preference."""

_LARGEST = 100_000_000
"""Bytes of an index."""


def find(path: Path) -> Path:
    """The file of weights at ``path``: that file, or the one in that folder.

    Raises:
        VitexpError: there is none.
    """
    if path.is_file():
        return path
    if not path.is_dir():
        raise VitexpError(f"There is no file {str(path)!r}.", "Give a run or a file.")
    for name in _IN_FOLDERS:
        if (path / name).is_file():
            return path / name
    raise VitexpError(
        f"The folder {path} holds no weights: no {', no '.join(_IN_FOLDERS)}.",
        "Give the file itself.",
    )


def index(path: Path) -> dict[str, Path] | None:
    """Name of a tensor -> the file that holds it, where ``path`` is the index of shards.

    Raises:
        VitexpError: an index of files that are not beside it.
    """
    if path.stat().st_size > _LARGEST:
        return None
    with path.open("rb") as file:
        text = file.read() if file.read(1) == b"{" else b""
    try:
        names = dict(json.loads(b"{" + text)["weight_map"])
    except (ValueError, KeyError, TypeError):
        return None
    for name in sorted(set(map(str, names.values()))):
        if PurePath(name).name != name or not (path.parent / name).is_file():
            raise VitexpError(
                f"{path} names {name!r}, which is not beside it.", "Fetch all files of the folder."
            )
    return {str(name): path.parent / str(file) for name, file in names.items()}
