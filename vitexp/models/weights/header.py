"""The model that a safetensors file of ours is of, written into its header; no torch needed."""

from __future__ import annotations

import json
from pathlib import Path

from vitexp.errors import VitexpError
from vitexp.spec import ModelSpec, from_json, to_json

_KEY = "vitexp.model"
_LARGEST = 100_000_000
"""Bytes of a header; safetensors itself refuses a longer one."""


def header(model: ModelSpec) -> dict[str, str]:
    """What the header of a file with this model's weights says.

    One entry only: safetensors writes several in any order, and equal runs have equal files.
    """
    return {_KEY: json.dumps(to_json(model), sort_keys=True)}


def model_in(path: Path) -> ModelSpec | None:
    """The model that a file says it is of; None for one that was not written by this program."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if file.read(1) != b"{" or length > _LARGEST:
            return None
        text = b"{" + file.read(length - 1)
    try:
        said = json.loads(text).get("__metadata__", {}).get(_KEY)
        return None if said is None else from_json(ModelSpec, json.loads(said))
    except (ValueError, AttributeError, TypeError, VitexpError):
        return None
