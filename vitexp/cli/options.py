"""Options that several commands have, and what is written after them."""

from __future__ import annotations

import typing
from typing import Annotated

import typer

from vitexp.errors import VitexpError, unknown
from vitexp.spec import Copy

DryRun = Annotated[bool, typer.Option("--dry-run", help="print the plan and its cost; run nothing")]
Budget = Annotated[
    str | None,
    typer.Option(help="90s, 30min or 2h: drop whole seeds, the last first, to fit"),
]
Weights = Annotated[
    str | None,
    typer.Option(
        metavar="raw|ema",
        help="of a file with both: the weights as trained, or their exponential mean [raw]",
    ),
]
Probe = Annotated[bool, typer.Option(help="time a few steps for the plan's estimate")]


def copy_of(text: str | None) -> Copy | None:
    """What ``--weights`` asks for.

    Raises:
        VitexpError: neither ``raw`` nor ``ema``.
    """
    if text is not None and text not in typing.get_args(Copy):
        raise unknown("--weights", text, typing.get_args(Copy))
    return typing.cast("Copy | None", text)


def parsed(text: str) -> float:
    """``"3%"`` or ``"0.03"`` as a share.

    Raises:
        VitexpError: no number, or not above 0 and at most 100 %.
    """
    plain = text.strip()
    try:
        share = float(plain.removesuffix("%")) / (100 if plain.endswith("%") else 1)
    except ValueError:
        share = -1.0
    if not 0 < share <= 1:
        raise VitexpError(
            f"--fractions: {plain!r} is no share of the training images.",
            "Write shares such as 3%,10%,100% or 0.03,0.1,1.",
        )
    return float(f"{share:.6g}")
