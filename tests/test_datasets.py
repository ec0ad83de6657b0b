"""Data: what a user's files turn into, and what is said when they cannot be used."""

from __future__ import annotations

import functools
import io
import json
import multiprocessing
import os
import shutil
import struct
import subprocess
import sys
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.pictures import (
    hub_features,
    hub_folder,
    image_folder,
    image_rows,
    pixels,
    png,
    refusal,
    two_classes,
    write,
    write_parquet,
)
from tests.processes import HANG_SECONDS
from vitexp.catalog.datasets import HUB_SETS
from vitexp.datasets import cache as cache_module
from vitexp.datasets import decode, hub
from vitexp.datasets.cache import Cache, Known, SplitWriter
from vitexp.datasets.load import describe, images_of, load
from vitexp.datasets.source import UnreadableError
from vitexp.datasets.split import PARTS, partition, stratified_order, subset
from vitexp.errors import VitexpError
from vitexp.spec import Reading, digest, identity

# Splits and subsets


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


# The embedded digits


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


def test_a_smaller_validation_split_lies_inside_a_larger_one(tmp_path, cache):
    root = image_folder(tmp_path / "pets", {"cat": 100, "dog": 100})
    for source in ("digits", str(root)):
        usual, small = load(source, cache=cache), load(source, cache=cache, held_out=0.05)
        again = load(source, cache=cache, held_out=0.05)
        assert len(small.val) == pytest.approx(len(usual.val) / 2, abs=1)
        held = {image.tobytes() for image in usual.val.images}
        assert {image.tobytes() for image in small.val.images} <= held
        assert (small.test.images == usual.test.images).all()
        assert small.fingerprint == again.fingerprint != usual.fingerprint


def test_some_classes_of_a_set_are_a_set_of_their_own():
    whole, (spec, some) = load("digits"), describe("digits", classes=(3, 7, 8))
    assert some.names == ("3", "7", "8")
    for name in ("train", "val", "test"):
        split, own = getattr(whole, name), getattr(some, name)
        kept = np.isin(split.labels, [3, 7, 8])
        assert (own.images == split.images[kept]).all()
        assert (np.array([3, 7, 8])[own.labels] == split.labels[kept]).all()
        assert getattr(spec, name) == kept.sum()
    found = images_of(spec)
    assert (found.train.images == some.train.images).all()
    small, _ = describe("digits", classes=(3, 7, 8), fraction=0.1, subset_seed=1)
    assert len(images_of(small).train) == small.used == round(0.1 * spec.train)
    plain, _ = describe("digits")
    assert len({digest(identity(each)) for each in (spec, small, plain)}) == 3
    assert not {"classes", "held_out"} & identity(plain).keys()
    for wrong in ((3,), (3, 10), (-1, 3)):
        with pytest.raises(VitexpError, match="no task to learn"):
            load("digits", classes=wrong)


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


