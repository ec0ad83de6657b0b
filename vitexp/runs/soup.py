"""Soups in the store: means of several runs' weights, each a file with what is known about it.

soups/<id>/weights.safetensors   the weights, in our own layout
soups/<id>/soup.json             what went in and what it reached; its presence means done
soups/<id>/lock                  held by the process that makes it
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitexp.errors import VitexpError
from vitexp.runs.files import disk, json_bytes, make_folder, publish_once, tally, write_atomic
from vitexp.spec import FORMAT, SoupSpec, from_json, to_json

SOUPS = "soups"
"""The folder of all soups, a folder each."""


@dataclass(frozen=True)
class Soup:
    """A mean of runs and its accuracy.

    Attributes:
        kept: ids of the runs whose mean it is, in the order in which they were added.
        tries: greedy: each run in that order, with the ``val_top1`` that the mean had with it,
            a share, and whether it was ``kept``; uniform: none.
        val_top1, test_top1: shares in [0, 1].
        correct: as ``RunRecord.correct``.
        sha256: of the file with the weights.
        execution: how it was computed, as ``RunRecord.execution``.
    """

    spec: SoupSpec
    kept: tuple[str, ...]
    tries: tuple[dict[str, Any], ...]
    val_top1: float
    test_top1: float
    correct: str
    sha256: str
    execution: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {"format": FORMAT, **fields, "spec": to_json(self.spec)}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Soup:
        """The inverse of :meth:`to_json`.

        Raises:
            ValueError: written in another format, or not the fields of a soup.
        """
        names = {f.name for f in dataclasses.fields(cls)}
        if set(value) != names | {"format"} or value["format"] != FORMAT:
            raise ValueError("not a soup of this version")
        fields = {name: value[name] for name in names}
        fields |= {name: tuple(value[name]) for name in ("kept", "tries")}
        fields["spec"] = from_json(SoupSpec, value["spec"])
        return cls(**fields)


class Soups:
    """The soups below ``out``. Opening it creates nothing."""

    def __init__(self, out: Path) -> None:
        self.root = out / SOUPS

    def weights(self, spec: SoupSpec) -> Path:
        """Where a soup's weights are once it is done."""
        return self.root / spec.id / "weights.safetensors"

    def find(self, spec: SoupSpec) -> Soup | None:
        """A soup that is done; None before it was made.

        Raises:
            VitexpError: its file is damaged.
        """
        path = self.root / spec.id / "soup.json"
        if not path.is_file():
            return None
        try:
            return Soup.from_json(json.loads(path.read_bytes()))
        except (ValueError, TypeError, VitexpError) as error:
            raise VitexpError(f"{path} is damaged: {error}.", "Delete its folder.") from error

    def folder_for(self, spec: SoupSpec) -> Path:
        """Where a soup is or will be, made if need be.

        Raises:
            VitexpError: it cannot be made.
        """
        folder = self.weights(spec).parent
        with disk(folder):
            make_folder(folder)
        return folder

    def reads_test(self, spec: SoupSpec) -> int:
        """Notes for good, before it is made, that the test split is read; how often by now."""
        return tally(self.root / spec.id / "soup.reads")

    def keep(self, soup: Soup, weights: bytes) -> None:
        """Writes a soup; its folder must be ours, so that its two files are of one making.

        Raises:
            VitexpError: the disk is full or not writable.
        """
        path = self.weights(soup.spec)
        write_atomic(path, weights)
        publish_once(path.with_name("soup.json"), json_bytes(soup.to_json()))
        path.with_name("soup.reads").unlink(missing_ok=True)
