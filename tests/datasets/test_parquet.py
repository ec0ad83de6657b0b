"""Parquet files: what they turn into, and what is said when they cannot be used."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from tests.pictures import (
    hub_features,
    hub_folder,
    image_rows,
    pixels,
    refusal,
    write,
    write_parquet,
)
from vitexp.datasets.load import load
from vitexp.spec import Reading


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
