"""``vitexp look``: what goes on inside trained models."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vitexp.cli.flags import Json, Out, with_reading
from vitexp.cli.options import Device, ModelOfFile, Things, Weights, copy_of
from vitexp.errors import VitexpError, unknown
from vitexp.spec import Reading

if TYPE_CHECKING:
    from vitexp.reporting.report import Report
    from vitexp.runs.store import Store
    from vitexp.tasks.look.images import Wanted
    from vitexp.tasks.look.opened import Looked

KINDS = ("similarity", "filters", "distance", "attention", "tokens", "cam")
_WATCHED = ("distance", "attention", "tokens", "cam")
"""Those that need images."""
_TILED = ("attention", "cam")
"""Those that show each image."""


@with_reading
def look(
    reading: Reading,
    kind: Annotated[str, typer.Argument(metavar="KIND", help=", ".join(KINDS))],
    things: Things,
    images: Annotated[
        str, typer.Option(help="a folder, a data set or a file [each run's test images]")
    ] = "",
    indices: Annotated[
        str,
        typer.Option(
            help="which of the images, from 0: 0,5,9 or 0-999 [the first 128; attention, cam: 6]"
        ),
    ] = "",
    layer: Annotated[
        int | None, typer.Option(help="attention: the heads of this layer, from 1 [rollout]")
    ] = None,
    model: ModelOfFile = None,
    weights: Weights = None,
    device: Device = "auto",
    out: Out = Path("."),
    json: Json = False,
) -> None:
    """Draw what trained models have learned, into plots/, with the numbers as CSV.

    similarity: which positions have embeddings that are alike. filters: the principal components
    of the patch embedding. distance: how far each head looks, by layer. attention: where in the
    image, over all layers (rollout), or by each head of a layer. tokens: what the class token reads
    from the patches, by layer. cam: where in the image a ResNet finds its class.
    """
    from vitexp.cli import screen
    from vitexp.cli.execute import check_writable
    from vitexp.launch import devices
    from vitexp.render import write_figures
    from vitexp.runs.store import Store

    if kind not in KINDS:
        raise unknown("kind of look", kind, KINDS)
    if kind not in _WATCHED and (images or indices):
        raise VitexpError(
            f"{kind} is of the weights alone and needs no images.",
            "Leave --images and --indices out.",
        )
    if kind != "attention" and layer is not None:
        raise VitexpError(f"{kind} is not of one layer.", "Leave --layer out.")
    check_writable(out)
    said: list[str] = []

    def remark(text: str) -> None:
        said.append(text)
        screen.say(text)

    store = Store(out)
    looked = _looked(kind, things, store, (model, weights), remark)
    if kind in _WATCHED:
        wanted = _wanted(kind, images, indices, reading, store, remark)
        reports = _watched(kind, looked, wanted, layer, devices.resolve(device)[0], remark)
    else:
        reports = _read(kind, looked)
    files = [str(path) for report in reports for path in write_figures(report, out)]
    if json:
        return screen.emit({"files": files, "remarks": said})
    screen.say(f"Wrote {', '.join(files)}.")


def _looked(
    kind: str,
    things: Sequence[str],
    store: Store,
    asked: tuple[str | None, str | None],
    remark: Callable[[str], None],
) -> list[Looked]:
    """Runs and files, each once."""
    from vitexp.runs.weights_file import names_file
    from vitexp.tasks.look.opened import Part, looked_file, looked_run

    model, copy = asked[0], copy_of(asked[1])
    part: Part = "resnet" if kind == "cam" else "transformer"
    found = [
        looked_file(Path(thing), model, copy, remark, part)
        if names_file(thing)
        else looked_run(store.find(thing).readable(), store, part)
        for thing in things
    ]
    return list({each.of.id: each for each in found}.values())


def _wanted(
    kind: str,
    images: str,
    indices: str,
    reading: Reading,
    store: Store,
    remark: Callable[[str], None],
) -> Wanted:
    from vitexp.cli.predict import say_left_out
    from vitexp.datasets.pictures import open_pictures
    from vitexp.tasks.look import attention, heads
    from vitexp.tasks.look.images import Wanted

    chosen = _indices(indices)
    if kind in _TILED and chosen and len(chosen) > attention.MOST:
        raise VitexpError(
            f"{len(chosen)} images are more than a figure has room for.",
            f"Choose {attention.MOST} at most: --indices 0-{attention.MOST - 1}.",
        )
    usual = attention.IMAGES if kind in _TILED else heads.IMAGES
    pictures = open_pictures(images, reading) if images else None
    if pictures:
        for note in pictures.notes:
            remark(note)
        say_left_out(pictures, remark)
    return Wanted(pictures, chosen, usual, reading.skip_broken, store)


def _indices(text: str) -> tuple[int, ...] | None:
    """``"0,5,9"`` or ``"0-3,7"`` as numbers; None where nothing is said.

    Raises:
        VitexpError: something else is said.
    """
    if not text:
        return None
    written = re.fullmatch(r"\d{1,7}(-\d{1,7})?(,\d{1,7}(-\d{1,7})?)*", text)
    spans = [list(map(int, part.split("-"))) for part in text.split(",")] if written else []
    if not spans or any(span[0] > span[-1] for span in spans):
        raise VitexpError(f"--indices {text} is no list of numbers.", "Write 0,5,9 or 0-127.")
    return tuple(number for span in spans for number in range(span[0], span[-1] + 1))


def _read(kind: str, looked: Sequence[Looked]) -> list[Report]:
    from vitexp.tasks.look.filters import filters
    from vitexp.tasks.look.similarity import similarity

    return list(map({"similarity": similarity, "filters": filters}[kind], looked))


def _watched(
    kind: str,
    looked: Sequence[Looked],
    wanted: Wanted,
    layer: int | None,
    device: str,
    remark: Callable[[str], None],
) -> list[Report]:
    import torch

    from vitexp.tasks.look.attention import attention
    from vitexp.tasks.look.cam import cam
    from vitexp.tasks.look.distance import distance
    from vitexp.tasks.look.heads import measured
    from vitexp.tasks.look.tokens import tokens

    on = torch.device(device)
    if kind == "cam":
        return [cam(each, wanted, on) for each in looked]
    if kind == "attention":
        return [attention(each, wanted, layer, on) for each in looked]
    measure = distance() if kind == "distance" else tokens(looked)
    return [measured(measure, looked, wanted, on, remark)]
