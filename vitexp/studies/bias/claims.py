"""What the paper and others say about inductive bias, tested on one grid.

n seeds, N test images.
"""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from vitexp.analysis.findings import Finding, all_exceed
from vitexp.analysis.groups import Group
from vitexp.analysis.two_way import Estimate, estimate
from vitexp.experiment.fractions import Cells, Key, Pair, cell_label, fraction_label
from vitexp.reporting.judge import Test, judge, not_run
from vitexp.reporting.report import Claim
from vitexp.reporting.words import FAMILIES, percent

LOCAL, GLOBAL = 0.5, 0.9
"""A head looks locally, or globally, whose distance is at most, or at least, this share of that of
equal attention to all. Set beforehand."""


def claims(cells: Cells) -> tuple[Claim, ...]:
    """IB1 and IB2 (invariance to shifts), IB3 and IB4 (heads), IB5 (positions)."""
    resnet, hybrid = _pair(cells, "resnet"), _pair(cells, "hybrid")
    vit = next((model for model in cells.models if cells.family(model) == "vit"), None)
    return (
        _without("IB1", cells, "resnet") if resnet is None else _leads(cells, resnet),
        _without("IB2", cells, "resnet") if resnet is None else _closes(cells, resnet),
        _without("IB3", cells, "") if vit is None else _both_kinds(cells, vit),
        _without("IB4", cells, "hybrid") if hybrid is None else _less_local(cells, hybrid),
        _without("IB5", cells, "") if vit is None else _plane(cells, vit),
    )


def _pair(cells: Cells, family: str) -> Pair | None:
    """A ViT and a model of another family of about equal MACs."""
    pairs = (pair for pair in cells.pairs if cells.family(pair.b) == family and pair.matched)
    return next(pairs, None)


def _without(name: str, cells: Cells, family: str) -> Claim:
    what = f"a ViT and a {FAMILIES[family]} of about equal MACs" if family else "a ViT"
    command = f"vitexp {cells.grid.command} --dataset {shlex.quote(cells.grid.spec.data.source)}"
    return not_run(name, f"Needs {what}.", f"Run `{command}`.", cells.data)


def _numbers(name: str) -> Callable[[Group, list[int]], np.ndarray]:
    """What was measured of each image: (n, N)."""
    return lambda group, seeds: np.stack([m.numbers(name) for m in group.measurements(seeds)])


def _judge(
    name: str,
    cells: Cells,
    needed: Sequence[Key],
    seen: Callable[[Group, list[int]], np.ndarray],
    test: Test[Key],
) -> Claim:
    return judge(name, cells.groups, needed, test, cell_label, cells.grid.more, seen=seen)


def _leads(cells: Cells, pair: Pair) -> Claim:
    """IB1: the share of shifts after which the class is the same is higher for the ResNet."""
    least = cells.fractions[0]
    needed = [(pair.b, least), (pair.a, least)]

    def test(seen: Mapping[Key, np.ndarray]) -> tuple[Finding, str]:
        lead = estimate(seen[needed[0]] - seen[needed[1]])
        finding = all_exceed({f"{pair.b} over {pair.a} at {fraction_label(least)}": lead}, 0.0)
        return finding, f"same class after a shift; it must be ahead; {_accuracies(cells, needed)}"

    return _judge("IB1", cells, needed, _numbers("shift"), test)


def _closes(cells: Cells, pair: Pair) -> Claim:
    """IB2: that lead is smaller with all data."""
    least, most = cells.fractions[0], cells.fractions[-1]
    needed = [(model, share) for share in (least, most) for model in (pair.b, pair.a)]

    def test(seen: Mapping[Key, np.ndarray]) -> tuple[Finding, str]:
        few, all_ = (seen[needed[at]] - seen[needed[at + 1]] for at in (0, 2))
        gone = {f"how much of the lead at {fraction_label(least)} is gone": estimate(few - all_)}
        was, left = (100 * float(lead.mean()) for lead in (few, all_))
        return all_exceed(gone, 0.0), (
            f"of {was:.1f} points {left:.1f} are left at {fraction_label(most)};"
            f" {_accuracies(cells, needed)}"
        )

    return _judge("IB2", cells, needed, _numbers("shift"), test)


