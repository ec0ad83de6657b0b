"""The embedded digits are scikit-learn's, in three splits."""

from __future__ import annotations

import numpy as np

from vitexp.datasets.load import load


def test_digits_are_scikit_learns_and_split_without_overlap():
    from sklearn.datasets import load_digits

    theirs = load_digits()
    ours = load("digits")
    assert [len(s) for s in (ours.train, ours.val, ours.test)] == [1293, 144, 360]
    assert (ours.image_size, ours.channels, ours.flips, len(ours.names)) == (8, 1, False, 10)

    def bag(images, labels):
        return sorted(zip((i.tobytes() for i in images), labels.tolist(), strict=True))

    scaled = np.rint(theirs.images * 255 / 16).astype(np.uint8)
    splits = (ours.train, ours.val, ours.test)
    images, labels = (
        np.concatenate([getattr(s, field) for s in splits]) for field in ("images", "labels")
    )
    assert bag(images, labels) == bag(scaled, theirs.target)
    for split in splits:
        share = np.bincount(split.labels) / len(split)
        assert np.abs(share - np.bincount(theirs.target) / 1797).max() < 0.01


def test_the_test_digits_are_the_same_for_every_split_seed():
    first, second = load("digits"), load("Digits", split_seed=1)
    assert (first.test.images == second.test.images).all()
    assert (first.val.images != second.val.images).any()
    assert first.fingerprint != second.fingerprint
    # A change here makes every old result on digits a result on other data.
    assert first.fingerprint.startswith("e1aec735c0bcaf4f")


def test_digits_in_another_size():
    large = load("digits", image_size=16)
    assert large.train.images.shape == (1293, 16, 16, 1)
    assert large.fingerprint != load("digits").fingerprint
    means = large.train.images.mean((1, 2, 3)) - load("digits").train.images.mean((1, 2, 3))
    assert np.abs(means).max() < 4
