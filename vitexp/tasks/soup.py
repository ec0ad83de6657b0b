"""Which runs may be averaged, and which of what came out does best on validation."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence

from vitexp.errors import VitexpError
from vitexp.reporting.described import facts
from vitexp.runs.record import RunRecord
from vitexp.runs.soup import Soup
from vitexp.runs.store import Store
from vitexp.spec import RunSpec, SoupKind, SoupSpec, digest, identity

KINDS: dict[str, tuple[SoupKind, ...]] = {
    "both": ("greedy", "uniform"),
    "greedy": ("greedy",),
    "uniform": ("uniform",),
}
"""What ``--kind`` may say, and the soups that it stands for."""


def ingredients(
    starts: Sequence[str], store: Store, remark: Callable[[str], None]
) -> list[RunRecord]:
    """The runs whose ids begin with ``starts``, by rising id.

    Args:
        remark: called with what readers of the numbers should know about the runs.

    Raises:
        VitexpError: fewer than two runs, one without weights, or runs of several models or data
            sets.
    """
    ids = sorted({store.find(start).id for start in starts})
    if len(ids) < 2:
        raise VitexpError(
            "The mean of one run is that run.", "Give two or more; `vitexp runs list` has the ids."
        )
    for run in ids:
        store.weights(run)
    runs = [store.result(run) for run in ids]
    _check_alike(runs, "model", lambda spec: spec.model)
    _check_alike(runs, "data", lambda spec: _images(spec))
    if len({digest(identity(run.spec.init)) if run.spec.init else run.id for run in runs}) > 1:
        remark(
            "These runs do not all start from the same weights. Means of such runs are seldom any"
            " good: fine-tune one run or file with several rates or seeds, and average those."
        )
    return runs


def _images(spec: RunSpec) -> object:
    """The data of a run but for which part of train it used: its validation and test images."""
    return dataclasses.replace(spec.data, fraction=None, subset_seed=None)


def _check_alike(runs: Sequence[RunRecord], what: str, part: Callable[[RunSpec], object]) -> None:
    first = runs[0]
    for run in runs[1:]:
        if digest(identity(part(run.spec))) != digest(identity(part(first.spec))):
            raise VitexpError(
                f"Runs {first.id} and {run.id} differ in their {what}: {_words(first.spec, what)};"
                f" {_words(run.spec, what)}.",
                "Only runs of one model (also its position and image size) on one data set can be"
                " averaged.",
            )


def _words(spec: RunSpec, what: str) -> str:
    known = facts(spec)
    if what == "data":
        return known["data"]
    return f"{', '.join(filter(None, (known['model'], known['position'])))} at {known['size']}"


def soup_of(kind: SoupKind, runs: Iterable[RunRecord]) -> SoupSpec:
    """The soup of some finished runs with weights."""
    pairs = [(run.id, run.weights_sha or "") for run in runs]
    return SoupSpec(kind, tuple(run for run, _ in pairs), tuple(sha for _, sha in pairs))


def best_run(runs: Iterable[RunRecord]) -> RunRecord:
    """The run that does best on validation; of equals the first."""
    return max(runs, key=lambda run: run.metrics["val_top1"])


def best_soup(soups: Sequence[Soup]) -> Soup:
    """The soup that does best on validation; of equals the first."""
    return max(soups, key=lambda soup: soup.val_top1)
