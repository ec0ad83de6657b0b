"""The paper's claims on positional embeddings (appendix D.4), tested on one grid.

Each uses the seeds that all its cells share, up to the look.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from vitexp.analysis.findings import Finding, all_equivalent, all_exceed
from vitexp.analysis.two_way import Estimate, estimate, lent_contrast
from vitexp.experiment.plan import Grid
from vitexp.reporting.judge import Test, judge
from vitexp.reporting.report import Claim
from vitexp.reporting.words import kind_label, points
from vitexp.studies.pos_emb.cells import (
    NONE,
    PAPER_CELLS,
    Key,
    cell_label,
)

NONE_MARGIN = 0.01
"""By how much each position must beat none (a share)."""

SAME_MARGIN = 0.005
"""Within what difference kinds, or placements, count as equivalent (a share)."""

POSITIONAL = tuple(key for key in PAPER_CELLS if key != NONE)

Correct = Mapping[Key, np.ndarray]
"""Correctness of each cell at the look: (seeds, test images)."""


def claims(grid: Grid) -> tuple[Claim, ...]:
    """PE1 (none is worse), PE2 (kinds are equivalent), PE3 (placements are equivalent)."""
    return (
        _claim("PE1", grid, PAPER_CELLS, _none_is_worse),
        _claim("PE2", grid, POSITIONAL, lambda correct: _equivalent(correct, part=0)),
        _claim("PE3", grid, POSITIONAL, lambda correct: _equivalent(correct, part=1)),
    )


def _claim(name: str, grid: Grid, needed: tuple[Key, ...], test: Test[Key]) -> Claim:
    return judge(name, grid, needed, test, cell_label, grid.more)


def _none_is_worse(correct: Correct) -> tuple[Finding, str]:
    differences = {cell_label(key): estimate(correct[key] - correct[NONE]) for key in POSITIONAL}
    finding = all_exceed(differences, NONE_MARGIN)
    return finding, f"each difference to none must exceed {100 * NONE_MARGIN:g} point"


def _equivalent(correct: Correct, part: int) -> tuple[Finding, str]:
    """Kinds (part 0 of a key) or placements (part 1), each averaged over the other."""
    cells = np.stack([correct[key] for key in POSITIONAL])
    finding = all_equivalent(_pairs(cells, part), SAME_MARGIN)
    deviation = cells.mean(axis=(1, 2)) - cells.mean()
    furthest = int(np.abs(deviation).argmax())
    return finding, (
        f"each difference must lie within ±{100 * SAME_MARGIN:g} points; furthest from the mean"
        f" of the {len(cells)} cells: {cell_label(POSITIONAL[furthest])}"
        f" {points(float(deviation[furthest]))}"
    )


def _pairs(cells: np.ndarray, part: int) -> dict[str, Estimate]:
    names = list(dict.fromkeys(key[part] for key in POSITIONAL))
    member = np.array([[key[part] == name for key in POSITIONAL] for name in names])
    mean_of = member / member.sum(axis=1, keepdims=True)
    return {
        f"{kind_label(names[b])} against {kind_label(names[a])}": lent_contrast(
            cells, mean_of[b] - mean_of[a]
        )
        for b in range(len(names))
        for a in range(b)
    }
