"""What to do where the test images, not the seeds, are what is too few."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from vitexp.analysis.decide import LOOKS, Decision
from vitexp.analysis.groups import Comparison, Group
from vitexp.analysis.power import CHANCE, Power, variances_of

SMALL = 5_000
"""Images of a data set below which cross-validation is worth its runs."""

FOLDS = 5


def folds_words(groups: Iterable[Group], command: str) -> str:
    """What to type to test all images of a small data set, as a sentence; ``""`` where it is not
    small, is in folds already, or runs start from others or are measured beyond their top-1.

    Args:
        command: between backticks, which runs the groups.
    """
    several = list(groups)
    if not foldable(several):
        return ""
    data = several[0].spec.data
    folded = f"{command.rstrip('`')} --folds {FOLDS}`"
    return f"{folded} tests all {data.pool:,} images of {data.name}, each once a seed."


def foldable(groups: Sequence[Group]) -> bool:
    """Whether folds would test more images of a small data set than these runs were tested on."""
    data = groups[0].spec.data
    bound = any(group.spec.init or group.has_measurements for group in groups)
    return not (data.fold or data.pool >= SMALL or bound)


def too_few_words(
    compared: Mapping[str, Comparison], groups: Iterable[Group], command: str
) -> tuple[str, ...]:
    """A note on the differences that no number of seeds would decide on these test images, and how
    many would; none where there is no such difference.

    Args:
        compared: by what each is called.
        groups, command: as for :func:`folds_words`.
    """
    stuck = {
        label: each.decision
        for label, each in compared.items()
        if each.decision and each.decision.outlook and not each.decision.outlook.possible
    }
    if not stuck:
        return ()
    needs = "; ".join(f"{label}: {_needed(decision)}" for label, decision in stuck.items())
    return (
        f"Test images with which {LOOKS[-1]} seeds would find these differences with"
        f" {100 * CHANCE:.0f} % chance, if they stay as they are: {needs}."
        f" {folds_words(groups, command)}".rstrip(),
    )


def _needed(decision: Decision) -> str:
    found, effect = decision.estimate, abs(decision.estimate.value)
    images = Power(variances_of(found), decision.among).images(effect, LOOKS[-1])
    return "no number" if images is None else f"about {float(f'{images:.2g}'):,.0f}"
