"""Texts of reports as HTML."""

from __future__ import annotations

import re

from markupsafe import Markup

from vitexp.errors import printable


def prose(text: str) -> Markup:
    """A text, in which what stands between backticks is code."""
    parts = re.split("`([^`]*)`", printable(text))
    code = Markup("<code>{}</code>")
    return Markup("").join(
        code.format(part) if place % 2 else part for place, part in enumerate(parts)
    )


def plain(value: object) -> object:
    """What a template prints, without characters that steer whoever reads it."""
    return printable(value) if type(value) is str else value
