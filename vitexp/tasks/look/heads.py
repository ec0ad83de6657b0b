"""What is measured of each head of each layer, over images and over seeds.

L layers, H heads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np

from vitexp.catalog.sizes import called
from vitexp.errors import VitexpError
from vitexp.reporting.described import NOTHING, differing, facts, position_words
from vitexp.reporting.report import HeadsFigure, HeadsPanel, Report, Value
from vitexp.spec import RunSpec
from vitexp.tasks.look.images import Wanted
from vitexp.tasks.look.opened import Looked

if TYPE_CHECKING:
    import torch

IMAGES = 128
"""As many as the paper takes."""


@dataclass(frozen=True)
class Measure:
    """A number a head.

    Attributes:
        kind: what the files are named after.
        column: that has it in the CSV.
        title, y_axis: of the figure.
        told: what is measured, in sentences.
        heads: (model, images, precision) -> it, float64, (B, L, H), see
            :mod:`vitexp.evaluation.attention`.
        uniform: (model, side of its images) -> that of a head that attends to all alike.
    """

    kind: str
    column: str
    title: str
    y_axis: str
    told: str
    heads: Callable[[Any, Any, Any], Any]
    uniform: Callable[[Any, int], float]


def measured(
    measure: Measure,
    several: Sequence[Looked],
    wanted: Wanted,
    device: torch.device,
    remark: Callable[[str], None],
) -> Report:
    """A measure's mean over images, of each head of each layer; runs that differ in their seeds
    alone, or in their folds, are one panel.

    Raises:
        VitexpError: the images are not to be had.
    """
    groups: dict[str, list[Looked]] = {}
    for looked in several:
        of = looked.of
        key = of.seeded(0).folds[0].id if isinstance(of, RunSpec) else of.id
        groups.setdefault(key, []).append(looked)
    names = _names([group[0] for group in groups.values()])
    panels, rows, told = [], list[dict[str, Value]](), list[str]()
    for name, group in zip(names, groups.values(), strict=True):
        found = []
        for looked in group:
            heads, images, uniform, what = _of(measure, looked, wanted, device)
            found.append(heads)
            rows += _rows(measure, looked, name, heads, images)
            told.append(what)
            if wanted.indices is None and images < IMAGES:
                remark(f"{looked.name}: {images} images, where the paper takes {IMAGES}.")
        panels.append(_panel(name, found, uniform))
    counts = sorted({len(group) for group in groups.values()})
    bar = " A bar reaches from the lowest to the highest run." if counts[-1] > 1 else ""
    number = f"{' or '.join(map(str, counts))} runs a panel; " if counts[-1] > 1 else ""
    figure = HeadsFigure(
        measure.title,
        measure.y_axis,
        tuple(panels),
        (
            "A mark a head, in rising order; line: their mean; dotted: equal attention to all."
            f" {measure.told}{bar}",
            several[0].facts if len(several) == 1 else "",
            f"{number}{'; '.join(dict.fromkeys(told))}.",
        ),
    )
    stem = f"{measure.kind}-{several[0].stem}" if len(several) == 1 else measure.kind
    return Report(stem, figure.title, (), (), _columns(measure), tuple(rows), (figure,), (), ())


def _columns(measure: Measure) -> tuple[str, ...]:
    return ("run", "name", "seed", "layer", "head", "rank", measure.column, "images")


def _of(
    measure: Measure, looked: Looked, wanted: Wanted, device: torch.device
) -> tuple[np.ndarray, int, float, str]:
    """Means, (L, H); of how many images; that of uniform attention; which images."""
    import torch

    from vitexp.evaluation.attention import at_once
    from vitexp.models.inputs import sent
    from vitexp.training.execution import DTYPES

    model = looked.model().to(device)
    source, batches = wanted.of(looked, at_once(model))
    sums, images = torch.zeros(()), 0
    for names, pixels in batches:
        found = measure.heads(model, sent(pixels, device), DTYPES[looked.of.precision])
        sums, images = sums + found.sum(dim=0), images + len(names)
    if not images:
        raise VitexpError("None of these images can be read.", "Give images.")
    uniform = measure.uniform(model, looked.spec.image_size)
    return (sums / images).numpy(), images, uniform, f"{images:,} {source}"


def _panel(name: str, runs: Sequence[np.ndarray], uniform: float) -> HeadsPanel:
    """Heads of other runs are others: the lowest of a layer stands beside the lowest."""
    ranked = np.sort(np.stack(runs), axis=2)
    spread = (ranked.min(axis=0), ranked.max(axis=0)) if len(runs) > 1 else None
    return HeadsPanel(name, ranked.mean(axis=0), spread, uniform)


def _rows(
    measure: Measure, looked: Looked, name: str, heads: np.ndarray, images: int
) -> list[dict[str, Value]]:
    seed = looked.of.seed if isinstance(looked.of, RunSpec) else None
    ranks = heads.argsort(axis=1).argsort(axis=1)
    return [
        {
            "run": looked.name,
            "name": name,
            "seed": seed,
            "layer": layer + 1,
            "head": head + 1,
            "rank": int(ranks[layer, head]) + 1,
            measure.column: round(float(value), 4),
            "images": images,
        }
        for (layer, head), value in np.ndenumerate(heads)
    ]


def _names(several: Sequence[Looked]) -> list[str]:
    """What they have another of than some other, and their model and its position."""
    known = [
        facts(each.of)
        if isinstance(each.of, RunSpec)
        else NOTHING
        | {
            "data": PurePath(each.name).name,
            "model": called(each.spec),
            "position": position_words(each.spec),
        }
        for each in several
    ]
    told = {"model", "position", *differing(known)}
    return [" ".join(text for name, text in own.items() if name in told and text) for own in known]
