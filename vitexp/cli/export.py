"""``vitexp runs export``: finished runs in a file, or in the trackers that people have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vitexp.cli import live, screen
from vitexp.errors import VitexpError
from vitexp.runs import archive, frame
from vitexp.runs.files import write_atomic
from vitexp.runs.record import RunRecord
from vitexp.runs.store import Store
from vitexp.trackers import Destination
from vitexp.trackers.sink import send as send_to

if TYPE_CHECKING:
    from pandas import DataFrame

_ENDINGS = (".tar.gz", ".csv", ".parquet")


def file_in(words: Sequence[str]) -> Path:
    """The file to write, which is the first word.

    Raises:
        VitexpError: none, or one of another kind.
    """
    if not words:
        raise VitexpError(
            "Where are the runs to go?",
            "Name a file, such as runs.tar.gz, or a tracker: --to tensorboard:DIR.",
        )
    if not words[0].endswith(_ENDINGS):
        raise VitexpError(
            f"{words[0]} is no kind of file that runs are exported to.",
            f"Let its name end in {', '.join(_ENDINGS)}.",
        )
    return Path(words[0])


def chosen(store: Store, starts: Sequence[str]) -> list[RunRecord]:
    """The finished runs whose ids begin so; all where none is said.

    Raises:
        VitexpError: no such run, or none is finished.
    """
    found = [store.find(start).id for start in starts] if starts else None
    records = [r for r in store.results() if found is None or r.id in found]
    if not records:
        raise VitexpError(
            f"There are no finished runs to export in {store.root}.", "Choose another --out."
        )
    return records


def write(store: Store, records: Sequence[RunRecord], file: Path) -> None:
    """Writes one file, whole or not at all."""

    def rows() -> DataFrame:
        measured = (m for r in records for m in store.measurements(r.id))
        return frame.frame(records, measured)

    makers: dict[str, Callable[[], bytes]] = {
        ".tar.gz": lambda: archive.packed(store, [record.id for record in records]),
        ".csv": lambda: frame.csv_bytes(rows()),
        ".parquet": lambda: frame.parquet_bytes(rows()),
    }
    write_atomic(file, next(make for end, make in makers.items() if file.name.endswith(end))())


def send(store: Store, records: Sequence[RunRecord], to: Sequence[Destination]) -> None:
    """Sends runs to trackers, one after the other, and says so.

    Raises:
        VitexpError: one does not take a run.
    """
    for each in to:
        with live.counting(screen.stderr()) as count:
            for done in send_to(each, store.out, records):
                count(f"runs to {each}", done, len(records))
        screen.say(f"{each} has {screen.count(len(records), 'run')}.")
