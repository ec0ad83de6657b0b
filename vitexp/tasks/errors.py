"""What a run gets wrong on its test images: which classes it takes for which, and the worst."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vitexp.reporting.report import (
    Figure,
    MatrixFigure,
    Pair,
    PairsFigure,
    Report,
    Tile,
    TilesFigure,
    Value,
)
from vitexp.reporting.words import percent
from vitexp.runs.predictions import reading
from vitexp.spec import RunSpec
from vitexp.tasks.predict import Score, Subject, own_images

MATRIX = 50
"""Classes up to which a matrix can be read."""
PAIRS, TILES = 25, 24
"""The commonest mistakes among more classes, and the worst images, that are drawn."""

_CONFUSION = ("run", "true", "predicted", "images", "of")
_WORST = ("run", "row", "source", "true", "predicted", "true_probability", "probability")


@dataclass(frozen=True)
class _Wrong:
    """A test image that is classified wrongly, by its row in the split."""

    row: int
    source: str
    true: int
    predicted: int
    true_probability: float
    probability: float


def errors(subject: Subject, predictions: Path) -> list[Report]:
    """Two reports on a run's mistakes, each with a figure: confusions, and the worst images (none
    where nothing is wrong).

    Args:
        predictions: of its test images, see :mod:`vitexp.runs.predictions`.
    """
    spec, classes = subject.of, subject.classes
    assert isinstance(spec, RunSpec)
    score, cells, worst = _counted(predictions, classes)
    facts = _facts(spec, score)
    stem = f"errors-{spec.id[:8]}"
    there = Counter[int]()
    for (true, _), count in cells.items():
        there[true] += count
    rows: tuple[dict[str, Value], ...] = tuple(
        dict(zip(_CONFUSION, (spec.id, classes[t], classes[p], n, there[t]), strict=True))
        for (t, p), n in sorted(cells.items())
    )
    confusion = _confusion(cells, there, classes, facts)
    reports = [Report(stem, confusion.title, (), (), _CONFUSION, rows, (confusion,), (), ())]
    if worst:
        reports.append(_worst(spec, stem, worst, classes, facts))
    return reports


def _counted(
    predictions: Path, classes: Sequence[str]
) -> tuple[Score, Counter[tuple[int, int]], list[_Wrong]]:
    """Top-1; images by true and predicted class; the wrong ones that give their class the least
    probability, the worst first."""
    score, cells, worst, start = Score(classes), Counter[tuple[int, int]](), list[_Wrong](), 0
    for batch in reading(predictions):
        score.add(batch)
        cells.update(zip(batch.labels.tolist(), batch.best.tolist(), strict=True))
        shares, best = batch.probabilities, batch.probability
        own = shares[np.arange(len(shares)), batch.labels]
        wrong = np.flatnonzero(~batch.correct)
        for at in wrong[np.argsort(own[wrong], kind="stable")][:TILES]:
            pair = int(batch.labels[at]), int(batch.best[at])
            found = (start + int(at), batch.sources[at], *pair, float(own[at]), float(best[at]))
            worst.append(_Wrong(*found))
        worst = sorted(worst, key=lambda each: each.true_probability)[:TILES]
        start += len(shares)
    return score, cells, worst


def _facts(spec: RunSpec, score: Score) -> str:
    """Which run this is of, and how good it is."""
    assert score.top1 is not None and score.interval is not None
    low, high = map(percent, score.interval)
    most = max(row["images"] for row in score.recalls()) / score.labelled
    return (
        f"Run {spec.id[:8]}: {spec.model.name}, {spec.recipe.steps:,} steps, seed {spec.seed};"
        f" {score.labelled:,} test images of {spec.data.name}."
        f" Top-1 {percent(score.top1)} % (95 % interval over images {low} to {high});"
        f" the most common class alone gives {percent(most)} %."
    )


def _confusion(
    cells: Counter[tuple[int, int]], there: Counter[int], classes: Sequence[str], facts: str
) -> MatrixFigure | PairsFigure:
    size = len(classes)
    if size <= MATRIX:
        counts = tuple(tuple(cells[true, p] for p in range(size)) for true in range(size))
        return MatrixFigure("Predicted against true class", tuple(classes), counts, (facts,))
    wrong = Counter({pair: n for pair, n in cells.items() if pair[0] != pair[1]})
    pairs = tuple(
        Pair(classes[t], classes[p], n, there[t]) for (t, p), n in wrong.most_common(PAIRS)
    )
    more = f" The commonest {len(pairs)} of {len(wrong):,} pairs; the CSV has all."
    return PairsFigure("Classes that are taken for others", pairs, (facts + more,))


def _worst(
    spec: RunSpec, stem: str, worst: Sequence[_Wrong], classes: Sequence[str], facts: str
) -> Report:
    test = own_images(spec).test.images
    tiles = tuple(
        Tile(
            test[w.row],
            (
                f"{classes[w.true]} ({_share(w.true_probability)})",
                f"→ {classes[w.predicted]} ({_share(w.probability)})",
            ),
        )
        for w in worst
    )
    told = "Below each: its class, then → the prediction, with their probabilities."
    figure: Figure = TilesFigure("Test images that are farthest off", tiles, (told, facts))
    rows: tuple[dict[str, Value], ...] = tuple(
        dict(
            zip(
                _WORST,
                (
                    spec.id,
                    w.row,
                    w.source,
                    classes[w.true],
                    classes[w.predicted],
                    w.true_probability,
                    w.probability,
                ),
                strict=True,
            )
        )
        for w in worst
    )
    return Report(f"{stem}-worst", figure.title, (), (), _WORST, rows, (figure,), (), ())


def _share(share: float) -> str:
    return "<1 %" if share < 0.005 else f"{100 * share:.0f} %"
