"""Claim SH4 (appendix D.2): compute predicts accuracy better than the number of parameters."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from vitexp.analysis.decide import LOOK_ALPHA, LOOKS, look
from vitexp.analysis.groups import Group, common_seeds
from vitexp.analysis.predictors import LEAST_MODELS, Predictors, first_is_better, predictors
from vitexp.catalog import paper
from vitexp.experiment.sweep import Cells, Key
from vitexp.reporting.judge import not_run
from vitexp.reporting.report import Claim
from vitexp.reporting.words import asked_again, percent, points, sentence, span

CLAIM = "SH4"


def compute_or_parameters(cells: Cells, base: Key, more: Callable[[Cells, int, int], str]) -> Claim:
    """Top-1 on log MACs against top-1 on log parameters, over all shapes, on the seeds that they
    share, up to the look; shapes, not seeds, are the replicates.

    Args:
        more: (cells, first seed, seeds) -> the command that runs so many seeds.
    """
    spec = cells[base].spec
    able = [g for g in cells.values() if look(len(g.done)) and not g.diverged and _sized(g)]
    shared = common_seeds(able) if able else []
    seeds = shared[: look(len(shared)) or 0]
    run = f"Run {more(cells, min(cells[base].seeds), LOOKS[0])}."
    if not seeds:
        return not_run(CLAIM, f"Needs {LOOKS[0]} seeds of each shape.", run, spec.data.name)
    accuracy = np.array([group.correct(seeds).mean() for group in able])
    compute, parameters = np.array([_sized(group) for group in able]).T
    found = predictors(compute, parameters, accuracy)
    if found is None:
        why = f"Needs {LEAST_MODELS} shapes whose compute and parameters differ."
        return not_run(CLAIM, why, run, spec.data.name)
    said, standing = paper.claims()[CLAIM], first_is_better(found)
    low, high = found.interval(LOOK_ALPHA)
    return Claim(
        CLAIM,
        said.sentence,
        said.source,
        standing,
        _evidence(found, len(able), len(seeds)),
        _other_shapes(cells, base, len(seeds)) if standing == "INCONCLUSIVE" else "",
        tuple(r.id for group in able for r in group.records if r.spec.seed in seeds),
        effect=100 * found.advantage,
        low=100 * low,
        high=100 * high,
        n=len(able),
        dataset=spec.data.name,
    )


def _sized(group: Group) -> tuple[float, float] | None:
    metrics = group.records[0].metrics
    sizes = (metrics.get("macs"), metrics.get("params"))
    return sizes if all(sizes) else None  # type: ignore[return-value]


def _evidence(found: Predictors, shapes: int, seeds: int) -> str:
    compute, parameters = (f"{percent(share, 0)} %" for share in found.explained)
    interval = f"{100 * (1 - 2 * LOOK_ALPHA):g} % interval {span(*found.interval(LOOK_ALPHA))}"
    flat = "" if found.rises(LOOK_ALPHA) else "; top-1 does not clearly rise with size"
    return sentence(
        f"log compute explains {compute} of the variance of top-1, log parameters {parameters};"
        f" a standard deviation more of compute gains {points(found.advantage)} points more than"
        f" one of parameters, {interval}, {shapes} shapes as replicates, {seeds} seeds each{flat};"
        " depth against width is SH1 and SH2"
    )


def _other_shapes(cells: Cells, base: Key, seeds: int) -> str:
    """Shapes in which compute and parameters go different ways, which the grid lacks."""
    spec = cells[base].spec
    vit, side = spec.model.transformer, spec.model.image_size
    known = {
        (own.patch, own.width, own.depth, own.mlp)
        for own in (group.spec.model.transformer for group in cells.values())
    }
    new = [
        (patch, width, mlp)
        for patch, width, mlp in (
            (vit.patch // 2, vit.width // 2, vit.mlp // 2),
            (vit.patch * 2, vit.width * 2, vit.mlp * 2),
        )
        if patch and side % patch == 0 and width % vit.heads == 0
        if (patch, width, vit.depth, mlp) not in known
    ]
    typed = (
        f"`vitexp train {asked_again(spec)} --patch {patch} --width {width} --mlp {mlp}"
        f" --seeds {seeds}`"
        for patch, width, mlp in new
    )
    return sentence(f"more shapes may settle it: {' and '.join(typed)}") if new else ""
