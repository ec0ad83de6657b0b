"""What more compute gives: whether the last step still gains, and whether a lead goes away.

d[s, i] is what seed s gives on test image i: a difference of two models' correctness.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from vitexp.analysis.decide import claim_level, outlook
from vitexp.analysis.findings import Finding, all_exceed, finding
from vitexp.analysis.two_way import estimate


def still_rises(name: str, gain: np.ndarray, margin: float, alpha: float | None = None) -> Finding:
    """Whether the last step gains (the gain's one-sided lower bound is above 0: SUPPORTED) or
    next to nothing (its upper bound is below ``margin``, a share: REFUTED).

    A true gain between 0 and the margin makes neither word wrong.

    Args:
        name: what to call the step.
        gain: d of the larger model over the smaller, shape (n, N).
    """
    step = estimate(gain)
    alpha = claim_level(step.n) if alpha is None else alpha
    only = {name: step}
    if step.lower(alpha) > 0:
        return finding("SUPPORTED", name, only, alpha)
    if step.upper(alpha) < margin:
        return finding("REFUTED", name, only, alpha)
    settle = outlook(step, max(step.value, margin - step.value), alpha)
    return finding("INCONCLUSIVE", name, only, alpha, settle)


def lead_vanishes(
    names: tuple[str, str, str],
    small: np.ndarray,
    large: np.ndarray,
    margin: float,
    alpha: float | None = None,
) -> Finding:
    """Whether there is a lead at small compute, less of one at large compute, and there less
    than ``margin`` (a share). All must hold, so none is adjusted; see :func:`all_exceed`.

    Args:
        names: what to call these three.
        small, large: d of the leader over the other at each compute, shape (n, N).
    """
    room = estimate(-large)
    parts = (
        estimate(small),
        dataclasses.replace(estimate(small - large), most=2),
        dataclasses.replace(room, value=room.value + margin, most=1 + margin),
    )
    return all_exceed(dict(zip(names, parts, strict=True)), 0.0, alpha)
