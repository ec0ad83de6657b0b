"""The one error that users see."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable


class VitexpError(Exception):
    """Something the user can mend; printed as two sentences, without a traceback.

    Args:
        problem: what is wrong, naming the value that is.
        remedy: what to write or do instead.
    """

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem, remedy)
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.problem}\n{self.remedy}"


# Control characters but for the end of a line and the tab, and marks that turn text around.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """``text`` with a question mark for each character that would steer a terminal.

    Names of folders, classes and runs come from anybody.
    """
    return _CONTROL.sub("?", text)


def unknown(kind: str, name: str, choices: Iterable[str]) -> VitexpError:
    """The error for a name that is not among ``choices``: lists them and the nearest."""
    names = sorted(choices)
    near = difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.5)
    meant = f"Did you mean {near[0]!r}? " if near else ""
    return VitexpError(f"Unknown {kind} {name!r}.", f"{meant}Choices: {', '.join(names)}.")