def test_digits_and_cached_sets_need_no_heavy_library(tmp_path, cache):
    folder = two_classes(tmp_path / "pets")
    load(str(folder), cache=cache)
    code = (
        "import sys; from pathlib import Path; from vitexp.datasets.load import load\n"
        f"load('digits'); load({str(folder)!r}, cache=Path({str(cache)!r}))\n"
        "heavy = {'torch', 'sklearn', 'datasets', 'pyarrow', 'pandas', 'PIL', 'scipy'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# Decoding


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def grey16(dtype):
    return Image.fromarray(np.array([[0, 257 * 100], [257 * 200, 65535]], dtype=dtype))


def test_grey_palette_alpha_and_deep_images_come_out_with_known_pixels():
    two_grey = [[0, 100], [200, 255]]
    palette = Image.new("P", (2, 1))
    palette.putpalette([255, 0, 0, 0, 0, 255])
    palette.putdata([0, 1])
    grey_palette = Image.new("P", (2, 1))
    grey_palette.putpalette([9, 9, 9, 70, 70, 70])
    grey_palette.putdata([0, 1])
    hidden = Image.fromarray(np.array([[[255, 0, 0, 0], [10, 20, 30, 255]]], dtype=np.uint8))
    half = Image.fromarray(np.array([[[0, 51], [0, 255]]], dtype=np.uint8), "LA")
    floats = Image.fromarray(np.array([[0, 0.5], [0.25, 1]], dtype=np.float32))
    wide_floats = Image.fromarray(np.array([[0, 100], [200, 255]], dtype=np.float32))
    cases = {
        "16-bit PNG": (encoded(grey16(np.uint16), "PNG"), "L", two_grey),
        "16-bit TIFF": (encoded(grey16(np.uint16), "TIFF"), "L", two_grey),
        "32-bit TIFF": (encoded(grey16(np.int32), "TIFF"), "L", two_grey),
        "float TIFF to 1": (encoded(floats, "TIFF"), "L", [[0, 128], [64, 255]]),
        "float TIFF to 255": (encoded(wide_floats, "TIFF"), "L", two_grey),
        "bilevel": (encoded(Image.fromarray(np.array([[0, 255]], np.uint8)).convert("1"), "PNG"),
                    "L", [[0, 255]]),
        "palette": (encoded(palette, "PNG"), "RGB", [[[255, 0, 0], [0, 0, 255]]]),
        "grey palette": (encoded(grey_palette, "GIF"), "L", [[9, 70]]),
        "palette with a clear colour": (encoded(palette, "PNG", transparency=0), "RGB",
                                        [[[255, 255, 255], [0, 0, 255]]]),
        "grey with a clear level": (encoded(Image.fromarray(np.array([[7, 8]], np.uint8)), "PNG",
                                            transparency=7), "L", [[255, 8]]),
        "16 bits with a clear level": (encoded(grey16(np.uint16), "PNG", transparency=25700), "L",
                                       [[0, 255], [200, 255]]),
        "colour under alpha": (encoded(hidden, "PNG"), "RGB", [[[255, 255, 255], [10, 20, 30]]]),
        "grey and alpha": (encoded(half, "PNG"), "L", [[204, 0]]),
        "CMYK": (encoded(Image.new("CMYK", (1, 1), (255, 0, 0, 0)), "TIFF"), "RGB",
                 [[[0, 255, 255]]]),
    }  # fmt: skip
    for name, (data, mode, expected) in cases.items():
        image = decode.upright(data)
        assert image.mode == mode, name
        assert np.asarray(image).tolist() == expected, name


def test_a_cmyk_jpeg_is_not_a_negative():
    data = encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=100)
    image = decode.upright(data)
    assert image.mode == "RGB"
    assert np.abs(np.asarray(image).astype(int) - [255, 0, 0]).max() < 6


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_is_turned_upright(kind, orientation):
    array = pixels(1, size=(3, 2))
    stored = {
        1: array, 2: array[:, ::-1], 3: array[::-1, ::-1], 4: array[::-1],
        5: array.transpose(1, 0, 2), 6: np.rot90(array, 1),
        7: array[::-1, ::-1].transpose(1, 0, 2), 8: np.rot90(array, -1),
    }[orientation]  # fmt: skip
    image = Image.fromarray(np.ascontiguousarray(stored))
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    data = encoded(image, kind, exif=exif, **options)
    assert np.asarray(decode.upright(data)).tolist() == array.tolist()


def test_a_16_bit_image_is_turned_upright_too():
    exif = Image.Exif()
    exif[0x0112] = 6
    image = decode.upright(encoded(grey16(np.uint16), "PNG", exif=exif))
    assert np.asarray(image).tolist() == [[200, 0], [255, 100]]


