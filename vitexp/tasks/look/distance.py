"""How far heads look, by layer (paper, section 4.5 and Figures 7 and 11).

L layers, H heads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

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

_COLUMNS = ("run", "name", "seed", "layer", "head", "rank", "distance", "images")


def distance(
    several: Sequence[Looked],
    wanted: Wanted,
    device: torch.device,
    remark: Callable[[str], None],
) -> Report:
    """The mean attention distance of each head of each layer, in pixels; runs that differ in their
    seeds alone are one panel.

    Raises:
        VitexpError: the images are not to be had.
    """
    groups: dict[str, list[Looked]] = {}
    for looked in several:
        of = looked.of
        groups.setdefault(of.seeded(0).id if isinstance(of, RunSpec) else of.id, []).append(looked)
    names = _names([group[0] for group in groups.values()])
    panels, rows, told = [], list[dict[str, Value]](), list[str]()
    for name, group in zip(names, groups.values(), strict=True):
        found = []
        for looked in group:
            heads, images, uniform, what = _measured(looked, wanted, device)
            found.append(heads)
            rows += _rows(looked, name, heads, images)
            told.append(what)
            if wanted.indices is None and images < IMAGES:
                remark(f"{looked.name}: {images} images, where the paper takes {IMAGES}.")
        panels.append(_panel(name, found, uniform))
    figure = HeadsFigure(
        "Mean attention distance of each head",
        "mean attention distance (pixels)",
        tuple(panels),
        (
            "A mark a head, the nearest first; line: their mean; dotted: equal attention to all."
            " Weights between patches alone, scaled to sum to 1 for each query."
            + (" A bar reaches from the lowest to the highest seed." if _seeds(groups) else ""),
            several[0].facts if len(several) == 1 else "",
            f"{_seeds(groups)}{'; '.join(dict.fromkeys(told))}.",
        ),
    )
    stem = f"distance-{several[0].stem}" if len(several) == 1 else "distance"
    return Report(stem, figure.title, (), (), _COLUMNS, tuple(rows), (figure,), (), ())


def _measured(
    looked: Looked, wanted: Wanted, device: torch.device
) -> tuple[np.ndarray, int, float, str]:
    """Mean distances (L, H); of how many images; that of uniform attention; which images."""
    import torch

    from vitexp.evaluation.attention import at_once, distances, uniform_distance
    from vitexp.models.inputs import sent
    from vitexp.training.execution import DTYPES

    model = looked.model().to(device)
    source, batches = wanted.of(looked, at_once(model))
    sums, images = torch.zeros(()), 0
    for names, pixels in batches:
        found = distances(model, sent(pixels, device), DTYPES[looked.of.precision])
        sums, images = sums + found.sum(dim=0), images + len(names)
    if not images:
        raise VitexpError("None of these images can be read.", "Give images.")
    uniform = uniform_distance(model, looked.spec.image_size)
    return (sums / images).numpy(), images, uniform, f"{images:,} {source}"


def _panel(name: str, seeds: Sequence[np.ndarray], uniform: float) -> HeadsPanel:
    """Heads of other seeds are others: the nearest of a layer stands beside the nearest."""
    ranked = np.sort(np.stack(seeds), axis=2)
    spread = (ranked.min(axis=0), ranked.max(axis=0)) if len(seeds) > 1 else None
    return HeadsPanel(name, ranked.mean(axis=0), spread, uniform)


def _rows(looked: Looked, name: str, heads: np.ndarray, images: int) -> list[dict[str, Value]]:
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
            "distance": round(float(far), 4),
            "images": images,
        }
        for (layer, head), far in np.ndenumerate(heads)
    ]


def _seeds(groups: dict[str, list[Looked]]) -> str:
    counts = sorted({len(group) for group in groups.values()})
    return f"{' or '.join(map(str, counts))} seeds; " if counts[-1] > 1 else ""


def _names(several: Sequence[Looked]) -> list[str]:
    """What they have another of than some other, or their model and its position."""
    known = [
        facts(each.of)
        if isinstance(each.of, RunSpec)
        else NOTHING
        | {
            "data": each.name,
            "model": called(each.spec),
            "position": position_words(each.spec),
        }
        for each in several
    ]
    told = {"model", "position", *differing(known)}
    return [" ".join(text for name, text in own.items() if name in told and text) for own in known]
