"""Claim SH4 (appendix D.2): compute predicts accuracy better than the number of parameters."""

from __future__ import annotations

import numpy as np

from vitexp.analysis.decide import LOOK_ALPHA, LOOKS, look
from vitexp.analysis.groups import Group, common_seeds
from vitexp.analysis.predictors import LEAST_MODELS, Predictors, first_is_better, predictors
from vitexp.catalog import paper
from vitexp.experiment.plan import Grid
from vitexp.experiment.sweep import Key
from vitexp.reporting.judge import not_run
from vitexp.reporting.report import Claim
from vitexp.reporting.words import percent, points, sentence, span

CLAIM = "SH4"
OTHERS = "Not seeds, other shapes may settle it: those around another --model."


def compute_or_parameters(cells: Grid, base: Key) -> Claim:
    """Top-1 on log MACs against top-1 on log parameters, over all shapes, on the seeds that they
    share, up to the look; shapes, not seeds, are the replicates."""
    spec = cells[base].spec
    able = [g for g in cells.values() if look(len(g.done)) and not g.diverged and _sized(g)]
    shared = common_seeds(able) if able else []
    seeds = shared[: look(len(shared)) or 0]
    run = f"Run {cells.more(min(cells[base].seeds), LOOKS[0])}."
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
        OTHERS if standing == "INCONCLUSIVE" else "",
        tuple(run for g in able for r in g.records if r.spec.seed in seeds for run in r.runs),
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