def test_a_16_bit_colour_png_keeps_its_colours():
    def chunk(kind, body):
        check = zlib.crc32(kind + body)
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0)
    values = [257 * v for v in (0, 100, 255, 7, 8, 9)]
    data = zlib.compress(b"\0" + struct.pack(">6H", *values))
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    image = decode.upright(b"\x89PNG\r\n\x1a\n" + parts)
    assert np.asarray(image).tolist() == [[[0, 100, 255], [7, 8, 9]]]


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_damaged_exif_does_not_make_an_image_unreadable():
    data = encoded(Image.fromarray(pixels(1)), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert decode.upright(data).size == (8, 8)


def test_the_first_frame_of_an_animation_is_taken():
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert np.asarray(decode.upright(data))[0, 0].tolist() == [255, 0, 0]


@functools.cache
def broken_files():
    whole = png(pixels(0, (64, 64)))
    jpeg = encoded(Image.fromarray(pixels(0, (64, 64))), "JPEG")
    bomb = encoded(Image.new("1", (20_000, 6_000)), "PNG")
    huge = encoded(Image.new("1", (20_000, 20_000)), "PNG")
    too_deep = encoded(Image.fromarray(np.full((2, 2), 1e6, dtype=np.float32)), "TIFF")
    negative = encoded(Image.fromarray(np.full((2, 2), -1, dtype=np.int32)), "TIFF")
    missing = encoded(Image.fromarray(np.full((2, 2), np.nan, dtype=np.float32)), "TIFF")
    return {
        "empty": (b"", "empty"),
        "text": (b"hello", "not an image"),
        "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
        "cut PNG": (whole[: len(whole) // 2], "truncated"),
        "cut JPEG": (jpeg[: len(jpeg) // 2], "truncated"),
        "over 100 megapixels": (bomb, "20000x6000 pixels"),
        "400 megapixels": (huge, "pixels"),
        "float over 65535": (too_deep, "values from"),
        "negative": (negative, "values from"),
        "not a number": (missing, "values from"),
    }


@pytest.mark.filterwarnings("ignore:Image size")
@pytest.mark.parametrize("name", broken_files())
def test_what_cannot_be_decoded_says_why(name):
    data, reason = broken_files()[name]
    with pytest.raises(UnreadableError, match=reason):
        decode.upright(data)


def test_fitting_keeps_the_centre_square():
    array = np.zeros((20, 60, 3), dtype=np.uint8)
    array[:, 20:40] = 200
    layout = decode.Layout(10, 3, resize=True)
    image = Image.fromarray(array)
    assert (decode.fit(image, layout)[:, 2:-2] == 200).all()
    plain = image.resize((30, 10), Image.Resampling.BICUBIC).crop((10, 0, 20, 10))
    assert (decode.fit(image, layout) == np.asarray(plain)).all()
    assert (decode.fit(image.transpose(Image.Transpose.ROTATE_90), layout)[2:-2] == 200).all()
    thin = decode.fit(Image.new("L", (100_000, 1), 7), decode.Layout(10, 1, resize=True))
    assert (thin == 7).all()


def test_shrinking_is_antialiased():
    stripes = np.tile(np.array([0, 255], dtype=np.uint8), (64, 32))
    small = decode.fit(Image.fromarray(stripes), decode.Layout(8, 1, resize=True))
    assert np.abs(small.astype(int) - 127).max() < 20


# Folders of images


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


def test_sizes_that_differ_are_resized_to_224_or_as_asked(tmp_path, cache):
    root = two_classes(tmp_path / "pets")
    assert load(str(root), cache=cache).image_size == 8
    write(root / "test/dog/999.png", pixels(5, (30, 20)))
    assert load(str(root), cache=cache).train.images.shape[1:] == (224, 224, 3)
    assert load(str(root), cache=cache, image_size=12).image_size == 12


def test_grey_images_of_several_sizes_stay_grey(tmp_path, cache):
    root = two_classes(tmp_path / "pets", channels=1)
    write(root / "test/dog/999.png", pixels(5, (30, 20), channels=1))
    assert load(str(root), cache=cache).train.images.shape[1:] == (224, 224, 1)


def test_a_non_square_set_is_resized_even_if_all_sizes_are_equal(tmp_path, cache):
    root = two_classes(tmp_path / "pets", size=(8, 9))
    assert load(str(root), cache=cache).image_size == 224


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


# Tables


def test_a_folder_of_parquet_files_in_the_hubs_layout(tmp_path, cache):
    root = hub_folder(tmp_path / "pets")
    images = load(str(root), cache=cache)
    assert images.names == ("dog", "cat")
    assert [len(s) for s in (images.train, images.val, images.test)] == [45, 5, 8]
    assert images.test.labels.tolist() == [1, 0] * 4
    assert (images.test.images[3] == pixels([3, *b"c"])).all()
    assert load(f"{root}/data/*.parquet", cache=cache).fingerprint == images.fingerprint
    alone = load(f"{root}/data/train-00000-of-00002.parquet", cache=cache)
    assert [len(s) for s in (alone.train, alone.val, alone.test)] == [24, 3, 3]


def test_parquet_files_are_read_where_datasets_is_not_installed(tmp_path):
    root = hub_folder(tmp_path / "pets")
    code = "import sys; sys.modules['datasets'] = None; from vitexp.datasets.load import load;"
    code += f"print(*load({str(root)!r}).names)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "VITEXP_CACHE": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["dog", "cat"]


def test_a_data_set_saved_to_disk_is_the_same_as_its_parquet_files(tmp_path, cache):
    import datasets

    files = hub_folder(tmp_path / "pets") / "data"
    splits = {
        split: datasets.Dataset.from_parquet(
            sorted(str(f) for f in files.glob(f"{split}*")), cache_dir=str(tmp_path / "hub")
        )
        for split in ("train", "test")
    }
    datasets.DatasetDict(splits).save_to_disk(tmp_path / "saved")
    saved = load(str(tmp_path / "saved"), cache=cache)
    assert saved.fingerprint == load(str(files), cache=cache).fingerprint


def test_plain_columns_of_bytes_and_class_names(tmp_path, cache):
    import pandas as pd

    rows = image_rows(40, "a", ["oak", "elm", "ash"])
    frame = pd.DataFrame({"img": [c["bytes"] for c in rows["image"]], "target": rows["label"]})
    frame.to_parquet(tmp_path / "trees.parquet")
    images = load(str(tmp_path / "trees.parquet"), cache=cache)
    assert images.names == ("ash", "elm", "oak")
    assert images.name == "trees"
    stored = np.concatenate([s.images for s in (images.train, images.val, images.test)])
    labels = np.concatenate([s.labels for s in (images.train, images.val, images.test)])
    elm = (stored == pixels([1, *b"a"])).all((1, 2, 3))
    assert labels[elm].tolist() == [1]


def test_a_broken_row_is_named_or_skipped(tmp_path, cache):
    rows = image_rows(200, "a", [0, 1])
    rows["image"][170] = {"bytes": b"nothing", "path": None}
    write_parquet(tmp_path / "train.parquet", rows, hub_features())
    assert "train row 170: not an image" in refusal(tmp_path / "train.parquet", cache)
    images = load(str(tmp_path / "train.parquet"), cache=cache, reading=Reading(skip_broken=True))
    assert len(images.broken) == 1
    assert sum(len(s) for s in (images.train, images.val, images.test)) == 199


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda rows: rows.pop("label"), "no label column"),
        (lambda rows: rows.pop("image"), "no image column; its columns: label"),
        (lambda rows: rows["label"].__setitem__(3, -1), "train row 3 has label -1"),
        (lambda rows: rows["label"].__setitem__(3, None), "train row 3 has no label"),
        (lambda rows: rows.update(label=[0.5] * 40), "label column holds double"),
    ],
)
def test_a_table_that_is_no_data_set_says_why(tmp_path, cache, change, expected):
    import datasets

    rows = image_rows(40, "a", [0, 1])
    change(rows)
    path = tmp_path / "train.parquet"
    datasets.Dataset.from_dict(rows).to_parquet(str(path))
    assert expected in refusal(path, cache)


def test_labels_beyond_the_named_classes_are_refused(tmp_path, cache):
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = write_parquet(tmp_path / "train.parquet", image_rows(40, "a", [0, 1]), hub_features())
    table = pq.read_table(path)
    labels = pa.array([0, 1] * 19 + [0, 2], type=pa.int64())
    pq.write_table(table.set_column(1, table.schema.field(1), labels), path)
    assert "train row 39 has label 2; there are 2 classes" in refusal(path, cache)


def test_damaged_disagreeing_and_mixed_files_are_named(tmp_path, cache):
    root = hub_folder(tmp_path / "pets")
    part = root / "data/train-00001-of-00002.parquet"
    whole = part.read_bytes()
    part.write_bytes(whole[:-50])
    assert f"{part} cannot be read as parquet" in refusal(root, cache)
    write_parquet(part, image_rows(9, "b", ["x", "y"]))
    assert f"{part} has other columns" in refusal(root, cache)
    part.write_bytes(whole)
    write(root / "cat" / "1.png", pixels(0))
    assert "holds parquet files and image files, such as cat/1.png" in refusal(root, cache)


# Sources that are not there


def test_unknown_sources_name_the_nearest(tmp_path, cache):
    assert "Did you mean 'cifar10'?" in refusal("cifr10", cache)
    assert "no such file or folder" in refusal("./mnist", cache)
    assert "no such file or folder" in refusal(tmp_path / "pets" / "*.parquet", cache)
    (tmp_path / "notes.txt").write_text("hello")
    assert "notes.txt is no data set" in refusal(tmp_path / "notes.txt", cache)
    assert not cache.exists()


def test_without_a_network_a_hub_set_is_one_clear_error_without_retries(tmp_path):
    code = (
        "from vitexp.datasets.load import load\n"
        "from vitexp.errors import VitexpError\n"
        "try: load('cifar10')\n"
        "except VitexpError as error: print(error)"
    )
    nowhere = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path / "hf")}
    # A proxy would answer for the hub that is not there.
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("HF_") and not name.lower().endswith("_proxy")
    }
    environment = {**kept, **nowhere, "VITEXP_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=HANG_SECONDS,
    )
    assert done.stdout.startswith("The Hugging Face hub cannot be reached, and 'uoft-cs/cifar10'")
    assert "Retrying" not in done.stderr
    assert not (tmp_path / "cache").exists()


