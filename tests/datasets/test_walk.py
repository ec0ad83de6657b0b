"""Folders of images as people have them: which files are used, left out and said, or refused."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.pictures import image_folder, pixels, png, refusal, two_classes, write
from vitexp.datasets.load import describe, load
from vitexp.datasets.remarks import remarks
from vitexp.spec import Reading


def sizes(images):
    return [len(split) for split in (images.train, images.val, images.test)]


def skipped(images):
    return {s.reason: (s.count, s.example) for s in images.skipped}


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("training_set", "test_set"),
        ("seg_train", "seg_test"),
        ("train_images", "holdout"),
        ("Train", "tst"),
        ("trn", "eval"),
        ("train", "val_images"),
    ],
)
def test_split_folders_are_known_however_they_are_spelled(tmp_path, cache, train, test):
    layout = {f"{train}/cat": 20, f"{train}/dog": 20, f"{test}/cat": 5, f"{test}/dog": 5}
    images = load(str(image_folder(tmp_path / "pets", layout)), cache=cache)
    assert images.names == ("cat", "dog")
    assert sizes(images) == [36, 4, 10]
    assert (images.test.images[0] == pixels([0, *f"{test}/cat".encode()])).all()
    assert len(images.notes) == (test == "eval")


def test_folders_in_folders_of_their_own_name_are_seen_through(tmp_path, cache):
    layout = {f"{split}_set/{split}_set/{pet}": n for split, n in (("training", 20), ("test", 5))
              for pet in ("cat", "dog")}  # fmt: skip
    images = load(str(image_folder(tmp_path / "pets", layout)), cache=cache)
    assert (images.names, sizes(images)) == (("cat", "dog"), [36, 4, 10])


@pytest.mark.parametrize(
    ("layout", "expected"),
    [
        (
            ("training_set/a", "training_set/b", "check/a"),
            "'training_set' names a split and 'check'",
        ),
        (("treino/a", "treino/b", "teste/a", "teste/b"), "'teste', 'treino' all hold the same"),
        (("train", "test", "cat"), "'test', 'train' name splits and 'cat' names none"),
        (("seg_train", "seg_test", "seg_pred"), "name splits and 'seg_pred' names none"),
        (("train/a", "train/b", "eval/a", "val/a", "test/a"), "beside a validation and a test"),
        (("train/a", "train/b", "val_test/a"), "'val_test' names several splits"),
        (("bullet_train/old", "car/old", "bus"), "'bullet_train' names a split"),
        (("PetImages/cat", "PetImages/dog"), "holds one folder only, 'PetImages'"),
    ],
)
def test_folders_of_which_some_may_be_splits_are_refused_by_name(tmp_path, cache, layout, expected):
    root = image_folder(tmp_path / "pets", dict.fromkeys(layout, 10))
    assert expected in refusal(root, cache)


def test_a_class_may_have_a_splits_word_in_its_name_and_that_is_said(tmp_path, cache):
    root = image_folder(tmp_path / "places", {"bullet_train": 20, "beach": 20, "test": 0})
    images = load(str(root), cache=cache)
    assert images.names == ("beach", "bullet_train")
    assert "'bullet_train' is taken as a class" in images.notes[0]
    inside = image_folder(tmp_path / "inside", {"train/test_tube": 20, "train/train": 20})
    assert load(str(inside), cache=cache).names == ("test_tube", "train")


def test_images_are_known_by_what_they_hold(tmp_path, cache):
    """The endings of the case that lost 60 of 160 images without a word."""
    root = two_classes(tmp_path / "pets")
    before = load(str(root), cache=cache)
    forms = (("a.jfif", "JPEG"), ("b", "JPEG"), ("c.avif", "AVIF"), ("d.j2k", "JPEG2000"),
             ("e.dat", "PNG"), ("f.JPG_large", "WEBP"))  # fmt: skip
    for name, form in forms:
        Image.fromarray(pixels([*name.encode()])).save(root / "train/cat" / name, form)
    images = load(str(root), cache=cache)
    assert len(images.train) + len(images.val) == len(before.train) + len(before.val) + len(forms)
    assert images.skipped == ()


def test_what_is_left_out_of_a_folder_is_counted_by_reason_and_said(tmp_path, cache):
    root = two_classes(tmp_path / "pets")
    plain, _ = describe(str(root), cache=cache)
    for path in ("@eaDir/SYNOPHOTO_THUMB_M.jpg", ".thumbnails/1.png", "$RECYCLE.BIN/2.png"):
        write(root / "train/cat" / path, pixels(1))
    for path, content in (
        ("test/dog/Thumbs.db", b"\xd0\xcf\x11\xe0"),
        ("train/cat/._000.png", b"resource fork"),
        (".git/config", b"[core]"),
        ("readme.txt", b"P1 is not what follows"),
        ("train/dog/notes.txt", b""),
        ("train/dog/001.heic", b"\0\0\0\x18ftypheic"),
        ("train/dog/blob", b"\x89PNG but no more"),
    ):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    os.mkfifo(root / "train/dog/pipe.png")
    (root / "train/dog/nowhere").symlink_to(tmp_path / "nothing")
    spec, images = describe(str(root), cache=cache)
    assert spec.fingerprint == plain.fingerprint
    no_image = "which are no images that can be read here"
    assert skipped(images) == {
        "files of the system or of thumbnails": (3, "test/dog/Thumbs.db"),
        "hidden files": (3, ".git/config"),
        f".txt files, {no_image}": (2, "readme.txt"),
        f".heic files, {no_image}": (1, "train/dog/001.heic"),
        f"files without an ending, {no_image}": (1, "train/dog/blob"),
        "files that are no plain files": (1, "train/dog/pipe.png"),
        "links that lead nowhere": (1, "train/dog/nowhere"),
    }
    assert spec.skipped == images.skipped
    assert f"2 .txt files, {no_image} (such as readme.txt)" in spec.remarks[0]
    again, _ = describe(str(root), cache=cache)
    assert again == spec


def test_a_split_or_class_that_is_left_out_whole_is_refused(tmp_path, cache):
    root = image_folder(tmp_path / "pets", {"train/cat": 20, "train/dog": 20})
    (root / "test/cat").mkdir(parents=True)
    (root / "test/cat/1.heic").write_bytes(b"\0\0\0\x18ftypheic")
    assert f"{root}/test holds no images, but .heic files" in refusal(root, cache)
    (root / "test").rename(root / "train/fish")
    assert f"{root}/train/fish holds no images" in refusal(root, cache)


@pytest.mark.parametrize("where", ["test", "test/images", "test/unknown", "val/test"])
def test_images_without_labels_beside_a_labelled_train_folder_are_left_out(tmp_path, cache, where):
    root = image_folder(tmp_path / "pets", {"train/cat": 50, "train/dog": 50, where: 7})
    images = load(str(root), cache=cache)
    assert images.names == ("cat", "dog")
    assert sizes(images) == [81, 9, 10]
    reason = f"images of {where.partition('/')[0]} without labels"
    assert skipped(images) == {reason: (7, f"{where}/000.png")}
    assert reason in remarks(images)[0]


def test_a_single_class_among_test_images_is_a_class(tmp_path, cache):
    layout = {"train/cat": 20, "train/images": 20, "test/images": 7}
    images = load(str(image_folder(tmp_path / "pets", layout)), cache=cache)
    assert images.test.labels.tolist() == [1] * 7
    unlike = {"train/cat": 20, "train/dog": 20, "test": 7, "test/cat": 3}
    assert "in no class folder" in refusal(image_folder(tmp_path / "b", unlike), tmp_path / "c")


def test_a_class_in_another_case_or_unicode_form_names_the_other_spelling(tmp_path, cache):
    one, other = (unicodedata.normalize(form, "épagneul") for form in ("NFC", "NFD"))
    for name, (train, test) in {"case": ("Cat", "cat"), "form": (one, other)}.items():
        layout = {f"train/{train}": 9, "train/dog": 9, f"test/{test}": 3, "test/dog": 3}
        text = refusal(image_folder(tmp_path / name, layout), cache)
        assert f"the class {test!r} has no training image" in text
        assert f"Train has {train!r}" in text


def test_the_first_reason_is_told_where_no_image_can_be_read(tmp_path, cache):
    root = tmp_path / "pets"
    for path in ("cat/1.png", "dog/1.png"):
        (root / path).parent.mkdir(parents=True)
        (root / path).write_bytes(png(pixels(1, (64, 64)))[:200])
    for i in range(20):
        (root / f"cat/{i}.jpg").write_bytes(b"")
        (root / f"dog/{i}.jpg").write_bytes(b"")
    text = refusal(root, cache, reading=Reading(skip_broken=True))
    assert f"no image can be read. The first is {root}/cat/0.jpg: the file is empty" in text


def test_links_are_followed_where_that_is_asked_for(tmp_path, cache):
    away = image_folder(tmp_path / "away", {"cat": 20, "dog": 20, "odd": 1})
    root = tmp_path / "pets"
    (root / "dog").mkdir(parents=True)
    (root / "cat").symlink_to(away / "cat")
    for file in (away / "dog").iterdir():
        (root / "dog" / file.name).symlink_to(file)
    assert "--follow-links" in refusal(root, cache)
    (away / "odd/000.png").rename(away / "odd/000")
    (root / "dog/last").symlink_to(away / "odd/000")
    spec, images = describe(str(root), cache=cache, reading=Reading(follow_links=True))
    assert sum(sizes(images)) == 41
    assert spec.follow_links
    assert load(str(root), cache=cache, reading=spec.reading).fingerprint == spec.fingerprint
    (root / "dog/again").symlink_to(root / "dog")
    text = refusal(root, tmp_path / "other", reading=Reading(follow_links=True))
    assert f"{root}/dog/again/again leads to {root}/dog, which is read already" in text


def test_small_copies_of_test_images_in_train_are_found(tmp_path, cache):
    """And neither other images, nor plain ones, nor those that are already counted as the same."""
    root = tmp_path / "photos"
    draw = np.random.default_rng(0)

    def photo(large=64):
        coarse = Image.fromarray(draw.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        return coarse.resize((large, large), Image.Resampling.BICUBIC)

    for split, count in (("train", 20), ("test", 5)):
        for name in ("cat", "dog"):
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                photo().save(root / split / name / f"{i}.png")
    assert load(str(root), cache=cache).near_duplicates == ()
    for i in range(3):
        with Image.open(root / f"test/dog/{i}.png") as image:
            image.resize((32, 32)).save(root / f"train/dog/thumb{i}.jpg", quality=60)
    (root / "train/dog/same.png").write_bytes((root / "test/dog/4.png").read_bytes())
    for i in range(4):
        Image.new("RGB", (64, 64), (i, i, i)).save(root / f"train/dog/flat{i}.png")
        Image.new("RGB", (64, 64), (i, 9, i)).save(root / f"test/dog/flat{i}.png")
    spec, images = describe(str(root), cache=cache, image_size=64)
    assert images.duplicates == 1
    assert [pair.split(" like ")[0] for pair in images.near_duplicates] == [
        str(root / f"test/dog/{i}.png") for i in range(3)
    ]
    assert [Path(pair).name for pair in images.near_duplicates] == [
        f"thumb{i}.jpg" for i in range(3)
    ]
    assert "3 test images of photos with a look-alike in train" in spec.remarks[1]
    assert load(str(root), cache=cache, image_size=64).near_duplicates == images.near_duplicates
