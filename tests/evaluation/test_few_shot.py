"""The few-shot linear probe: its algebra, its draws, and what a run says of it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from tests.conftest import model_spec
from vitexp.datasets import shots
from vitexp.datasets.image_set import ImageSet, Split
from vitexp.evaluation.accuracy import accuracy
from vitexp.evaluation.few_shot import REGULARISERS, Features, few_shot, fitted, probe, ridge
from vitexp.models.build import build

CPU = torch.device("cpu")


def made_up(seed: int, each: int, classes: int, width: int, apart: float = 1.0) -> Features:
    """Normal clusters, with the features on different scales and one that never changes."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(classes, width)) * apart
    labels = np.repeat(np.arange(classes), each)
    values = (centres[labels] + rng.normal(size=(len(labels), width))) * np.geomspace(
        0.1, 30, width
    )
    values[:, 0] = 3.0
    return Features(torch.from_numpy(values), torch.from_numpy(labels))


@pytest.mark.parametrize("shape", [(12, 40), (40, 12), (20, 20)], ids=["dual", "primal", "square"])
def test_every_penalty_agrees_with_scikit_learn(shape):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=shape), np.sign(rng.normal(size=(shape[0], 3)))
    solved = ridge(torch.from_numpy(x), torch.from_numpy(y), REGULARISERS)
    for found, penalty in zip(solved.numpy(), REGULARISERS, strict=True):
        theirs = Ridge(alpha=penalty, fit_intercept=False, solver="cholesky").fit(x, y)
        assert np.abs(found - theirs.coef_.T).max() < 1e-5


@pytest.mark.parametrize("width", [4, 60])
def test_scores_of_raw_features_agree_with_scikit_learn_on_standardised_ones(width):
    train, test = made_up(1, 5, 4, width), made_up(2, 30, 4, width)
    mean, std = train.values.numpy().mean(0), train.values.numpy().std(0) + 1e-5

    def standard(features: Features) -> np.ndarray:
        x = (features.values.numpy() - mean) / std
        return np.concatenate([x, np.ones((len(x), 1))], axis=1)

    targets = np.where(np.eye(4)[train.labels] > 0, 1.0, -1.0)
    for found, penalty in zip(fitted(train, 4), REGULARISERS, strict=True):
        theirs = Ridge(alpha=penalty, fit_intercept=False, solver="svd").fit(
            standard(train), targets
        )
        ours = test.values @ found[:-1] + found[-1]
        assert np.abs(ours.numpy() - theirs.predict(standard(test))).max() < 1e-5


def test_a_tiny_probe_agrees_with_brute_force():
    """Every penalty tried on validation by plain normal equations, the best one read on test."""
    draws = [made_up(seed, 2, 3, 5, apart=0.7) for seed in (1, 2, 3)]
    val, test = made_up(4, 15, 3, 5, apart=0.7), made_up(5, 40, 3, 5, apart=0.7)

    def share_right(train: Features, penalty: float, on: Features) -> float:
        x, z = train.values.numpy(), on.values.numpy()
        mean, std = x.mean(0), x.std(0) + 1e-5
        x, z = (np.c_[(v - mean) / std, np.ones(len(v))] for v in (x, z))
        y = np.where(np.eye(3)[train.labels] > 0, 1.0, -1.0)
        w = np.linalg.solve(x.T @ x + penalty * np.eye(6), x.T @ y)
        return float(((z @ w).argmax(1) == on.labels.numpy()).mean())

    by_penalty = [np.mean([share_right(d, p, val) for d in draws]) for p in REGULARISERS]
    best = max(i for i, share in enumerate(by_penalty) if np.isclose(share, max(by_penalty)))
    found = probe(draws, val, test, 2, 3)
    assert len(set(by_penalty)) > 2
    assert found.penalty == REGULARISERS[best]
    assert found.top1 == pytest.approx([share_right(d, found.penalty, test) for d in draws])
    assert found.correct.mean(axis=1) == pytest.approx(found.top1)


def test_draws_are_balanced_nested_and_follow_from_the_data_alone(digits):
    labels = digits.train.labels
    for index in range(3):
        five, ten = (shots.draw(labels, digits.fingerprint, k, index) for k in (5, 10))
        assert np.bincount(labels[ten]).tolist() == [10] * 10
        assert len(set(ten)) == 100
        assert set(five) < set(ten)
    draws = [tuple(shots.draw(labels, f, 5, i)) for f in ("a", "b") for i in (0, 1)]
    assert len(set(draws)) == 4
    assert tuple(shots.draw(labels, "a", 5, 0)) == draws[0]


def without(images: ImageSet, label: int, keep: int) -> ImageSet:
    """The images with ``keep`` of one class in train."""
    here = np.flatnonzero(images.train.labels == label)
    rows = np.setdiff1d(np.arange(len(images.train)), here[keep:])
    train = Split(images.train.images[rows], images.train.labels[rows])
    return dataclasses.replace(images, train=train)


def test_a_class_with_few_images_means_fewer_shots_and_is_named(digits):
    few = without(digits, 7, keep=6)
    assert shots.allowed(few.train.labels, 10) == (1, 5)
    assert shots.left_out(few.train.labels, digits.names) == (
        "No few-shot probe with 10, 25 images a class: class '7' has 6 in train."
    )
    assert shots.left_out(digits.train.labels, digits.names) == ""
    model = build(model_spec(), seed=0)
    found = few_shot(model, few, accuracy(model, few.test, CPU, torch.float32), CPU, torch.float32)
    assert [probe.shots for probe in found] == [1, 5]


def test_a_class_without_an_image_leaves_the_others_their_probe(digits):
    none = without(digits, 7, keep=0)
    assert shots.allowed(none.train.labels, 10) == (1, 5, 10, 25)
    assert shots.left_out(none.train.labels, digits.names) == ""
    assert shots.absent(none.train.labels, digits.names) == (
        "'7' of 10 classes has no training image."
    )
    model = build(model_spec(), seed=0)
    found = few_shot(
        model, none, accuracy(model, none.test, CPU, torch.float32), CPU, torch.float32
    )
    assert [probe.shots for probe in found] == [1, 5, 10, 25]
    assert not found[0].correct[:, none.test.labels == 7].any()
    assert found[3].mean > 0.3


def test_more_shots_tell_real_digits_apart_better(digits):
    model = build(model_spec(), seed=0)
    test = accuracy(model, digits.test, CPU, torch.float32)
    found = few_shot(model, digits, test, CPU, torch.float32)
    again = few_shot(model, digits, test, CPU, torch.float32)
    assert [p.shots for p in found] == [1, 5, 10, 25]
    assert [p.top1 for p in found] == [p.top1 for p in again]
    assert 0.2 < found[0].mean < found[1].mean < found[3].mean
    assert found[3].mean > 0.4
    assert len(set(found[0].top1)) > 1


def test_a_model_without_features_has_no_probe(digits):
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
    test = accuracy(model, digits.test, CPU, torch.float32)
    assert few_shot(model, digits, test, CPU, torch.float32) == []
