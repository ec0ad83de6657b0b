"""Stratified splits and nested subsets; numpy only."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import numpy as np

from vitexp.errors import VitexpError
from vitexp.spec.data import HELD_OUT, held_out_of

Part = Literal["train", "val", "test"]
PARTS: tuple[Part, ...] = ("train", "val", "test")

TEST_SEED = 0
"""Draws the test split of a source that has none: the same for everybody."""


def stratified_order(labels: np.ndarray, seed: int) -> np.ndarray:
    """A random order of which every prefix is stratified.

    The r-th image drawn of a class with n images stands at (r + 1/2) / n; ties are broken at
    random. So the first k of N images hold k n / N of each class, within one, and a shorter
    prefix lies inside a longer one.

    Args:
        labels: int, shape (N,).
        seed: draws the order.

    Returns:
        Indices into ``labels``, shape (N,).
    """
    # Uniforms and stable sorts: unlike `permutation`, the same in every version of numpy.
    draw, tie = np.random.Generator(np.random.PCG64(seed)).random((2, len(labels)))
    by_class = np.lexsort((draw, labels))
    _, first, inverse, counts = np.unique(
        labels[by_class], return_index=True, return_inverse=True, return_counts=True
    )
    place = np.empty(len(labels))
    place[by_class] = (np.arange(len(labels)) - first[inverse] + 0.5) / counts[inverse]
    return np.lexsort((tie, place))


def subset(labels: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """A stratified subset; of two with the same seed the smaller lies inside the larger.

    Args:
        labels: int, shape (N,), of the training split.
        fraction: share to keep, in (0, 1].
        seed: draws the subset.

    Returns:
        Sorted indices, shape (round(fraction * N),).

    Raises:
        VitexpError: ``fraction`` is out of range, or so small that a class would get no image.
    """
    if not 0 < fraction <= 1:
        raise VitexpError(
            f"A fraction of {fraction:g} of the training images.",
            "Give a fraction above 0 and at most 1.",
        )
    order = stratified_order(labels, seed)
    count = round(fraction * len(labels))
    _, first_seen = np.unique(labels[order], return_index=True)
    needed = int(first_seen.max()) + 1
    if count < needed:
        smallest = math.ceil(needed / len(labels) * 1e4) / 1e4
        raise VitexpError(
            f"A fraction of {fraction:g} is {count} of {len(labels)} training images: "
            "some class would have none.",
            f"The smallest usable fraction is {smallest:g} ({needed} images).",
        )
    return np.sort(order[:count])


def partition(
    labels: Mapping[Part, np.ndarray], split_seed: int, held_out: float | None = None
) -> dict[Part, np.ndarray]:
    """Which part each image of a source goes to.

    A source's own test and validation splits are kept. Where there is no test split, the
    validation split serves as test; where there is neither, 10 % of train does, drawn from a
    fixed seed. Then, where no validation split is left, it is 10 % of train, drawn from
    ``split_seed``. All draws are stratified; a smaller validation split lies inside a larger one.

    Args:
        labels: split of the source -> int, shape (n,). ``"train"`` is there.
        held_out: another share of train for validation.

    Returns:
        Split of the source -> array of ``Part``, shape (n,).
    """
    parts = {name: np.full(len(own), name, dtype="<U5") for name, own in labels.items()}
    own_val = "val" in labels and "test" in labels
    if "test" not in labels and "val" in labels:
        parts["val"][:] = "test"
    elif "test" not in labels:
        _hold_out(parts["train"], labels["train"], "test", TEST_SEED, HELD_OUT)
    if not own_val:
        _hold_out(parts["train"], labels["train"], "val", split_seed, held_out or HELD_OUT)
    return parts


def _hold_out(parts: np.ndarray, labels: np.ndarray, part: Part, seed: int, share: float) -> None:
    take_out(parts, labels, part, seed, held_out_of(int((parts == "train").sum()), share))


def take_out(parts: np.ndarray, labels: np.ndarray, part: Part, seed: int, count: int) -> None:
    """Call ``count`` of the images that are called train in ``parts`` something else; stratified,
    drawn by ``seed``."""
    rest = np.flatnonzero(parts == "train")
    parts[rest[stratified_order(labels[rest], seed)[:count]]] = part
