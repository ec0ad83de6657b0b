"""From cells to a claim: the seeds that all share, what stands against a verdict, the words."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from vitexp.analysis.decide import LOOKS, Outlook, look
from vitexp.analysis.findings import Finding, Standing
from vitexp.analysis.groups import Group, common_seeds
from vitexp.catalog import paper
from vitexp.reporting.more_images import folds_words
from vitexp.reporting.report import Claim
from vitexp.reporting.words import points, sentence, span

K = TypeVar("K", bound=Hashable)
Test = Callable[[Mapping[K, np.ndarray]], tuple[Finding, str]]
"""From the correctness of each cell at the look, (seeds, test images), to the finding and what
else is worth saying."""


def judge(
    name: str,
    cells: Mapping[K, Group],
    needed: Sequence[K],
    test: Test[K],
    label: Callable[[K], str],
    command: Callable[[int, int], str],
    otherwise: str = "",
    seen: Callable[[Group, list[int]], np.ndarray] | None = None,
) -> Claim:
    """The claim ``name`` tested on the seeds that the cells ``needed`` share, up to the look.

    Args:
        label: what to call a cell.
        command: (first seed, seeds) -> the command that runs so many seeds.
        otherwise: what would settle an open question that seeds alone do not, as a sentence.
        seen: what is tested of a cell in place of its correctness, from these seeds.
    """
    said = paper.claims()[name]
    dataset = next((group.spec.data.name for group in cells.values()), "")
    obstacle = _obstacle(cells, needed, label)
    if obstacle is not None:
        standing, why, seeds_short = obstacle
        first = min((min(cells[key].seeds) for key in needed if key in cells), default=0)
        settle = f"Run {command(first, LOOKS[0])}." if seeds_short else _slower(cells, command)
        words = sentence(why)
        return Claim(name, said.sentence, said.source, standing, words, settle, dataset=dataset)
    seeds = _seeds(cells, needed)
    read = seen or Group.correct
    finding, more = test({key: read(cells[key], seeds) for key in needed})
    if seen is None:
        finding = finding.possible
    runs = (record for key in needed for record in cells[key].records)
    return Claim(
        name,
        said.sentence,
        said.source,
        finding.standing,
        sentence(f"{effect_words(finding)}, n {len(seeds)}; {more}"),
        _settle(finding, lambda n: command(min(seeds), n), otherwise, cells),
        tuple(run for record in runs if record.spec.seed in seeds for run in record.runs),
        effect=100 * finding.estimate.value,
        low=100 * finding.low,
        high=100 * finding.high,
        n=len(seeds),
        dataset=dataset,
    )


def not_run(name: str, why: str, settle: str = "", dataset: str = "") -> Claim:
    """The claim ``name`` without the runs that it needs."""
    said = paper.claims()[name]
    return Claim(name, said.sentence, said.source, "NOT RUN", why, settle, dataset=dataset)


def to_type(outlook: Outlook, command: Callable[[int], str]) -> str:
    """The command that would settle an open question, as the end of a sentence."""
    if not outlook.possible or outlook.first is None:
        return ""
    return f": {command(outlook.first)}"


def _settle(
    finding: Finding, command: Callable[[int], str], otherwise: str, cells: Mapping[K, Group]
) -> str:
    outlook, folds = finding.outlook, ""
    seeds = "" if outlook is None else sentence(f"{outlook}{to_type(outlook, command)}")
    if outlook is not None and not outlook.possible:
        folds = folds_words(cells.values(), command(finding.estimate.n))
    settled = outlook is not None and outlook.possible and outlook.first is not None
    open_still = finding.standing == "INCONCLUSIVE" and not settled
    return " ".join(filter(None, (seeds, folds, otherwise if open_still else "")))


def _slower(cells: Mapping[K, Group], command: Callable[[int, int], str]) -> str:
    """What to run instead of a setting in which a run diverged."""
    group = next(group for group in cells.values() if group.diverged)
    again = command(min(group.seeds), len(group.records)).rstrip("`")
    return f"At a lower rate none may: {again} --lr {group.spec.recipe.lr / 3:.2g}`."


def _obstacle(
    cells: Mapping[K, Group], needed: Sequence[K], label: Callable[[K], str]
) -> tuple[Standing, str, bool] | None:
    """The standing that it leads to, why, and whether more seeds would remove it."""
    missing = [label(key) for key in needed if key not in cells]
    if missing:
        return "NOT RUN", f"without runs: {', '.join(missing)}", True
    seeds = _seeds(cells, needed)
    if not seeds:
        return "NOT RUN", f"needs {LOOKS[0]} seeds that all its cells share", True
    lost = [label(key) for key in needed if not cells[key].finite(seeds)]
    if lost:
        return "INCONCLUSIVE", f"a run of the look diverged: {', '.join(lost)}", False
    return None


def _seeds(cells: Mapping[K, Group], needed: Sequence[K]) -> list[int]:
    shared = common_seeds(cells[key] for key in needed)
    return shared[: look(len(shared)) or 0]


def effect_words(finding: Finding) -> str:
    """The difference that decided, with the interval that it was decided by."""
    interval = f"{100 * (1 - 2 * finding.alpha):g} % interval {span(finding.low, finding.high)}"
    return f"{finding.key}: {points(finding.estimate.value)}, {interval}"