@pytest.fixture
def fake_hub(monkeypatch):
    """Stands for the network: `load_dataset` gives local data sets of the hub's form."""
    import datasets

    asked = []

    def load_dataset(name, config):
        asked.append((name, config))
        facts = hub.facts_of(name) or HUB_SETS["mnist"]
        features = hub_features(facts.image, facts.label)
        splits = {}
        for split, count in {"train": 40, "validation": 10, "test": 6}.items():
            rows = image_rows(count, split, [0, 1])
            columns = {facts.image: rows["image"], facts.label: rows["label"]}
            if split == "test" and facts.test != "test":
                columns[facts.label] = [-1] * count
            if split != "validation" or facts.test != "test":
                splits[split] = datasets.Dataset.from_dict(columns, features=features)
        return datasets.DatasetDict(splits)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.setattr(hub, "_reachable", lambda: True)
    return asked


@pytest.mark.parametrize("name", HUB_SETS)
def test_hub_sets_are_read_by_the_columns_and_splits_of_the_catalog(fake_hub, cache, name):
    images = load(name, cache=cache)
    facts = HUB_SETS[name]
    assert fake_hub == [(facts.hub, facts.config)]
    assert len(images.test) == (10 if name == "imagenet-1k" else 6)
    assert [len(images.train), len(images.val)] == [36, 4]
    assert images.names == ("dog", "cat")
    assert images.flips == (name not in ("mnist", "svhn"))
    assert (images.test.images[1] == pixels([1, *facts.test.encode()])).all()
    load(name.upper().replace("_", "-"), cache=cache)
    assert len(fake_hub) == 1, "a cached hub set needs no network"


