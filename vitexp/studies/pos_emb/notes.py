"""What stands above and below the table of the positional ablation."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from vitexp.analysis.decide import LOOKS, Outlook
from vitexp.analysis.groups import finite_seeds, stacked
from vitexp.analysis.seeds import correlations
from vitexp.analysis.two_way import resolution
from vitexp.experiment.plan import Grid
from vitexp.reporting.judge import to_type
from vitexp.reporting.more_images import too_few_words
from vitexp.reporting.values import collapsed_words, deciding_words
from vitexp.reporting.words import (
    data_words,
    decimals,
    kind_label,
    model_words,
    percent,
    recipe_words,
)
from vitexp.studies.pos_emb.cells import NONE, Cells, cell_label
from vitexp.studies.pos_emb.report import Comparisons

READING = (
    "A cell: mean ± half-width of the 95 % t interval over its n seeds (this test set); then"
    " the difference to none in points, over seeds and test images. 5-shot:"
    " a linear probe of the trained features from 5 images a class, as the paper measures; mean"
    " over 3 draws of the images, ± as above. Here the features were trained on these classes; the"
    " paper's were trained on others."
)
PAPER = (
    "Paper: Table 8, 5-shot linear ImageNet top-1 of ViT-B/16 (difference to its none), for"
    " context; it gives one number for relative and does not say where its tables live, so no"
    " relative cell is matched with it."
)


def facts(cells: Cells) -> tuple[tuple[str, str], ...]:
    """Data, model, recipe and initial sizes behind a grid."""
    key, first = next(iter(cells.items()))
    stds = {kind_label(kind): group.spec.position.std for (kind, _), group in cells.items()}
    learned = [f"{label} {std:g}" for label, std in stds.items() if std]
    return (
        ("data", data_words(first.spec)),
        (
            "model",
            model_words(
                first.spec, first.records[0].metrics.get("params"), f" ({cell_label(key)})"
            ),
        ),
        ("recipe", recipe_words(first.spec)),
        ("initial std", ", ".join(learned) or "nothing learned"),
    )


def notes(grid: Grid, against_none: Comparisons) -> tuple[str, ...]:
    """How to read the table, and what it cannot show."""
    return (
        READING,
        *_verdicts(against_none),
        *_ranking({key: group for key, group in grid.items() if key != NONE}),
        *_correlation(grid),
        *_open(grid, against_none),
        *too_few_words(
            {cell_label(key): comparison for key, comparison in against_none.items()},
            grid.values(),
            grid.again,
        ),
        *_diverged(grid),
        *collapsed_words((cell_label(key), group) for key, group in grid.items()),
        PAPER,
    )


def _verdicts(against_none: Comparisons) -> tuple[str, ...]:
    none = f"No verdicts: the first look is at {LOOKS[0]} seeds, shared with none."
    return deciding_words(against_none.values()) or (none,)


def _ranking(cells: Cells) -> list[str]:
    """What this test set can and cannot rank."""
    able = {key: group for key, group in cells.items() if group.done}
    seeds = finite_seeds(able.values()) if len(able) > 1 else []
    if len(seeds) < 2:
        return ["Nothing can be ranked from fewer than two seeds of two cells."]
    correct = stacked(able.values(), seeds)
    can, places = resolution(correct), decimals(correct.shape[2])
    accuracy = correct.mean(axis=(1, 2))
    best, last = (list(able)[i] for i in (accuracy.argmax(), accuracy.argmin()))
    largest = float(accuracy.max() - accuracy.min())
    outcome = "it does not rank them" if largest <= can.now else "only such differences are ranked"
    return [
        f"What {correct.shape[2]} test images can rank: with {len(seeds)} seeds, two cells with"
        f" a position that differ by more than {percent(can.now, places)} points; with any number"
        f" of seeds, by more than {percent(can.at_best, places)}. The largest difference among"
        f" them here ({cell_label(best)} over {cell_label(last)}) is"
        f" {percent(largest, places)}: {outcome}."
    ]


def _correlation(cells: Cells) -> list[str]:
    """Of cells over the seeds that they share; printed, since no power is promised from it."""
    able = [group for group in cells.values() if group.done]
    seeds = finite_seeds(able) if len(able) > 1 else []
    if len(seeds) < 3:
        return []
    found = correlations(stacked(able, seeds).mean(axis=2))
    if not len(found):
        return []
    return [
        f"Correlation of two cells over the {len(seeds)} seeds that they share: median"
        f" {np.median(found):.2f} of {len(found)} pairs."
    ]


def _open(grid: Grid, against_none: Comparisons) -> list[str]:
    by_outlook: defaultdict[Outlook, list[str]] = defaultdict(list)
    for key, comparison in against_none.items():
        if comparison.decision is not None and comparison.decision.outlook is not None:
            by_outlook[comparison.decision.outlook].append(cell_label(key))
    first = min(next(iter(grid.values())).seeds)
    return [
        f"Undecided: {', '.join(labels)}. If the difference stays as it is,"
        f" {outlook}{to_type(outlook, lambda n: grid.more(first, n))}."
        for outlook, labels in by_outlook.items()
    ]


def _diverged(cells: Cells) -> list[str]:
    lost = [
        f"{cell_label(key)} seed {record.spec.seed} ({record.id})"
        for key, group in cells.items()
        for record in group.records
        if record.status == "diverged"
    ]
    if not lost:
        return []
    return [
        f"Diverged: {', '.join(lost)}. No mean includes them, and a cell whose look does gets no"
        " verdict; a lower learning rate may help."
    ]