def _accuracies(cells: Cells, needed: Sequence[Key]) -> str:
    """Top-1 without a shift, beside which invariance has to be read."""
    tops = [(key, cells.groups[key].metric("test_top1").mean) for key in needed]
    known = (f"{cell_label(key)} {percent(mean)} %" for key, mean in tops if mean is not None)
    return f"top-1 unshifted: {', '.join(known)}"


def _both_kinds(cells: Cells, vit: str) -> Claim:
    """IB3: in the lowest layers a head is local and another is global."""
    key = (vit, cells.fractions[-1])

    def seen(group: Group, seeds: list[int]) -> np.ndarray:
        return np.stack([_numbers(name)(group, seeds) for name in ("near", "far")])

    def test(found: Mapping[Key, np.ndarray]) -> tuple[Finding, str]:
        near, far = found[key]
        both = {
            f"how far the nearest head of {cell_label(key)} stays below {LOCAL:g}": LOCAL - near,
            f"how far the farthest head of {cell_label(key)} is beyond {GLOBAL:g}": far - GLOBAL,
        }
        finding = all_exceed({name: estimate(d) for name, d in both.items()}, 0.0)
        return finding, (
            f"lowest quarter of layers, distances over that of equal attention to all (in points"
            f" of it); nearest {near.mean():.2f}, farthest {far.mean():.2f}"
        )

    return _judge("IB3", cells, [key], seen, test)


def _less_local(cells: Cells, pair: Pair) -> Claim:
    """IB4: the nearest head of the lowest layers looks farther in the hybrid."""
    most = cells.fractions[-1]
    needed = [(pair.b, most), (pair.a, most)]

    def test(seen: Mapping[Key, np.ndarray]) -> tuple[Finding, str]:
        hybrid, vit = (seen[key] for key in needed)
        farther = {f"{pair.b} over {pair.a} at {fraction_label(most)}": estimate(hybrid - vit)}
        return all_exceed(farther, 0.0), (
            "nearest head of the lowest quarter of layers, over equal attention to all (in points"
            f" of that): {hybrid.mean():.2f} and {vit.mean():.2f}"
        )

    return _judge("IB4", cells, needed, _numbers("near"), test)


def _plane(cells: Cells, vit: str) -> Claim:
    """IB5: over seeds similarity falls with rows and with columns, and in each table more so than
    in a random order of its positions."""
    key = (vit, cells.fractions[-1])
    if not cells.groups[key].measured("plane_p"):
        return not_run("IB5", "Needs positional embeddings that are added.", "", cells.data)

    def seen(group: Group, seeds: list[int]) -> np.ndarray:
        names = ("plane_rows", "plane_columns", "plane_p")
        return np.array([[m.values[name] for m in group.measurements(seeds)] for name in names])

    def test(found: Mapping[Key, np.ndarray]) -> tuple[Finding, str]:
        rows, columns, p = found[key]
        images = cells.groups[key].images
        both = {
            f"correlation with nearness in {name}": _over_seeds(values, images)
            for name, values in (("rows", rows), ("columns", columns))
        }
        finding = all_exceed(both, 0.0)
        if finding.standing == "SUPPORTED" and p.max() > finding.alpha:
            finding = dataclasses.replace(finding, standing="INCONCLUSIVE")
        return finding, (
            f"correlations times 100, of {cell_label(key)}; permutation test of the grid: the"
            f" largest p of a seed is {p.max():.2g} and must be at most {finding.alpha:g}"
        )

    return _judge("IB5", cells, [key], seen, test)


def _over_seeds(values: np.ndarray, images: int) -> Estimate:
    """Of a number a seed, (n,), that no image has a part in."""
    return estimate(np.repeat(values[:, None], images, axis=1))
