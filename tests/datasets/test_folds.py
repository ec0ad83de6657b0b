"""Folds: all images dealt out, each tested once, alike for all classes."""

from __future__ import annotations

import numpy as np
import pytest

from vitexp.datasets.folds import deal, folded, in_fold, pooled_labels
from vitexp.datasets.load import describe, images_of
from vitexp.errors import VitexpError
from vitexp.spec import Fold


def test_each_class_is_spread_over_all_folds():
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [701, 199, 100]))
    dealt = deal(labels, Fold(7, seed=3))
    counts = np.array([np.bincount(labels[dealt == fold], minlength=3) for fold in range(7)])
    assert np.ptp(counts, axis=0).max() <= 1
    assert np.ptp(counts.sum(axis=1)) <= 1
    assert not np.array_equal(dealt, deal(labels, Fold(7, seed=4)))


@pytest.mark.parametrize("folds", [2, 7])
def test_all_digits_are_tested_once_by_runs_that_have_not_seen_them(digits, folds):
    data = folded(describe("digits")[0], digits, folds, seed=5)
    pool = np.concatenate([digits.train.images, digits.val.images, digits.test.images])
    times = np.zeros(len(pool), int)
    for index in range(folds):
        spec = data.in_fold(Fold(folds, index, 5))
        own = images_of(spec)
        assert own.tested is not None
        # The sizes follow from the spec alone, and the order of the test images is the pool's.
        assert [len(s) for s in (own.train, own.val, own.test)] == [spec.train, spec.val, spec.test]
        assert np.array_equal(own.test.images, pool[own.tested])
        assert np.array_equal(own.test.labels, pooled_labels(digits)[own.tested])
        seen = np.concatenate([own.train.images, own.val.images])
        assert sorted(map(bytes, seen)) == sorted(map(bytes, pool[~own.tested]))
        times += own.tested
    assert set(times) == {1}


def test_a_fraction_is_of_what_the_fold_trains_on(digits):
    part = in_fold(digits, Fold(3, 1, 0)).train
    whole = folded(describe("digits")[0], digits, 3, seed=0).in_fold(Fold(3, 1, 0))
    assert len(part) == whole.train
    few, _ = describe("digits", fraction=0.5)
    spec = few.in_fold(Fold(3, 1, 0))
    assert len(images_of(spec).train) == spec.used == round(0.5 * whole.train)


def test_more_folds_than_a_class_has_images_are_refused(few_digits):
    few = in_fold(few_digits, Fold(30, 0)).test
    assert len(few) == 11
    fewest = int(np.bincount(pooled_labels(few_digits)).min())
    spec, _ = describe("digits")
    with pytest.raises(VitexpError, match=f"--folds 31: class '.' has {fewest} images"):
        folded(spec, few_digits, 31, seed=0)
