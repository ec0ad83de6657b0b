"""A group of commands whose help says all of each one's first sentence, on any terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typer.core import TyperGroup

if TYPE_CHECKING:
    from typer._click import Command, Context


class Whole(TyperGroup):
    """Where a sentence is longer than a line, it goes on in the next."""

    def get_command(self, ctx: Context, cmd_name: str) -> Command | None:
        command = super().get_command(ctx, cmd_name)
        if command is not None:
            # A short help that is given is not cut.
            command.short_help = command.get_short_help_str(_LONGEST)
        return command


_LONGEST = 500