def test_a_hub_id_with_a_configuration(fake_hub, cache):
    spec, images = describe("someone/letters:large", cache=cache)
    assert fake_hub == [("someone/letters", "large")]
    assert (spec.source, spec.name, images.flips) == ("someone/letters:large", "letters", True)
    assert not load("ylecun/mnist", cache=cache).flips


@pytest.mark.parametrize(
    ("reason", "expected"),
    [("Dataset 'x' is a gated dataset on the Hub.", "hf auth login"), ("not found", "no data set")],
)
def test_a_hub_set_that_is_refused(monkeypatch, cache, reason, expected):
    import datasets

    def load_dataset(name, config):
        raise datasets.exceptions.DatasetNotFoundError(reason)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.setattr(hub, "_reachable", lambda: True)
    assert expected in refusal("someone/letters", cache)


# Fingerprint and cache


def test_a_spec_finds_the_same_images_again_without_decoding(tmp_path, cache, monkeypatch):
    root = two_classes(tmp_path / "pets")
    monkeypatch.chdir(tmp_path)
    spec, images = describe("pets", cache=cache, fraction=0.5, subset_seed=3)
    assert (spec.train, spec.val, spec.test) == (45, 5, 10)
    assert (spec.name, spec.source, spec.image_size) == ("pets", str(root), 8)
    assert (spec.fraction, spec.subset_seed) == (0.5, 3)
    monkeypatch.chdir("/")
    monkeypatch.setattr("vitexp.datasets.build.build", None)
    again = load(spec.source, image_size=spec.image_size, cache=cache)
    assert again.fingerprint == spec.fingerprint == images.fingerprint
    assert (again.train.images == images.train.images).all()


