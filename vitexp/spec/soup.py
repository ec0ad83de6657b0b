"""The mean of several runs' weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vitexp.spec.ids import digest, identity

SoupKind = Literal["greedy", "uniform"]


@dataclass(frozen=True)
class SoupSpec:
    """The mean of several runs' weights (Wortsman et al. 2022, Model soups, arXiv 2203.05482).

    Attributes:
        kind: ``uniform``, all of them; ``greedy``, those without which validation is no better.
        runs: their ids, rising.
        weights: SHA-256 of each one's weights.
    """

    kind: SoupKind
    runs: tuple[str, ...]
    weights: tuple[str, ...]

    @property
    def id(self) -> str:
        """16 hexadecimal digits that stand for the ingredients and the way they are mixed."""
        return digest(identity(self))
