"""The paper's claims on data size (section 4.3), tested on one grid."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping

import numpy as np

from vitexp.analysis.along_data import families_cross, gains_differ
from vitexp.analysis.decide import LOOKS
from vitexp.analysis.findings import Finding, all_exceed, some_equivalent
from vitexp.analysis.two_way import estimate
from vitexp.experiment.fractions import Cells, Key, Pair, cell_label, fraction_label
from vitexp.reporting.judge import judge, not_run
from vitexp.reporting.report import Claim
from vitexp.settings.flags import said
from vitexp.studies.data_size.report import compute_limited

Differences = Callable[[np.ndarray, list[str], Pair], tuple[Finding, str]]
"""From a - b, (F, n, N), and what the fractions are called."""

SIMILAR = 0.012
"""Within what difference two sizes count as similar (a share): that of B/16 and L/16, the larger
of the two that the paper calls so (Table 5)."""


def claims(cells: Cells) -> tuple[Claim, ...]:
    """DS1 to DS3 (larger models need more data), DS4 and DS5 (ResNet and ViT cross)."""
    sizes, families = _sizes(cells), _families(cells)
    return (
        _claim("DS1", cells, sizes, _larger_is_worse_with_little),
        _claim("DS2", cells, sizes, _similar_in_between),
        _claim("DS3", cells, sizes, _larger_is_better_with_all),
        _claim("DS4", cells, families, _cross),
        _claim("DS5", cells, families, _plateaus_sooner),
    )


def _sizes(cells: Cells) -> Pair | None:
    """The largest ViT and the one before it."""
    pairs = [pair for pair in cells.pairs if cells.family(pair.b) == "vit"]
    return pairs[-1] if pairs else None


def _families(cells: Cells) -> Pair | None:
    """A ViT and a ResNet of about equal MACs."""
    pairs = (pair for pair in cells.pairs if cells.family(pair.b) == "resnet" and pair.matched)
    return next(pairs, None)


def _claim(name: str, cells: Cells, pair: Pair | None, test: Differences) -> Claim:
    if pair is None:
        return _without(name, cells)
    if name == "DS2" and len(cells.fractions) < 3:
        return not_run(name, "Needs an amount of data between the others.", _run(cells), cells.data)
    keys, names = cells.keys(pair), [fraction_label(f) for f in cells.fractions]

    def tested(correct: Mapping[Key, np.ndarray]) -> tuple[Finding, str]:
        a, b = (np.stack([correct[key] for key in keys[part::2]]) for part in (0, 1))
        finding, more = test(np.subtract(a, b, dtype=np.int8), names, pair)
        return finding, f"{more}{_limited(cells, keys)}"

    needed = [(model, fraction) for fraction in cells.fractions for model in (pair.a, pair.b)]
    longer = _longer(cells) if name in ("DS4", "DS5") else ""
    return judge(name, cells.groups, needed, tested, cell_label, cells.grid.more, longer)


def _without(name: str, cells: Cells) -> Claim:
    what = "a ViT and a ResNet of about equal MACs" if name in ("DS4", "DS5") else "two ViTs"
    return not_run(name, f"Needs {what}.", _run(cells), cells.data)


def _run(cells: Cells) -> str:
    """The study's own models and fractions."""
    return f"Run `vitexp scale --dataset {shlex.quote(cells.grid.spec.data.source)}`."


def _longer(cells: Cells) -> str:
    """Three times the steps or epochs, which is another question."""
    given, _ = said(cells.grid.flags)
    epochs, steps = given.get("epochs"), 3 * cells.grid.spec.recipe.steps
    length = f"--epochs {3 * epochs:g}" if epochs else f"--steps {steps}"
    again = cells.grid.more(min(next(iter(cells.groups.values())).seeds), LOOKS[0]).rstrip("`")
    return f"Longer training may, and is another question: {again} {length}`."


def _limited(cells: Cells, keys: list[Key]) -> str:
    limited = [cell_label(key) for key in keys if compute_limited(cells.groups[key])]
    return (
        f"; compute-limited, so more steps may change it: {', '.join(limited)}" if limited else ""
    )


def _larger_is_worse_with_little(
    d: np.ndarray, names: list[str], pair: Pair
) -> tuple[Finding, str]:
    behind = {f"{pair.b} over {pair.a} at {names[0]}": estimate(-d[0])}
    return all_exceed(behind, 0.0), "the smaller must be ahead with the least data"


def _similar_in_between(d: np.ndarray, names: list[str], pair: Pair) -> tuple[Finding, str]:
    between = dict(zip(names, map(estimate, d), strict=True))
    del between[names[0]], between[names[-1]]
    labelled = {f"{pair.a} over {pair.b} at {name}": one for name, one in between.items()}
    finding = some_equivalent(labelled, SIMILAR)
    return finding, f"at some amount in between it must lie within ±{100 * SIMILAR:g} points"


def _larger_is_better_with_all(d: np.ndarray, names: list[str], pair: Pair) -> tuple[Finding, str]:
    ahead = {
        f"{pair.a} over {pair.b} at {names[-1]}": estimate(d[-1]),
        f"growth of that from {names[0]}": gains_differ(d),
    }
    return all_exceed(ahead, 0.0), "the larger must be ahead with all data, and by more than before"


def _cross(d: np.ndarray, names: list[str], pair: Pair) -> tuple[Finding, str]:
    finding = families_cross(d, [f"{pair.label} at {name}" for name in names])
    return finding, "it must be behind with less data and ahead with more"


def _plateaus_sooner(d: np.ndarray, names: list[str], pair: Pair) -> tuple[Finding, str]:
    both = {
        f"{pair.b} over {pair.a} at {names[0]}": estimate(-d[0]),
        f"what {pair.a} gains more from {names[0]} to {names[-1]}": gains_differ(d),
    }
    return all_exceed(both, 0.0), "the ResNet must be ahead with the least data and gain less"
