"""What studies asked for: a small file each, beside the runs; about results it says nothing.

studies/<stem>-<digest>.json   the cells of one question, each with the ids of its runs
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitexp.errors import VitexpError
from vitexp.runs.files import disk, json_bytes, make_folder, write_atomic

FOLDER = "studies"
FORMAT = 1

Key = tuple[Any, ...]
"""What a cell is called, from the row to the column: texts, whole numbers, and shares of the
training split as floats."""


@dataclass(frozen=True)
class Asked:
    """One question: which runs answer it.

    Attributes:
        study: its name, or ``file.py:Class``.
        name: of the file, without ending: the study's stem and what it compares, as a digest.
        flags: that ask for it again, but for the seeds.
        cells: what each is called -> ids of its runs, a seed each.
        reference: the cell that the others are compared with; None where results decide.
        tries: ids of the runs that chose settings.
    """

    study: str
    name: str
    flags: str
    cells: Mapping[Key, tuple[str, ...]]
    reference: Key | None = None
    tries: tuple[str, ...] = ()

    def __contains__(self, run_id: str) -> bool:
        return run_id in self.tries or any(run_id in runs for runs in self.cells.values())

    def with_seeds_of(self, other: Asked) -> Asked:
        """This question with the runs of ``other``, which is the same with other seeds, too."""
        cells = {key: _union(runs, other.cells.get(key, ())) for key, runs in self.cells.items()}
        tries = _union(self.tries, other.tries)
        return Asked(self.study, self.name, self.flags, cells, self.reference, tries)

    def to_json(self) -> dict[str, Any]:
        cells = [{"key": list(key), "runs": list(runs)} for key, runs in self.cells.items()]
        reference = None if self.reference is None else list(self.reference)
        known = {"format": FORMAT, "study": self.study, "flags": self.flags}
        return {**known, "cells": cells, "reference": reference, "tries": list(self.tries)}

    @classmethod
    def from_json(cls, name: str, value: Any) -> Asked:
        """The inverse of :meth:`to_json`.

        Raises:
            ValueError, KeyError, TypeError: not that.
        """
        if value["format"] != FORMAT:
            raise ValueError(f"format {value['format']!r}; this version reads {FORMAT}")
        cells = {tuple(cell["key"]): tuple(cell["runs"]) for cell in value["cells"]}
        tries, reference = tuple(value["tries"]), value["reference"]
        ids = [*tries, *(run for runs in cells.values() for run in runs)]
        texts = [value["study"], value["flags"], *ids]
        if not all(isinstance(text, str) for text in texts):
            raise TypeError("not a text")
        at = None if reference is None else tuple(reference)
        return cls(value["study"], name, value["flags"], cells, at, tries)


def _union(a: tuple[str, ...], b: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*b, *a)))


def keep(out: Path, asked: Asked) -> Asked:
    """Write down what was asked, together with what was asked before of the same cells.

    Raises:
        VitexpError: the file of before is damaged, or the disk is full or not writable.
    """
    path = out / FOLDER / f"{asked.name}.json"
    whole = asked.with_seeds_of(_read(path)) if path.exists() else asked
    content = json_bytes(whole.to_json())
    if not path.exists() or path.read_bytes() != content:
        with disk(path):
            make_folder(path.parent)
        write_atomic(path, content)
    return whole


def kept(out: Path) -> list[Asked]:
    """All that was asked, in the order of the files' names.

    Raises:
        VitexpError: a file is damaged.
    """
    folder = out / FOLDER
    names = sorted(os.listdir(folder)) if folder.is_dir() else []
    return [_read(folder / name) for name in names if name.endswith(".json")]


def _read(path: Path) -> Asked:
    try:
        return Asked.from_json(path.stem, json.loads(path.read_bytes()))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise VitexpError(
            f"{path} is damaged: {error}.", "Delete it; the study's command writes it again."
        ) from error
