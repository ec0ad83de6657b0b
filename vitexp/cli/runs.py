"""``vitexp runs``: what is in the store, and making room in it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from vitexp.cli.flags import Json, Out
from vitexp.cli.whole import Whole

runs = typer.Typer(help="List, show and remove runs.", no_args_is_help=True, cls=Whole)

Ids = Annotated[list[str], typer.Argument(metavar="ID...", help="run ids, or their first digits")]


@runs.command("list")
def list_runs(
    out: Out = Path("."),
    study: Annotated[str | None, typer.Option(help="only what this study asked for")] = None,
    dataset: Annotated[str | None, typer.Option(help="only data whose name contains it")] = None,
    model: Annotated[str | None, typer.Option(help="only models whose name contains it")] = None,
    since: Annotated[str | None, typer.Option(help="a date, or a time ago: 2026-11-27, 2d")] = None,
    name: Annotated[str | None, typer.Option(help="only runs of this name")] = None,
    tag: Annotated[str | None, typer.Option(help="only runs with this tag")] = None,
    json: Json = False,
) -> None:
    """List all runs, the latest last, with their top-1 on test in %.

    Columns are what the runs differ in; what they share is said below. The seed of runs that
    only choose a rate is "search".
    """
    from vitexp.cli import listing, screen
    from vitexp.tasks import listed

    filters = listing.Filters(study, dataset, model, since, name, tag)
    several = filters.chosen(found := listed.listed(out))
    if json:
        return screen.emit([listing.as_json(one) for one in several])
    if not several:
        none = f"Of {screen.count(len(found), 'run')} in {out / 'runs'} none fits." if found else ""
        return screen.say(none or f"No runs in {out / 'runs'}.")
    listing.show(several)
    if bad := [one.entry.id for one in several if one.entry.state == "unreadable"]:
        screen.say(f"{len(bad)} unreadable; `vitexp runs show {bad[0]}` says why.")


@runs.command("tag")
def tag_runs(
    ids: Ids,
    name: Annotated[str | None, typer.Option(help='what to call them; "" for nothing')] = None,
    add: Annotated[list[str] | None, typer.Option(help="a tag; may be repeated")] = None,
    remove: Annotated[list[str] | None, typer.Option(help="a tag; may be repeated")] = None,
    out: Out = Path("."),
    json: Json = False,
) -> None:
    """Change the name and the tags of runs; a run's id has no part in it."""
    from vitexp.cli import screen
    from vitexp.runs import notes
    from vitexp.runs.store import Store

    store = Store(out)
    runs = list(dict.fromkeys(store.find(start).id for start in ids))
    notes.note(out, runs, name, add or (), remove or ())
    called = {run: notes.noted(out, run) for run in runs}
    if json:
        return screen.emit(
            [{"id": i, "name": n.name or None, "tags": list(n.tags)} for i, n in called.items()]
        )
    rows = [(run, note.name, " ".join(note.tags)) for run, note in called.items()]
    screen.table(("id", "name", "tags"), rows)


@runs.command()
def show(
    run: Annotated[str, typer.Argument(metavar="ID", help="run id, or its first digits")],
    out: Out = Path("."),
    json: Json = False,
) -> None:
    """Show one run: what it reached and its course, its whole spec, how it was computed."""
    from vitexp.cli import screen, shown
    from vitexp.runs.store import Store
    from vitexp.spec import to_json
    from vitexp.tasks import listed

    store = Store(out)
    one = listed.listed_one(store, run)
    entry, folder = one.entry, str(store.folder(one.entry.id))
    if not json:
        return shown.show(one, folder, store.curve(entry))
    value: dict[str, Any] = {
        "id": entry.id,
        "state": entry.state,
        "folder": folder,
        "bytes": entry.bytes,
        "name": one.note.name or None,
        "tags": list(one.note.tags),
        "studies": list(one.studies),
        "spec": to_json(entry.readable()),
    }
    if record := entry.record:
        value |= {"metrics": record.metrics, "curve": record.curve, "execution": record.execution}
    screen.emit(value)


