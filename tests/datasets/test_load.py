"""From a source's name to images: some classes, some images, and the same ones again."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from tests.pictures import image_folder, refusal, two_classes
from vitexp.datasets.load import describe, images_of, load
from vitexp.errors import VitexpError
from vitexp.spec import digest, identity


def test_unknown_sources_name_the_nearest(tmp_path, cache):
    assert "Did you mean 'cifar10'?" in refusal("cifr10", cache)
    assert "no such file or folder" in refusal("./mnist", cache)
    assert "no such file or folder" in refusal(tmp_path / "pets" / "*.parquet", cache)
    (tmp_path / "notes.txt").write_text("hello")
    assert "notes.txt is no data set" in refusal(tmp_path / "notes.txt", cache)
    assert not cache.exists()


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


@pytest.mark.parametrize("size", [0, -3])
def test_an_image_size_below_one_is_refused(size):
    with pytest.raises(VitexpError, match="at least 1 pixel"):
        load("digits", image_size=size)
