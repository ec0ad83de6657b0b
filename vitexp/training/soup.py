"""Means of trained weights (Wortsman et al. 2022, Model soups, arXiv 2203.05482, section 2)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from vitexp.datasets.image_set import ImageSet, Split
from vitexp.evaluation.accuracy import Accuracy, accuracy
from vitexp.models.build import build
from vitexp.models.weights.header import header
from vitexp.runs.record import RunRecord, pack_correct
from vitexp.runs.soup import Soup
from vitexp.spec import SoupSpec
from vitexp.training.environment import environment
from vitexp.training.execution import DTYPES

State = dict[str, Tensor]


class Mean:
    """The mean of some states, summed in float64.

    Args:
        sums: of the states' tensors.
        count: how many states they are of.
    """

    def __init__(self, sums: Mapping[str, Tensor], count: int) -> None:
        self._sums, self._count = sums, count

    @classmethod
    def of(cls, paths: Sequence[Path]) -> Mean:
        """Of the weights in some safetensors files, read one after the other."""
        mean = cls({name: value.double() for name, value in load_file(paths[0]).items()}, 1)
        for path in paths[1:]:
            mean = mean.plus(path)
        return mean

    def plus(self, path: Path) -> Mean:
        """With the weights in one more file."""
        other = load_file(path)
        sums = {name: value + other[name] for name, value in self._sums.items()}
        return Mean(sums, self._count + 1)

    def state(self) -> State:
        return {name: (value / self._count).float() for name, value in self._sums.items()}


@dataclass(frozen=True)
class _Mixed:
    """A mean, the runs in it, what was tried for it, and its top-1 on validation."""

    state: State
    kept: tuple[str, ...]
    tries: tuple[dict[str, Any], ...]
    val_top1: float


Score = Callable[[State], float]
"""Top-1 of weights on validation."""


def average(
    spec: SoupSpec,
    runs: Sequence[RunRecord],
    weights: Mapping[str, Path],
    images: ImageSet,
    device: torch.device,
    reads_test: Callable[[], int],
) -> tuple[Soup, bytes]:
    """The mean of ``runs`` that ``spec`` asks for, and its safetensors file.

    Only validation decides what goes in; test is read once, with the mean that came out.

    Args:
        runs: the spec's, done, of one model on one data set.
        weights: run id -> the file with what it ended with.
        reads_test: counts a read of the test split before it is made.
    """
    first = runs[0].spec
    model = build(first.model, first.seed).to(device)

    def measured(state: State, split: Split) -> Accuracy:
        model.load_state_dict(state)
        return accuracy(model, split, device, DTYPES[first.precision])

    mixer = {"greedy": _greedy, "uniform": _uniform}[spec.kind]
    mixed = mixer(runs, weights, lambda state: measured(state, images.val).top1)
    reads = reads_test()
    test = measured(mixed.state, images.test)
    content = save(mixed.state, metadata=header(first.model))
    soup = Soup(
        spec=spec,
        kept=mixed.kept,
        tries=mixed.tries,
        val_top1=mixed.val_top1,
        test_top1=test.top1,
        correct=pack_correct(test.correct),
        sha256=hashlib.sha256(content).hexdigest(),
        execution={
            **environment(device),
            "precision": first.precision,
            "test_reads": reads,
            "ended": datetime.now(UTC).isoformat(timespec="milliseconds"),
        },
    )
    return soup, content


def _uniform(runs: Sequence[RunRecord], weights: Mapping[str, Path], score: Score) -> _Mixed:
    ids = tuple(run.id for run in runs)
    state = Mean.of([weights[run] for run in ids]).state()
    return _Mixed(state, ids, (), score(state))


def _greedy(runs: Sequence[RunRecord], weights: Mapping[str, Path], score: Score) -> _Mixed:
    """From the best on validation on, each run that does not make the mean worse there."""
    order = sorted(runs, key=lambda run: (-run.metrics["val_top1"], run.id))
    best = order[0]
    mean, kept, val = Mean.of([weights[best.id]]), [best.id], best.metrics["val_top1"]
    tries = [{"run": best.id, "val_top1": val, "kept": True}]
    for run in order[1:]:
        wider = mean.plus(weights[run.id])
        found = score(wider.state())
        tries.append({"run": run.id, "val_top1": found, "kept": found >= val})
        if found >= val:
            mean, val = wider, found
            kept.append(run.id)
    return _Mixed(mean.state(), tuple(kept), tuple(tries), val)
