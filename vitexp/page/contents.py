"""What a page shows, gathered from a results folder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vitexp.experiment.ledger import gathered, placed
from vitexp.experiment.plan import Grid
from vitexp.experiment.study import Study
from vitexp.page.answer import Answer
from vitexp.page.data import data
from vitexp.reporting.report import Claim
from vitexp.runs.record import Results
from vitexp.runs.store import Store
from vitexp.tasks.listed import Listed


@dataclass(frozen=True)
class Contents:
    """What a page shows.

    Attributes:
        title: at its head.
        answers: of all studies.
        claims: the ledger.
        runs: all of them, the latest last.
        data: what its script needs, see :func:`vitexp.page.data.data`.
        reload: after how many seconds it looks for a newer version of itself; None: never.
    """

    title: str
    answers: Sequence[Answer]
    claims: Sequence[Claim]
    runs: Sequence[Listed]
    data: str
    reload: int | None = None


def contents(
    out: Path,
    answers: Sequence[Answer],
    studies: Iterable[Study],
    runs: Sequence[Listed],
    done: Results,
    reload: int | None = None,
) -> Contents:
    """The page of the results below ``out``.

    Args:
        studies: all that there are, whether they have answers or not.
        done: what of ``runs`` has a result.
        reload: as of :class:`Contents`.
    """
    grids: dict[str, list[Grid]] = {}
    for answer in answers:
        grids.setdefault(answer.study, []).append(answer.grid)
    said = (
        claim
        for answer in answers
        for claim in placed(answer.report.claims, answer.grid, grids[answer.study])
    )
    return Contents(
        title=out.resolve().name or "Results",
        answers=answers,
        claims=gathered(said, studies),
        runs=runs,
        data=data(answers, runs, Store(out), done),
        reload=reload,
    )