def test_describe_leaves_out_what_does_not_matter_and_refuses_an_unusable_fraction():
    assert describe("digits", fraction=1.0)[0] == describe("digits", subset_seed=4)[0]
    with pytest.raises(VitexpError, match="smallest usable"):
        describe("digits", fraction=0.001)


def test_the_fingerprint_follows_content_and_not_place(tmp_path, cache):
    def fingerprint(name, **options):
        return load(str(tmp_path / name), cache=cache, **options).fingerprint

    for name in ("a", "b", "c", "d", "e"):
        two_classes(tmp_path / name)
    original = fingerprint("a")
    assert fingerprint("b") == original
    assert len(list((cache / "sets").iterdir())) == 1
    write(tmp_path / "c/train/cat/000.png", pixels(123))
    (tmp_path / "d/train/cat/000.png").rename(tmp_path / "d/train/dog/000a.png")
    for split in ("train", "test"):
        (tmp_path / f"e/{split}/cat").rename(tmp_path / f"e/{split}/cats")
    others = [fingerprint(n) for n in "cde"]
    others += [fingerprint("a", image_size=16), fingerprint("a", split_seed=1)]
    assert len({original, *others}) == 6


def ppm(*seed):
    """An image whose bytes no library's version changes."""
    drawn = np.random.Generator(np.random.PCG64(seed)).integers(0, 256, 48, dtype=np.uint8)
    return b"P6 4 4 255\n" + drawn.tobytes()


