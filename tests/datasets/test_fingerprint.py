"""A data set's fingerprint follows its images, and stays what it was."""

from __future__ import annotations

import numpy as np

from tests.pictures import pixels, two_classes, write
from vitexp.datasets.load import load


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
