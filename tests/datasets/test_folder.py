"""Folders of images: what they turn into, and what is said when they cannot be used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.pictures import image_folder, pixels, png, refusal, two_classes, write
from vitexp.datasets.load import load
from vitexp.spec import Reading


def test_an_image_folder_in_splits(tmp_path, cache):
    root = two_classes(tmp_path / "pets")
    seen = []
    images = load(str(root), cache=cache, progress=lambda *call: seen.append(call))
    assert images.names == ("cat", "dog")
    assert (images.name, images.image_size, images.channels) == ("pets", 8, 3)
    assert np.bincount(images.train.labels).tolist() == [18, 27]
    assert np.bincount(images.val.labels).tolist() == [2, 3]
    assert images.test.labels.tolist() == [0] * 4 + [1] * 6
    assert (images.test.images[5] == pixels([1, *b"test/dog"])).all()
    assert images.duplicates == 0
    assert images.broken == ()
    assert isinstance(images.train.images, np.memmap)
    assert seen[-1] == ("decoding pets", 60, 60)
    parts = [{i.tobytes() for i in s.images} for s in (images.train, images.val, images.test)]
    assert len(parts[0] | parts[1] | parts[2]) == 60


def test_one_folder_of_classes_is_split_by_us(tmp_path, cache):
    root = image_folder(tmp_path / "pets", {"cat": 40, "dog/puppy": 30, "dog/grown": 30})
    images = load(str(root), cache=cache)
    assert images.names == ("cat", "dog")
    assert [len(s) for s in (images.train, images.val, images.test)] == [81, 9, 10]
    assert np.bincount(images.test.labels).tolist() == [4, 6]
    other = load(str(root), cache=cache, split_seed=1)
    assert (other.test.images == images.test.images).all()
    assert (other.val.images != images.val.images).any()


def test_a_validation_split_without_a_test_split_serves_as_test(tmp_path, cache):
    root = image_folder(
        tmp_path / "pets", {"train/a": 20, "train/b": 20, "valid/a": 3, "valid/b": 4}
    )
    images = load(str(root), cache=cache)
    assert [len(s) for s in (images.train, images.val, images.test)] == [36, 4, 7]


def test_grey_only_has_one_channel_and_one_colour_image_gives_three(tmp_path, cache):
    root = two_classes(tmp_path / "pets", channels=1)
    assert load(str(root), cache=cache).channels == 1
    colour = write(root / "train/dog/999.png", pixels(5))
    images = load(str(root), cache=cache)
    assert images.channels == 3
    stored = np.concatenate([images.train.images, images.val.images])
    assert (stored == pixels(5)).all((1, 2, 3)).sum() == 1
    colour.unlink()
    assert load(str(root), cache=cache).channels == 1


def test_sizes_that_differ_are_resized_to_the_usual_one_or_as_asked(tmp_path, cache):
    root = two_classes(tmp_path / "pets")
    assert load(str(root), cache=cache).image_size == 8
    write(root / "test/dog/999.png", pixels(5, (500, 400)))
    images = load(str(root), cache=cache)
    assert images.train.images.shape[1:] == (8, 8, 3), "one larger image does not decide"
    assert any("8 px, by the median of the shorter sides" in note for note in images.notes)
    large = two_classes(tmp_path / "photos", size=(300, 260))
    images = load(str(large), cache=cache)
    assert images.image_size == 224
    assert any("up to 224" in note for note in images.notes)
    assert not load(str(root), cache=cache, image_size=12).notes
    assert load(str(root), cache=cache, image_size=12).image_size == 12


def test_grey_images_of_several_sizes_stay_grey(tmp_path, cache):
    root = two_classes(tmp_path / "pets", channels=1)
    write(root / "test/dog/999.png", pixels(5, (30, 20), channels=1))
    assert load(str(root), cache=cache).train.images.shape[1:] == (8, 8, 1)


def test_a_non_square_set_is_resized_even_if_all_sizes_are_equal(tmp_path, cache):
    root = two_classes(tmp_path / "pets", size=(8, 9))
    assert load(str(root), cache=cache).image_size == 8


def test_3000_classes_of_one_pixel_under_names_of_another_format(tmp_path, cache):
    """Each class has a colour; what a file is follows from its content, not from its ending."""
    root = tmp_path / "many"
    colours = [np.full((1, 1, 3), (i % 250, i // 250, 0), np.uint8) for i in range(3000)]
    for i, colour in enumerate(colours):
        for part in ("train", "test"):
            path = root / part / f"{i:04}" / "a.jpg"
            path.parent.mkdir(parents=True)
            path.write_bytes(png(colour))
        (root / "train" / f"{i:04}" / "b.jpg").write_bytes(png(colour + np.uint8(5)))
    images = load(str(root), cache=cache)
    assert len(images.names) == 3000
    assert (images.image_size, len(images.test)) == (1, 3000)
    shown = images.test.images.reshape(-1, 3)
    assert (shown == np.array(colours).reshape(-1, 3)[images.test.labels]).all()


def test_identical_files_in_train_and_test_are_counted(tmp_path, cache):
    root = two_classes(tmp_path / "pets")
    for name in ("000", "001", "002"):
        data = (root / f"train/cat/{name}.png").read_bytes()
        (root / f"test/cat/copy-{name}.png").write_bytes(data)
    assert load(str(root), cache=cache).duplicates == 3


def test_a_broken_image_is_named_or_skipped_and_listed(tmp_path, cache):
    root = two_classes(tmp_path / "pets")
    (root / "train/dog/004.png").write_bytes(png(pixels(0))[:60])
    (root / "train/dog/007.png").write_bytes(b"")
    text = refusal(root, cache)
    assert str(root / "train/dog/004.png") in text
    assert "--skip-broken" in text
    images = load(str(root), cache=cache, reading=Reading(skip_broken=True))
    assert len(images.train) + len(images.val) == 48
    assert [Path(b.split(":")[0]).name for b in images.broken] == ["004.png", "007.png"]
    assert load(str(root), cache=cache, reading=Reading(skip_broken=True)).broken == images.broken
    assert "004.png" in refusal(root, tmp_path / "other cache")


def test_links_out_of_the_folder_are_named_and_never_read(tmp_path, cache):
    root = two_classes(tmp_path / "pets")
    outside = write(tmp_path / "outside" / "secret.png", pixels(77))
    (root / "train/cat/link.png").symlink_to(outside)
    text = refusal(root, cache)
    assert "link.png" in text
    assert "leaves" in text
    images = load(str(root), cache=cache, reading=Reading(skip_broken=True))
    assert len(images.broken) == 1
    (root / "train/cat/link.png").unlink()
    (root / "train/cat/link").symlink_to(outside.parent)
    assert "leaves" in refusal(root, tmp_path / "other cache")
    (root / "train/cat/link").unlink()
    (root / "test/cat/more").symlink_to(root / "train/cat")
    assert "it is a link to a folder" in refusal(root, tmp_path / "other cache")


def test_a_link_inside_the_folder_is_an_image(tmp_path, cache):
    root = two_classes(tmp_path / "pets")
    (root / "test/cat/link.png").symlink_to(root / "train/cat/000.png")
    images = load(str(root), cache=cache)
    assert len(images.test) == 11
    assert images.duplicates == 1


@pytest.mark.parametrize(
    ("layout", "expected"),
    [
        ({}, "holds nothing"),
        ({"train/cat": 20, "test/cat": 5}, "the class 'cat' only"),
        ({"cat": 20}, "the class 'cat' only"),
        ({"cat": 1, "dog": 1}, "too few images"),
        ({"train/a": 9, "train/b": 9, "test/c": 3}, "'c' has no training image"),
        ({"test/a": 9, "test/b": 9}, "holds test and no train folder"),
        ({".": 3, "cat": 9}, "in no class folder"),
        ({"train": 3, "test/cat": 9}, "in no class folder"),
        ({"train/a": 9, "train/b": 9, "more/a": 3}, "'train' names a split and 'more' names none"),
        ({"train/a": 9, "train/b": 9, "val/a": 2, "dev/a": 3}, "same split twice: dev, val"),
    ],
)
def test_a_folder_that_is_no_data_set_says_why(tmp_path, cache, layout, expected):
    root = tmp_path / "pets"
    root.mkdir()
    image_folder(root, layout)
    assert expected in refusal(root, cache)


def test_a_class_folder_without_images_is_named(tmp_path, cache):
    root = two_classes(tmp_path / "pets")
    (root / "train" / "fish").mkdir()
    (root / "train" / "fish" / "notes.txt").write_text("later")
    assert f"{root}/train/fish holds no images" in refusal(root, cache)


def test_hidden_files_and_folders_do_not_matter(tmp_path, cache):
    root = two_classes(tmp_path / "pets")
    before = load(str(root), cache=cache).fingerprint
    (root / "train/.cache").mkdir()
    (root / "train/cat/._000.png").write_bytes(b"resource fork")
    (root / "train/cat/readme.txt").write_text("cats")
    assert load(str(root), cache=cache).fingerprint == before
