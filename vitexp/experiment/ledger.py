"""The ledger: each claim of the paper with the verdict that the finished runs give it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from vitexp.catalog import paper
from vitexp.experiment.plan import Grid
from vitexp.experiment.study import Study
from vitexp.reporting.described import common, differing, facts
from vitexp.reporting.report import Cell, Claim, GridTable, Report, Tone, Value
from vitexp.reporting.words import effect

COLUMNS = (
    *("id", "claim", "verdict", "effect", "low", "high", "n", "dataset", "grid", "runs", "next"),
)
_TONES: dict[str, Tone] = {"SUPPORTED": "good", "REFUTED": "bad", "NOT RUN": "muted"}


def ledger(answers: Iterable[tuple[Study, Sequence[Grid]]]) -> tuple[Claim, ...]:
    """One entry a claim and grid; a claim without a grid has one entry, NOT RUN."""
    several = tuple(answers)
    claims = (
        claim
        for study, grids in several
        for grid in grids
        for claim in placed(study.verdicts(grid), grid, grids)
    )
    return gathered(claims, (study for study, _ in several))


def gathered(claims: Iterable[Claim], studies: Iterable[Study]) -> tuple[Claim, ...]:
    """The ledger of what grids of these studies say."""
    found: dict[str, list[Claim]] = {name: [] for name in paper.claims()}
    for claim in claims:
        found.setdefault(claim.id, []).append(claim)
    commands = {name: study.command for study in studies for name in study.claim_ids}
    return tuple(
        claim
        for name, own in found.items()
        for claim in own or [_not_run(name, commands.get(name))]
    )


def placed(claims: Iterable[Claim], grid: Grid, grids: Iterable[Grid]) -> list[Claim]:
    """The claims of one of a study's grids, with what tells it from the others."""
    words = _told_apart(grid, grids)
    return [replace(claim, grid=words) for claim in claims]


def _told_apart(grid: Grid, grids: Iterable[Grid]) -> str:
    """``"30 steps, grid 120100f6"``; ``""`` for the only one on its data set."""
    name = grid.spec.data.name
    like = [_facts(each) for each in grids if each.spec.data.name == name]
    if len(like) == 1:
        return ""
    own = _facts(grid)
    told = (own[fact].removeprefix(name).strip() for fact in differing(like))
    return ", ".join([*filter(None, told), f"grid {grid.digest[:8]}"])


def _facts(grid: Grid) -> dict[str, str]:
    """What is the same in all its cells."""
    return common([facts(run) for group in grid.values() for run in group.spec.folds])


def _not_run(name: str, command: str | None) -> Claim:
    said = paper.claims()[name]
    settle = f"Run `vitexp {command}`." if command else ""
    why = "No finished runs." if command else "No study here tests it."
    return Claim(name, said.sentence, said.source, "NOT RUN", why, settle)


def as_rows(claims: Iterable[Claim]) -> list[dict[str, Value | list[str]]]:
    """The entries under their stable names; effects in points, of compute claims a ratio."""
    return [
        {
            "id": claim.id,
            "claim": claim.sentence,
            "verdict": claim.standing,
            "effect": _rounded(claim.effect),
            "low": _rounded(claim.low),
            "high": _rounded(claim.high),
            "n": claim.n,
            "dataset": claim.dataset,
            "grid": claim.grid,
            "runs": list(claim.runs),
            "next": claim.settle,
        }
        for claim in claims
    ]


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")


def report(claims: tuple[Claim, ...]) -> Report:
    """The ledger as a table, for every drawer."""
    counts = {word: sum(c.standing == word for c in claims) for word in (*_TONES, "INCONCLUSIVE")}
    rows = tuple((Cell(claim.id, (claim.source,)), _cells(claim)) for claim in claims)
    return Report(
        stem="claims",
        title="The paper's claims on these runs",
        facts=(("verdicts", ", ".join(f"{n} {word}" for word, n in counts.items() if n)),),
        tables=(
            GridTable(
                "Claims", "id", ("claim", "verdict", "effect", "data", "evidence and next"), rows
            ),
        ),
        columns=COLUMNS,
        rows=tuple(
            {k: " ".join(v) if isinstance(v, list) else v for k, v in row.items()}
            for row in as_rows(claims)
        ),
        figures=(),
        claims=(),
        notes=(
            "A verdict speaks of its data, recipe and compute. Alpha is 0.05 for each claim by"
            " itself, shared by the looks at 3, 5, 10 and 20 seeds; so of twenty claims that are"
            " wrongly put, about one may get a false verdict.",
            "Effects are in points of test top-1; of CA1 and CA2 a ratio of compute; of SH4"
            " points a standard deviation. The n of these three counts models, not seeds. Of IB1"
            " and IB2 they are points of images that keep their class, of IB3 and IB4 of the"
            " distance of equal attention to all, of IB5 correlations times 100.",
        ),
    )


def _cells(claim: Claim) -> tuple[Cell, ...]:
    return (
        Cell(claim.sentence),
        Cell(claim.standing, tone=_TONES.get(claim.standing, "plain")),
        Cell(effect(claim.effect, claim.low, claim.high)),
        Cell(claim.where),
        Cell(f"{claim.evidence} {claim.settle}".strip()),
    )
