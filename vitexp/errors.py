"""The one error that users see."""

from __future__ import annotations

import difflib
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


def unknown(kind: str, name: str, choices: Iterable[str]) -> VitexpError:
    """The error for a name that is not among ``choices``: lists them and the nearest."""
    names = sorted(choices)
    near = difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.5)
    meant = f"Did you mean {near[0]!r}? " if near else ""
    return VitexpError(f"Unknown {kind} {name!r}.", f"{meant}Choices: {', '.join(names)}.")