@runs.command("rm")
def remove(
    ids: Ids,
    out: Out = Path("."),
    yes: Annotated[bool, typer.Option("--yes", help="do not ask on a terminal")] = False,
    json: Json = False,
) -> None:
    """Remove runs with all that they hold; says how much space that frees."""
    from vitexp.cli import listing, screen
    from vitexp.runs import removal
    from vitexp.runs.store import Store
    from vitexp.tasks import listed

    store = Store(out)
    doomed = list(dict.fromkeys(store.find(start).id for start in ids))
    removal.check_unneeded(store, doomed)
    if sys.stdin.isatty() and sys.stderr.isatty() and not (yes or json):
        listing.show([listed.listed_one(store, run) for run in doomed])
        if not typer.confirm("Remove? (--yes does not ask)", err=True):
            raise typer.Exit(1)
    freed = sum(removal.remove(store, run) for run in doomed)
    if json:
        return screen.emit({"removed": doomed, "freed_bytes": freed})
    screen.say(f"Removed {', '.join(doomed)}: {screen.size(freed)} freed.")


@runs.command()
def gc(
    out: Out = Path("."),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would go")] = False,
    json: Json = False,
) -> None:
    """Remove temporary files and the checkpoints of finished runs."""
    from vitexp.cli import screen
    from vitexp.runs.removal import collect, garbage
    from vitexp.runs.store import Store

    store = Store(out)
    gone = garbage(store) if dry_run else collect(store)
    freed = sum(gone.values())
    if json:
        files = [{"path": str(path), "bytes": count} for path, count in sorted(gone.items())]
        return screen.emit({"dry_run": dry_run, "files": files, "freed_bytes": freed})
    for path, count in sorted(gone.items()):
        screen.say(f"{path}  {screen.size(count)}")
    verb = "would be freed" if dry_run else "freed"
    screen.say(f"{len(gone)} files: {screen.size(freed)} {verb}.")


@runs.command("export")
def export_runs(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILE] [ID...]",
            help="to write, without --to: FILE.tar.gz, FILE.csv or FILE.parquet; run ids [all]",
        ),
    ] = None,
    to: Annotated[
        list[str] | None,
        typer.Option(
            help="a tracker: tensorboard:DIR, mlflow:URI, wandb:PROJECT or trackio:PROJECT;"
            " may be repeated"
        ),
    ] = None,
    out: Out = Path("."),
    json: Json = False,
) -> None:
    """Write finished runs to one archive, or their specs and metrics to one table; or send them.

    FILE.tar.gz can be imported elsewhere; FILE.csv and FILE.parquet have a row a run. A tracker
    has each run once, however often it is sent.
    """
    from vitexp.cli import export, screen
    from vitexp.runs.store import Store
    from vitexp.trackers import destinations

    trackers, words, store = destinations(to or ()), words or [], Store(out)
    if trackers:
        records = export.chosen(store, words)
        export.send(store, records, trackers)
        if json:
            ids = [record.id for record in records]
            screen.emit({"trackers": list(map(str, trackers)), "runs": ids})
        return
    file, records = export.file_in(words), export.chosen(store, words[1:])
    export.write(store, records, file)
    if json:
        return screen.emit({"file": str(file), "runs": [record.id for record in records]})
    screen.say(
        f"Wrote {screen.count(len(records), 'run')} to {file} ({screen.size(file.stat().st_size)})."
    )


@runs.command("import")
def import_runs(
    file: Annotated[Path, typer.Argument(help="an archive that `vitexp runs export` wrote")],
    out: Out = Path("."),
    json: Json = False,
) -> None:
    """Add the runs of an archive; those that are here already stay as they are."""
    from vitexp.cli import screen
    from vitexp.cli.execute import check_writable
    from vitexp.runs import archive
    from vitexp.runs.store import Store

    check_writable(out)
    added, known = archive.unpacked(Store(out), file)
    if json:
        return screen.emit({"added": added, "known": known})
    screen.say(f"Added {screen.count(len(added), 'run')}; {len(known)} here already.")
