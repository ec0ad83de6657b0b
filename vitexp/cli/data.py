"""``vitexp data``: what a source of images is understood as."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from vitexp.cli.flags import Json, Out, with_reading
from vitexp.spec import Reading


@with_reading
def data(
    reading: Reading,
    source: Annotated[str, typer.Argument(help="as --dataset of train")],
    image_size: Annotated[
        int | None, typer.Option(help="side of the images in pixels [the data's]", min=1)
    ] = None,
    out: Out = Path("."),
    json: Json = False,
) -> None:
    """Show what a data set is understood as, without training on it.

    Splits, classes with their counts, sizes, what was left out and why, images that occur twice;
    and a contact sheet, plots/data_NAME.png.
    """
    from vitexp.cli import live, screen
    from vitexp.cli.execute import check_writable
    from vitexp.datasets.load import describe
    from vitexp.render.files import publish
    from vitexp.render.sheet import sheet
    from vitexp.tasks.data import summary

    check_writable(out)
    with live.counting(screen.stderr()) as progress:
        spec, images = describe(
            source, image_size=image_size, reading=reading, progress=progress, counted=True
        )
    file = publish(out / "plots" / f"data_{_plain(images.name)}.png", sheet(images))
    found = summary(spec, images) | {"files": [str(file)]}
    if json:
        return screen.emit(found)
    screen.table(("what", "found"), _lines(found))
    parts = tuple(found["splits"])
    rows = [(c["name"], *(str(c[part]) for part in parts)) for c in found["classes"]]
    screen.table(("class", *parts), rows, right=parts)
    for text in found["remarks"]:
        screen.say(text)
    screen.say(f"Wrote {file}.")


def _plain(name: str) -> str:
    """A name that is one of a file, too."""
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in name)


def _lines(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    colours = "grey" if found["channels"] == 1 else "RGB"
    splits = ", ".join(f"{count} {part}" for part, count in found["splits"].items())
    yield "data", f"{found['name']}: {splits}; {len(found['classes'])} classes"
    yield "seen as", f"{found['image_size']} px, {colours}"
    if sizes := found["sizes"]:
        yield "sizes", _sizes(sizes)
    for where, counts in found["duplicates"].items():
        if where != "alike" and counts is not None:
            said = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
            yield f"twice {where}", said or "none"
    yield "look alike", f"{len(found['duplicates']['alike'])} of test in train or val"
    yield "left out", str(sum(s["count"] for s in found["skipped"]) + len(found["broken"]))


def _sizes(found: dict[str, Any]) -> str:
    usual = ", ".join(f"{s['images']} of {s['width']}x{s['height']}" for s in found["sizes"])
    if found["different"] == 1:
        return f"all {found['sizes'][0]['width']}x{found['sizes'][0]['height']}"
    ends = " to ".join(f"{found[k]['width']}x{found[k]['height']}" for k in ("smallest", "largest"))
    return f"{found['different']}, {ends}; most often {usual}"
