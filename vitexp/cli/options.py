"""Options that several commands have, and what is written after them."""

from __future__ import annotations

from typing import Annotated

import typer

DryRun = Annotated[bool, typer.Option("--dry-run", help="print the plan and its cost; run nothing")]
Budget = Annotated[
    str | None,
    typer.Option(help="90s, 30min or 2h: drop whole seeds, the last first, to fit"),
]
Probe = Annotated[bool, typer.Option(help="time a few steps for the plan's estimate")]
