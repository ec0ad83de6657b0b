"""The cells of a study of pre-training: ways to the target by its size."""

from __future__ import annotations

from vitexp.experiment.fractions import Cells, Key
from vitexp.experiment.plan import Grid

SCRATCH, PROBED, FINE_TUNED = ARMS = "from scratch", "linear probe", "fine-tuned"

PARENTS: Key = ("pre-trained", 1.0)
"""What the others start from."""


def cells_of(grid: Grid) -> Cells:
    """Ways by fractions, in the order of :data:`ARMS`."""
    order = sorted((key for key in grid if key[0] in ARMS), key=lambda k: (ARMS.index(k[0]), k[1]))
    return Cells(grid, {key: grid[key] for key in order})
