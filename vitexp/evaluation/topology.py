"""Whether positions that are near on the grid have embeddings that are alike (paper, Figure 7).

N positions on a grid of G x G.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

PERMUTATIONS = 999


@dataclass(frozen=True)
class Plane:
    """How similarity follows distance on the grid.

    Attributes:
        rows, columns: minus the correlation of the cosine of two positions with the number of rows,
            and of columns, between them, over all pairs.
        p: how often positions in a random order have as large a value of the smaller of the two
            (Mantel 1967), the order itself counted among them.
    """

    rows: float
    columns: float
    p: float


def plane(cosines: np.ndarray, side: int) -> Plane:
    """From the cosines of each two positions in raster order, (N, N)."""
    at = np.stack(np.divmod(np.arange(side * side), side))
    pairs = np.triu_indices(side * side, k=1)
    far = np.abs(at[:, :, None] - at[:, None, :])[:, pairs[0], pairs[1]].astype(float)
    far = (far - far.mean(axis=1, keepdims=True)) / far.std(axis=1, keepdims=True)
    alike = cosines[pairs]
    if alike.std() < 1e-12:
        return Plane(0.0, 0.0, 1.0)
    centred = (cosines - alike.mean()) / alike.std()

    def follow(order: np.ndarray) -> np.ndarray:
        along: np.ndarray = -far @ centred[order[pairs[0]], order[pairs[1]]] / far.shape[1]
        return along

    rng = np.random.default_rng(0)
    found = follow(np.arange(side * side))
    others = [follow(rng.permutation(side * side)).min() for _ in range(PERMUTATIONS)]
    reached = int(np.sum(np.array(others) >= found.min()))
    return Plane(float(found[0]), float(found[1]), (1 + reached) / (1 + PERMUTATIONS))
