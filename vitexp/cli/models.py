"""``vitexp models``: the named sizes with what they cost."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from vitexp.cli.flags import Json


def models(
    only: Annotated[str, typer.Argument(metavar="[TEXT]", help="list names that contain it")] = "",
    paper: Annotated[
        bool, typer.Option("--paper", help="the rows of the paper's Table 6 and their exaFLOPs")
    ] = False,
    classes: Annotated[int, typer.Option(help="outputs of the head", min=1)] = 1000,
    dataset: Annotated[
        str | None, typer.Option(help="count with the classes and the channels of this data set")
    ] = None,
    json: Json = False,
) -> None:
    """List the named models: parameters, tokens and MACs.

    Each at its own resolution, with --classes and learned 1-D positions. MACs are
    multiply-accumulates of one forward pass of one image in the paper's convention: the head
    and a convolution's taps on its padding are left out; "padded" counts those taps, too, and
    "executed" is what a forward pass computes here.
    """
    from vitexp.cli import screen
    from vitexp.errors import unknown

    classes, channels = _of_data(dataset) if dataset else (classes, 3)
    rows = _paper_rows() if paper else _rows(classes, channels)
    shown = [row for row in rows if only.lower() in row["name"].lower()]
    if not shown:
        raise unknown("model", only, {row["name"] for row in rows})
    if json:
        return screen.emit(shown)
    columns = tuple(key for key in shown[0] if key not in _HIDDEN)
    cells = [[_cell(key, row[key]) for key in columns] for row in shown]
    heads = [_HEADS.get(key, key) for key in columns]
    screen.table(heads, cells, right=set(heads) - {"name", "family", "remark"})


_HIDDEN = ("sources",)
_HEADS = {"macs_padded": "padded", "macs_executed": "executed", "paper_exaflops": "paper"}


def _of_data(source: str) -> tuple[int, int]:
    """Classes and channels of a data set."""
    from vitexp.cli import live, screen
    from vitexp.datasets.load import describe

    with live.counting(screen.stderr()) as progress:
        _, images = describe(source, progress=progress)
    screen.say(f"With {len(images.names)} classes and {images.channels} channels.")
    return len(images.names), images.channels


def _rows(classes: int, channels: int) -> list[dict[str, Any]]:
    from vitexp.catalog.sizes import listed
    from vitexp.models import count

    return [
        {
            "name": spec.name,
            "family": spec.family,
            "image_size": spec.image_size,
            "params": count.params(spec),
            "tokens": count.tokens(spec),
            "macs": count.macs(spec),
            "macs_padded": count.macs(spec, "all"),
            "macs_executed": count.executed_macs(spec),
            "sources": _sources(spec.name),
        }
        for spec in listed(classes, channels)
    ]


def _sources(name: str) -> list[str]:
    from vitexp.catalog.sizes import parse

    named = parse(name)
    return [part.source for part in (named.trunk, named.size) if part]


def _paper_rows() -> list[dict[str, Any]]:
    from vitexp.catalog import paper, sizes
    from vitexp.models import count

    rows = []
    for row in paper.table6():
        macs = count.macs(sizes.model(row.model, 224))
        assert macs is not None
        exaflops = count.TRAINING_FLOPS * macs * paper.JFT_IMAGES * row.epochs / 1e18
        rows.append(
            {
                "name": row.name,
                "epochs": row.epochs,
                "paper_exaflops": row.exaflops,
                "exaflops": round(exaflops, 2),
                "ratio": round(exaflops / row.exaflops, 4),
                "remark": row.remark,
            }
        )
    return rows


def _cell(key: str, value: Any) -> str:
    from vitexp.cli import screen

    if key in ("params", "macs", "macs_padded", "macs_executed"):
        return screen.amount(value)
    if key == "exaflops":
        return f"{value:.0f}"
    return f"{value:g}" if isinstance(value, float) else "-" if value is None else str(value)
