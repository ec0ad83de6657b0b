"""Random trees and tables: every file is used, counted as left out, or the source refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.pictures import pixels, png
from vitexp.datasets.load import load
from vitexp.errors import VitexpError

SPLITS = (
    "train",
    "training_set",
    "seg_train",
    "test",
    "test_set",
    "val",
    "eval",
    "holdout",
    "check",
)
CLASSES = ("cat", "dog", "images", "test_tube", "@eaDir", ".hidden")
IMAGES = ("{}.png", "{}.jfif", "{}")
OTHERS = ("{}.txt", ".{}.png", "Thumbs.db", "{}.heic", "{}.")


def counted(source: Path, cache: Path) -> int | None:
    """Images used and files or rows left out; None where the source is refused in words."""
    try:
        images = load(str(source), cache=cache)
    except VitexpError as error:
        return None if error.remedy else pytest.fail(f"no remedy: {error.problem}")
    used = len(images.train) + len(images.val) + len(images.test)
    return used + sum(each.count for each in images.skipped) + len(images.broken)


def grown(root: Path, rng: np.random.Generator) -> int:
    """A random tree below ``root``; how many files it has."""
    splits = rng.choice(SPLITS, rng.integers(0, 4), replace=False).tolist() or [""]
    if rng.random() < 0.7:
        splits = [name for name in splits if name != "check"] or ["train", "test"]
    # Mostly plain trees, so that many are understood.
    classes = ["cat", "dog", *(rng.choice(CLASSES[2:], 1) if rng.random() < 0.3 else [])]
    for split in splits:
        for label in classes:
            folder = root / split / label
            folder.mkdir(parents=True, exist_ok=True)
            for i in range(int(rng.integers(10, 16))):
                form = str(rng.choice(OTHERS if rng.random() < 0.1 else IMAGES))
                image = png(pixels([i, *f"{split}/{label}".encode()]))
                (folder / form.format(i)).write_bytes(b"none" if form in OTHERS else image)
    return sum(path.is_file() for path in root.rglob("*"))


@pytest.mark.parametrize("block", range(4))
def test_every_file_of_a_random_tree_is_used_or_counted(block, tmp_path):
    understood = 0
    for seed in range(10 * block, 10 * (block + 1)):
        root = tmp_path / f"tree{seed}"
        files = grown(root, np.random.default_rng(seed))
        found = counted(root, tmp_path / "cache")
        assert found in (None, files), seed
        understood += found is not None
    assert understood >= 2


LABELS = (
    ("text", lambda n: ["cat", "dog"] * (n // 2)),
    ("numbers", lambda n: [1, 2] * (n // 2)),
    ("truth", lambda n: [True, False] * (n // 2)),
    ("missing", lambda n: ["cat", None] * (n // 2)),
    ("several", lambda n: [[0], [0, 1]] * (n // 2)),
    ("fractions", lambda n: [0.5, 1.0] * (n // 2)),
)


@pytest.mark.parametrize(("kind", "labels"), LABELS, ids=[kind for kind, _ in LABELS])
def test_every_row_of_a_random_table_is_used_or_counted(kind, labels, tmp_path):
    rng, understood = np.random.default_rng(len(kind)), 0
    for turn in range(4):
        root, rows = tmp_path / f"table{turn}", 0
        root.mkdir()
        for split in rng.choice(SPLITS, rng.integers(1, 3), replace=False).tolist():
            count = 2 * int(rng.integers(15, 25))
            images = [png(pixels([turn, i, *split.encode()])) for i in range(count)]
            table = pa.table({"image": images, "label": labels(count)})
            pq.write_table(table, root / f"{split}-00000-of-00001.parquet")
            rows += count
        found = counted(root, tmp_path / "cache")
        assert found in (None, rows), (kind, turn)
        understood += found is not None
    assert understood or kind in ("missing", "several", "fractions")
