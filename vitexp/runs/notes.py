"""What people call runs: a name and tags, a small file a run; no part of a run's id.

notes/<id>.json   beside the runs, so that one that is being worked on can be named, too
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vitexp.errors import VitexpError
from vitexp.runs.files import disk, json_bytes, make_folder, sync_folder, write_atomic

FOLDER = "notes"
FORMAT = 1
_LONGEST = 80


@dataclass(frozen=True)
class Note:
    """What a run is called.

    Attributes:
        name: one; ``""`` for none.
        tags: any number, in the order of the alphabet.
    """

    name: str = ""
    tags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for text in (*filter(None, [self.name]), *self.tags):
            _check(text)

    def changed(
        self, name: str | None = None, add: Iterable[str] = (), remove: Iterable[str] = ()
    ) -> Note:
        """With another name, unless it is None, and with tags more and less."""
        tags = ({*self.tags} | {*add}) - {*remove}
        return Note(self.name if name is None else name, tuple(sorted(tags)))

    def to_json(self) -> dict[str, Any]:
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_json(cls, value: Any) -> Note:
        """The inverse of :meth:`to_json`.

        Raises:
            ValueError, KeyError, TypeError, VitexpError: not that.
        """
        if value["format"] != FORMAT:
            raise ValueError(f"format {value['format']!r}; this version reads {FORMAT}")
        name, tags = value["name"], value["tags"]
        if not (isinstance(tags, list) and all(isinstance(text, str) for text in (name, *tags))):
            raise TypeError("not texts")
        return cls(name, tuple(tags))


NO_NOTE = Note()


def _check(text: str) -> None:
    if not text.strip() or not text.isprintable() or len(text) > _LONGEST:
        raise VitexpError(
            f"{text!r} is no name and no tag.", f"Write up to {_LONGEST} letters in one line."
        )


def noted(out: Path, run_id: str) -> Note:
    """What a run is called; nothing where nobody named it.

    Raises:
        VitexpError: the file is damaged.
    """
    path = _path(out, run_id)
    try:
        return Note.from_json(json.loads(path.read_bytes()))
    except FileNotFoundError:
        return NO_NOTE
    except (ValueError, TypeError, KeyError, VitexpError) as error:
        raise VitexpError(f"{path} is damaged: {error}.", "Delete that file.") from error


def note(
    out: Path,
    ids: Iterable[str],
    name: str | None = None,
    add: Sequence[str] = (),
    remove: Sequence[str] = (),
) -> None:
    """Change what runs are called, also of runs that are not begun.

    Raises:
        VitexpError: no text for a name, a damaged file, or the disk refuses.
    """
    for run in ids:
        before = noted(out, run)
        after = before.changed(name, add, remove)
        if after != before:
            _write(_path(out, run), after)


def forget(out: Path, run_id: str) -> None:
    """Remove what a run is called."""
    path = _path(out, run_id)
    if path.exists():
        with disk(path):
            path.unlink(missing_ok=True)
            sync_folder(path.parent)


def _write(path: Path, after: Note) -> None:
    with disk(path):
        make_folder(path.parent)
    write_atomic(path, json_bytes(after.to_json()))


def _path(out: Path, run_id: str) -> Path:
    return out / FOLDER / f"{run_id}.json"
