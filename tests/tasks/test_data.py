"""What ``vitexp data`` says of a source, and its contact sheet."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from tests.commands import call, read
from tests.pictures import image_folder, pixels, two_classes, write
from vitexp.datasets.load import describe, load
from vitexp.render.sheet import CLASSES, sheet


@pytest.fixture
def pets(tmp_path):
    """Two classes with two sizes, copies within and across the splits, and files left out."""
    root = two_classes(tmp_path / "pets")
    write(root / "train/cat/large.png", pixels(1, (30, 20)))
    for copy in ("train/cat/copy.png", "train/dog/copy.png", "test/dog/copy.png"):
        (root / copy).write_bytes((root / "train/dog/000.png").read_bytes())
    (root / "train/cat/notes.txt").write_text("none")
    return root


def test_a_folder_is_described_with_splits_classes_sizes_copies_and_what_was_left(
    pets, tmp_path, capsys
):
    found = read(capsys, "data", pets, "--image-size", "8", "--out", tmp_path)
    assert (found["name"], found["image_size"], found["channels"]) == ("pets", 8, 3)
    assert [c["name"] for c in found["classes"]] == ["cat", "dog"]
    assert {part: sum(c[part] for c in found["classes"]) for part in found["splits"]} == (
        found["splits"]
    )
    assert sum(found["splits"].values()) == 64
    assert found["sizes"]["different"] == 2
    assert found["sizes"]["largest"] == {"width": 30, "height": 20, "images": 1}
    assert found["sizes"]["sizes"][0] == {"width": 8, "height": 8, "images": 63}
    duplicates = found["duplicates"]
    twice = sum(duplicates["within"].values()) + duplicates["across"]["val in train"]
    assert twice >= 2
    assert duplicates["across"]["test in train"] + duplicates["across"]["test in val"] >= 1
    assert [(s["count"], s["example"]) for s in found["skipped"]] == [(1, "train/cat/notes.txt")]
    assert any("1 .txt files" in text for text in found["remarks"])
    with Image.open(found["files"][0]) as picture:
        assert picture.size[1] > 2 * 64
    code, out, err = call(capsys, "data", pets, "--image-size", "8", "--out", tmp_path)
    assert code == 0
    assert "2, 8x8 to 30x20; most often 63 of 8x8" in out
    assert "notes.txt" in err


def test_what_an_earlier_version_decoded_is_counted_when_it_is_asked_for(pets, cache, capsys):
    spec, images = describe(str(pets), image_size=8, cache=cache)
    for path in cache.glob("known/*.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"census": None}))
    assert load(str(pets), image_size=8, cache=cache).census is None
    again, counted = describe(str(pets), image_size=8, cache=cache, counted=True)
    assert counted.census == images.census is not None
    assert again == spec


def test_the_digits_are_described_and_bad_sources_are_refused(tmp_path, capsys):
    digits = read(capsys, "data", "digits", "--out", tmp_path)
    assert digits["sizes"]["sizes"] == [{"width": 8, "height": 8, "images": 1797}]
    assert len(digits["classes"]) == 10
    code, _, err = call(capsys, "data", tmp_path / "nothing", "--out", tmp_path)
    assert (code, "There is no such file" in err) == (2, True)
    image_folder(tmp_path / "a", {"train_set/cat": 9, "train_set/dog": 9, "check/cat": 4})
    code, _, err = call(capsys, "data", tmp_path / "a", "--out", tmp_path)
    assert (code, "names a split and 'check'" in err) == (2, True)


def test_a_sheet_shows_each_class_by_images_of_its_own(tmp_path, cache):
    for split, count in (("train", 12), ("test", 5)):
        for level in range(CLASSES + 1):
            for i in range(count):
                write(tmp_path / f"grey/{split}/{level:02}{'W' * 40}/{i}.png",
                      np.full((8, 8), 8 * level, np.uint8))  # fmt: skip
    content = sheet(load(str(tmp_path / "grey"), cache=cache))
    assert content == sheet(load(str(tmp_path / "grey"), cache=cache))
    (tmp_path / "sheet.png").write_bytes(content)
    with Image.open(tmp_path / "sheet.png") as picture:
        shown = np.asarray(picture.convert("L"))
    assert len(shown) == 20 + 68 * CLASSES
    assert shown[20:, :152].min() == 0 and shown[:, 154:160].min() == 255, "no name under an image"
    for label in range(CLASSES):
        row = shown[20 + 68 * label + 32]
        assert (row[160:] == 8 * label).sum() >= 12 * 64
