"""Splits and subsets: stratified, nested, disjoint, and drawn from their seed alone."""

from __future__ import annotations

import numpy as np
import pytest

from vitexp.datasets.split import partition, stratified_order, subset
from vitexp.errors import VitexpError


@pytest.fixture(scope="module")
def skewed():
    return np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [700, 200, 100]))


def test_every_prefix_of_the_order_is_stratified(skewed):
    order = stratified_order(skewed, seed=3)
    assert sorted(order) == list(range(1000))
    for count in (10, 95, 500, 999):
        drawn = np.bincount(skewed[order[:count]], minlength=3)
        assert np.abs(drawn - np.array([0.7, 0.2, 0.1]) * count).max() <= 1


def test_subsets_are_nested_stratified_and_drawn_from_their_seed(skewed):
    small, large = (set(subset(skewed, f, seed=1)) for f in (0.03, 0.3))
    assert len(small) == 30
    assert len(large) == 300
    assert small < large
    assert np.bincount(skewed[list(small)]).tolist() == [21, 6, 3]
    assert small != set(subset(skewed, 0.03, seed=2))
    assert small == set(subset(skewed, 0.03, seed=1))
    assert subset(skewed, 1.0, seed=1).tolist() == list(range(1000))


def test_a_subset_that_loses_a_class_names_the_smallest_fraction_that_does_not(skewed):
    with pytest.raises(VitexpError, match="smallest usable fraction is") as caught:
        subset(skewed, 0.002, seed=0)
    smallest = float(str(caught.value).split("fraction is ")[1].split()[0])
    assert set(skewed[subset(skewed, smallest, seed=0)]) == {0, 1, 2}
    with pytest.raises(VitexpError):
        subset(skewed, smallest - 0.001, seed=0)


@pytest.mark.parametrize("fraction", [0, -0.1, 1.01, float("nan")])
def test_a_fraction_outside_0_to_1_is_refused(skewed, fraction):
    with pytest.raises(VitexpError, match="above 0 and at most 1"):
        subset(skewed, fraction, seed=0)


@pytest.mark.parametrize(
    ("has", "train", "val", "test"),
    [
        ("train", 810, 90, 100),
        ("train test", 900, 100, 50),
        ("train val", 900, 100, 60),
        ("train val test", 1000, 60, 50),
    ],
)
def test_missing_splits_are_taken_from_train(skewed, has, train, val, test):
    sizes = {"train": 1000, "val": 60, "test": 50}
    labels = {name: skewed[: sizes[name]] for name in has.split()}
    parts = partition(labels, split_seed=0)
    every = np.concatenate(list(parts.values()))
    assert {p: int((every == p).sum()) for p in ("train", "val", "test")} == {
        "train": train,
        "val": val,
        "test": test,
    }
    other = partition(labels, split_seed=1)
    assert (parts["train"] == "test").tolist() == (other["train"] == "test").tolist()
    assert has == "train val test" or (parts["train"] != other["train"]).any()
    held_out = np.bincount(labels["train"][parts["train"] == "val"], minlength=3)
    if held_out.sum():
        assert np.abs(held_out / held_out.sum() - [0.7, 0.2, 0.1]).max() < 0.02