def test_fingerprints_stay_what_they_were(tmp_path, cache):
    """A change here makes every old result on folders or tables a result on other data."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    for s, (split, count) in enumerate({"train": 20, "valid": 6, "test": 5}.items()):
        for label, name in enumerate(("cat", "dog")):
            (tmp_path / "a" / split / name).mkdir(parents=True)
            for i in range(count):
                (tmp_path / "a" / split / name / f"{i}.ppm").write_bytes(ppm(s, label, i))
    numbered: dict[str, list[object]] = {"b": [0, 1], "c": ["x", "y"]}
    for folder, labels in numbered.items():
        (tmp_path / folder).mkdir()
        for s, (split, count) in enumerate({"train": 20, "test": 6}.items()):
            columns = {"image": [ppm(s, i) for i in range(count)], "label": labels * (count // 2)}
            pq.write_table(pa.table(columns), tmp_path / folder / f"{split}.parquet")
    expected = {"a": "03f8b73c736a11bc", "b": "4b960e7c869fed0c", "c": "2ab65f2abc027120"}
    for folder, begin in expected.items():
        assert load(str(tmp_path / folder), cache=cache).fingerprint.startswith(begin), folder


def test_what_sources_mean_is_a_part_of_what_the_cache_knows(tmp_path, cache, monkeypatch):
    root = two_classes(tmp_path / "pets")
    load(str(root), cache=cache)
    load(str(root), cache=cache)
    assert len(list((cache / "known").iterdir())) == 2
    for name, value in (("MEANING", 99), ("PREPROCESSING", 99)):
        monkeypatch.setattr(f"vitexp.datasets.load.{name}", value)
        load(str(root), cache=cache)
    for reading in (Reading(skip_broken=True), Reading(follow_links=True)):
        load(str(root), cache=cache, reading=reading)
    assert len(list((cache / "known").iterdir())) == 2 * 5


def test_a_changed_file_is_noticed(tmp_path, cache):
    root = two_classes(tmp_path / "pets")
    before = load(str(root), cache=cache)
    path = write(root / "test/cat/000.png", pixels(99))
    os.utime(path, ns=(1, 1))
    after = load(str(root), cache=cache)
    assert after.fingerprint != before.fingerprint
    assert (after.test.images[0] == pixels(99)).all()


def test_a_damaged_cache_is_built_again(tmp_path, cache):
    root = two_classes(tmp_path / "pets")
    first = load(str(root), cache=cache)
    expected = np.array(first.train.images)
    stored = cache / "sets" / first.fingerprint
    (stored / "train.images.npy").write_bytes(b"")
    assert (load(str(root), cache=cache).train.images == expected).all()
    (stored / "val.labels.npy").unlink()
    assert (load(str(root), cache=cache).train.images == expected).all()
    for known in (cache / "known").iterdir():
        known.write_text("{")
    assert load(str(root), cache=cache).fingerprint == first.fingerprint
    assert json.loads(next((cache / "known").iterdir()).read_text())


def _load_in_process(root, cache, start, results):
    start.wait(HANG_SECONDS)
    results.put(load(root, cache=Path(cache)).fingerprint)


def test_two_processes_may_build_the_same_set_at_once(tmp_path, cache):
    root = two_classes(tmp_path / "pets")
    spawn = multiprocessing.get_context("spawn")
    start, results = spawn.Barrier(2), spawn.Queue()
    arguments = (str(root), str(cache), start, results)
    processes = [spawn.Process(target=_load_in_process, args=arguments) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [p.exitcode for p in processes] == [0, 0]
    found = {results.get(timeout=HANG_SECONDS) for _ in processes}
    assert found == {load(str(root), cache=cache).fingerprint}
    assert {p.name for p in cache.iterdir()} - {"lock"} == {"known", "sets"}


def test_what_is_remembered_leaves_nothing_behind_when_it_is_cut_short(tmp_path, monkeypatch):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Cache(tmp_path).remember("key", Known("stamp", "fingerprint", ("a", "b"), 0, ()))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize("damaged", [False, True])
def test_whoever_finishes_the_same_set_finds_it_in_place(tmp_path, damaged):
    builders = 4
    together = threading.Barrier(builders)

    def provided(cache):
        with cache.building(1) as folder:
            for part in PARTS:
                with closing(SplitWriter(folder, part, 2, 1)) as writer:
                    writer.add(np.zeros((2, 2, 1), np.uint8), 0)
            together.wait(HANG_SECONDS)
            cache.publish(folder, "same")
            return cache.splits("same") is not None

    with ThreadPoolExecutor(builders) as pool:
        for attempt in range(50):
            cache = Cache(tmp_path / str(attempt))
            if damaged:
                in_the_way = cache.folder / "sets" / "same"
                in_the_way.mkdir(parents=True)
                (in_the_way / "train.images.npy").write_bytes(b"")
            assert list(pool.map(provided, [cache] * builders)) == [True] * builders


def test_a_cache_without_room_or_permission_is_said(tmp_path, cache, monkeypatch):
    root = two_classes(tmp_path / "pets")
    (tmp_path / "file").write_text("in the way")
    text = refusal(root, tmp_path / "file" / "cache")
    assert "cannot be written" in text
    assert "VITEXP_CACHE" in text
    full = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: full)
    assert "GB free" in refusal(root, cache)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_disk_that_fills_up_while_writing_is_said(tmp_path, cache, monkeypatch):
    root = two_classes(tmp_path / "pets")
    real = Path.open

    def full(path, mode="r", **options):
        return real(Path("/dev/full") if path.suffix == ".npy" else path, mode, **options)

    monkeypatch.setattr(Path, "open", full)
    assert "is full" in refusal(root, cache)


def test_what_a_killed_process_left_is_swept_after_a_day(tmp_path, cache):
    for name, age in (("building-old", 1), ("building-new", None)):
        write(cache / name / "train.images.npy", pixels(0))
        for path in (cache / name / "train.images.npy", cache / name):
            os.utime(path, None if age is None else (age, age))
    load(str(two_classes(tmp_path / "pets")), cache=cache)
    assert [p.name for p in cache.glob("building-*")] == ["building-new"]


def test_the_cache_is_where_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.setenv("VITEXP_CACHE", str(tmp_path / "mine"))
    load(str(two_classes(tmp_path / "pets")))
    assert (tmp_path / "mine" / "sets").is_dir()
    monkeypatch.delenv("VITEXP_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_module.default_cache() == tmp_path / "xdg" / "vitexp"


@pytest.mark.parametrize("size", [0, -3])
def test_an_image_size_below_one_is_refused(size):
    with pytest.raises(VitexpError, match="at least 1 pixel"):
        load("digits", image_size=size)
