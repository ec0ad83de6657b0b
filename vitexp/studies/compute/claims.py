"""The paper's claims on what more compute gives (section 4.4), tested image by image on one grid.

CA1 and CA2, which are about fitted lines, stand in ``compute_fit.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from vitexp.analysis.along_compute import lead_vanishes, still_rises
from vitexp.analysis.compute_ratio import LEAST_SIZES
from vitexp.analysis.findings import Finding
from vitexp.analysis.groups import Group
from vitexp.reporting.judge import judge, not_run
from vitexp.reporting.report import Claim

Key = tuple[str, float]
"""(what the model is called, training compute in FLOPs)."""

Cells = Mapping[Key, Group]

GAIN = 0.005
"""A gain by the largest model below which its family counts as saturated (a share)."""

VANISHED = 0.005
"""A lead below which it counts as gone (a share)."""

_MATCHED = 1.5
"""Ratio of compute up to which a hybrid beyond the ViTs' range is held against the last one."""


Command = Callable[[int, int], str]
"""(first seed, seeds) -> the command that runs so many seeds of all models."""


def claims(cells: Cells, command: Command, run: str, more: Callable[..., str]) -> tuple[Claim, ...]:
    """CA3 (ViTs do not saturate) and HY1 (hybrids lead at small compute only).

    Args:
        cells: every model's runs.
        run: what to type for the study's own sizes, as a sentence.
        more: families -> what to type for one more size of each, as a sentence.
    """
    vits, hybrids = (_by_compute(cells, family) for family in ("vit", "hybrid"))
    return (
        _not_saturated(cells, vits, command, run, more("vit")),
        _hybrids(cells, vits, hybrids, command, run, more("hybrid", "vit")),
    )


def _by_compute(cells: Cells, family: str) -> list[Key]:
    own = (key for key, group in cells.items() if group.spec.model.family == family)
    return sorted(own, key=lambda key: (key[1], key[0]))


def _not_saturated(cells: Cells, vits: list[Key], command: Command, run: str, larger: str) -> Claim:
    if len({compute for _, compute in vits}) < LEAST_SIZES:
        return not_run("CA3", f"Needs {LEAST_SIZES} sizes of ViT.", run, _data(cells))
    last = vits[-1]
    before = next(vit for vit in reversed(vits) if vit[1] < last[1])
    doublings = np.log2(last[1] / before[1])

    def test(correct: Mapping[Key, np.ndarray]) -> tuple[Finding, str]:
        gain = np.subtract(correct[last], correct[before], dtype=np.int8)
        more = (
            f"{doublings:.1f} doublings of compute; the largest must gain, and has saturated if"
            f" it gains less than {100 * GAIN:g} points"
        )
        return still_rises(f"{last[0]} over {before[0]}", gain, GAIN), more

    return judge("CA3", cells, [before, last], test, _label, command, larger)


def _hybrids(
    cells: Cells,
    vits: list[Key],
    hybrids: list[Key],
    command: Command,
    run: str,
    others: str,
) -> Claim:
    weights = {key: found for key in hybrids if (found := matched(key, vits))}
    if len({compute for _, compute in weights}) < 2:
        why = "Needs two sizes of hybrid within the ViTs' range of compute."
        return not_run("HY1", why, run, _data(cells))
    small, *_, large = weights

    def lead(correct: Mapping[Key, np.ndarray], key: Key) -> np.ndarray:
        vit = sum(weight * correct[other] for other, weight in weights[key].items())
        return np.asarray(correct[key] - vit)

    names = (
        f"{small[0]} over ViT at its compute",
        f"how much of that lead is gone with {large[0]}",
        f"how far the lead of {large[0]} stays below {100 * VANISHED:g} points",
    )

    def test(correct: Mapping[Key, np.ndarray]) -> tuple[Finding, str]:
        finding = lead_vanishes(names, lead(correct, small), lead(correct, large), VANISHED)
        return finding, (
            "the small hybrid must lead, the large one by less, and by next to nothing; a ViT of"
            " equal compute is linear in log compute between two sizes"
        )

    needed = list(dict.fromkeys(k for h in (small, large) for k in (h, *weights[h])))
    return judge("HY1", cells, needed, test, _label, command, others)


def matched(key: Key, vits: list[Key]) -> dict[Key, float]:
    """The ViTs whose weighted mean stands for a ViT of a hybrid's compute; empty beyond their
    range.

    Args:
        vits: by rising compute.
    """
    if not vits or not vits[0][1] / _MATCHED <= key[1] <= vits[-1][1] * _MATCHED:
        return {}
    below = [vit for vit in vits if vit[1] <= key[1]]
    above = [vit for vit in vits if vit[1] > key[1]]
    if not below or not above:
        return {(below or above[:1])[-1]: 1.0}
    left, right = below[-1], above[0]
    share = float(np.log(key[1] / left[1]) / np.log(right[1] / left[1]))
    return {left: 1 - share, right: share} if share else {left: 1.0}


def _label(key: Key) -> str:
    return key[0]


def _data(cells: Cells) -> str:
    return next(iter(cells.values())).spec.data.name
