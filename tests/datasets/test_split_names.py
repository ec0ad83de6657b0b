"""Names of splits: what is understood, alone and beside others, and what is refused."""

from __future__ import annotations

import pytest

from vitexp.datasets import split_names
from vitexp.datasets.split_names import is_only_a_split, understood, words
from vitexp.errors import VitexpError


@pytest.mark.parametrize(
    ("meaning", "names"),
    [
        (
            "train",
            "train training_set trn Train TRAIN TRAINset trainSet XTrain seg_train train2017",
        ),
        ("train", "train-00000-of-00002.parquet training.set trainset train_images Train-Data"),
        ("val", "val valid validation dev val_images VAL2 devset dev.set validation-1.arrow"),
        (
            "test",
            "test testing_set tst holdout held_out Hold-Out test-0.parquet testImages seg_test",
        ),
        ("eval", "eval evaluation eval_set"),
    ],
)
def test_a_split_is_known_by_the_words_of_its_name(meaning, names):
    for name in names.split():
        assert words(name) == (meaning,), name


def test_a_word_that_only_contains_a_splits_name_is_none():
    others = "cat contest latest valley trained retrain evaluated invalid devil 0 images"
    for name in others.split():
        assert words(name) == (), name


def test_a_name_of_a_split_and_nothing_else_is_told_from_one_that_says_more():
    assert all(map(is_only_a_split, ("train", "test_set", "val2017", "X_train", "held-out")))
    assert not any(map(is_only_a_split, ("bullet_train", "seg_train", "test_tube", "cat", "1")))


@pytest.mark.parametrize(
    ("names", "meaning"),
    [
        (("train", "eval"), "test"),
        (("train", "val", "eval"), "test"),
        (("train", "test", "eval"), "val"),
        (("train", "holdout", "evaluation"), "val"),
    ],
)
def test_eval_is_whatever_is_missing_beside_it_and_that_is_said(names, meaning):
    named = understood(names, "pets")
    assert named.parts[names[-1]] == meaning
    assert f"'{names[-1]}' is taken as the {meaning.replace('val', 'validation')} split" in str(
        named.notes
    )
    assert not understood(names[:-1], "pets").notes


def test_names_that_cannot_be_told_are_refused():
    with pytest.raises(VitexpError, match="beside a validation and a test split"):
        understood(("train", "val", "test", "eval"), "pets")
    for name in ("train_val", "trainval", "test-and-val"):
        with pytest.raises(VitexpError, match=f"'{name}' names several splits"):
            understood(("train", name), "pets")
    mixed = understood(("training_set", "rest", "test_set"), "pets")
    with pytest.raises(VitexpError, match="'test_set', 'training_set' name splits and 'rest' nam"):
        split_names.refuse_mixed(mixed, "pets", "Move it.")
    with pytest.raises(VitexpError, match="same split twice: dev, val"):
        split_names.refuse_twice(understood(("train", "val", "dev"), "pets"), "pets")
