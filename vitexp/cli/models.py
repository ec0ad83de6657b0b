"""``vitexp models``: the named sizes with what they cost."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from vitexp.cli.flags import Json


def models(
    only: Annotated[str, typer.Argument(metavar="[TEXT]", help="list names that contain it")] = "",
    json: Json = False,
) -> None:
    """List the named models: parameters, tokens and MACs.

    Each at its own resolution, with 1000 classes and learned 1-D positions; the cost is of one
    forward pass of one image, in multiply-accumulates.
    """
    from vitexp.catalog.sizes import NAMES, listed
    from vitexp.cli import screen
    from vitexp.errors import unknown
    from vitexp.models.count import macs, params, tokens

    rows: list[dict[str, Any]] = [
        {
            "name": spec.name,
            "family": spec.family,
            "image_size": spec.image_size,
            "params": params(spec),
            "tokens": tokens(spec),
            "macs": macs(spec),
        }
        for spec in listed()
        if only.lower() in spec.name
    ]
    if not rows:
        raise unknown("model", only, NAMES)
    if json:
        return screen.emit(rows)
    screen.table(
        ("name", "family", "image", "params", "tokens", "macs"),
        [
            (
                row["name"],
                row["family"],
                str(row["image_size"]),
                screen.amount(row["params"]),
                str(row["tokens"]),
                screen.amount(row["macs"]),
            )
            for row in rows
        ],
        right=("image", "params", "tokens", "macs"),
    )
