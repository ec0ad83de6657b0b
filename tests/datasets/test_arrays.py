"""Arrays, MNIST's and CIFAR's files, and WebDataset's tar files."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import struct
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.pictures import pixels, png, refusal
from vitexp.datasets import pickled
from vitexp.datasets.load import describe, load
from vitexp.spec import Reading

COUNT, TEST = 40, 12


def drawn(count, name="a", side=8, channels=3):
    return np.stack([pixels([i, *name.encode()], (side, side), channels) for i in range(count)])


def assert_images(images, test, labels, train=COUNT):
    """The test images and their labels are these, in order; the others are those of train."""
    assert len(images.train) + len(images.val) == train
    expected = test if test.ndim == 4 else test[..., None]
    assert (images.test.images == expected).all()
    assert [images.names[label] for label in images.test.labels] == list(map(str, labels))


LABELS = [0, 1] * (COUNT // 2)


@pytest.mark.parametrize("names", [
    ("x_train", "y_train", "x_test", "y_test"),
    ("train_images", "train_labels", "test_images", "test_labels"),
    ("Xtrain", "Ytrain", "Xtst", "Ytst"),
])  # fmt: skip
@pytest.mark.parametrize("form", ["npz", "npy"])
def test_arrays_are_split_by_their_names_and_told_by_their_shapes(tmp_path, cache, names, form):
    train, test = drawn(COUNT), drawn(TEST, "b")
    values = (train, np.array(LABELS, np.uint8)[:, None], test, np.array(LABELS[:TEST]))
    if form == "npz":
        path = tmp_path / "pets.npz"
        np.savez(path, **dict(zip(names, values, strict=True)))
    else:
        path = tmp_path / "pets"
        path.mkdir()
        for name, value in zip(names, values, strict=True):
            np.save(path / f"{name}.npy", value)
    assert_images(load(str(path), cache=cache), test, LABELS[:TEST])


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a.transpose(0, 3, 1, 2),
        lambda a: a.astype(np.float32) / 255,
        lambda a: a.astype(np.float64),
        lambda a: a.astype(np.int64),
        lambda a: np.asfortranarray(a),
    ],
)
def test_arrays_of_other_types_give_the_same_images(tmp_path, cache, change):
    train, test = drawn(COUNT), drawn(TEST, "b")
    np.savez(tmp_path / "a.npz", x_train=change(train), y_train=LABELS, x_test=change(test),
             y_test=LABELS[:TEST])  # fmt: skip
    assert_images(load(str(tmp_path / "a.npz"), cache=cache), test, LABELS[:TEST])


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"x_train": drawn(COUNT).astype(float) * 300}, "values from 0 to 76500"),
        ({"x_train": drawn(COUNT).astype(float) - 9}, "values from -9 to"),
        ({"x_train": drawn(COUNT)[:-1]}, "39 images and 40 labels"),
        ({"x_train": drawn(COUNT).reshape(COUNT, -1)}, "holds no arrays of a train split"),
        ({"y_train": np.eye(2)[LABELS]}, "no arrays of labels"),
        ({"z_train": np.array(LABELS)}, "several arrays of labels"),
        ({"x_more": drawn(3), "y_more": np.arange(3)}, "name splits and '' names none"),
        ({"x_train": np.zeros((COUNT, 8, 8, 4), np.uint8)}, "has the shape (40, 8, 8, 4)"),
        ({"x_train": np.array([None] * COUNT)}, "cannot be read"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path, cache, change, expected):
    arrays: dict[str, Any] = {"x_train": drawn(COUNT), "y_train": np.array(LABELS)}
    arrays |= {"x_test": drawn(TEST, "b"), "y_test": np.array(LABELS[:TEST])}
    np.savez(tmp_path / "a.npz", **(arrays | change))
    assert expected in refusal(tmp_path / "a.npz", cache)


def test_arrays_that_are_not_used_are_counted(tmp_path, cache):
    np.savez(tmp_path / "a.npz", x_train=drawn(COUNT), y_train=LABELS, fine_train=np.arange(COUNT),
             x_test=drawn(TEST, "b"), mean=np.zeros((3, 2)))  # fmt: skip
    assert "several arrays of labels" in refusal(tmp_path / "a.npz", cache)
    reading = Reading(label_column="y_train")
    spec, images = describe(str(tmp_path / "a.npz"), cache=cache, reading=reading)
    assert [s.count for s in images.skipped] == [1, TEST]
    assert "12 images of the test split without labels" in spec.remarks[0]
    assert len(images.train) + len(images.val) + len(images.test) == COUNT


def idx(values):
    head = struct.pack(">BBBB", 0, 0, 8, values.ndim)
    return head + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


@pytest.mark.parametrize("packed", [False, True, "both"])
def test_mnists_files_are_read_packed_or_not(tmp_path, cache, packed):
    train, test = drawn(COUNT, channels=1), drawn(TEST, "b", channels=1)
    root = tmp_path / "mnist"
    root.mkdir()
    for name, values in {
        "train-images-idx3-ubyte": train,
        "train-labels-idx1-ubyte": np.array(LABELS, np.uint8),
        "t10k-images-idx3-ubyte": test,
        "t10k-labels-idx1-ubyte": np.array(LABELS[:TEST], np.uint8),
    }.items():
        if packed is not True:
            (root / name).write_bytes(idx(values))
        if packed:
            (root / f"{name}.gz").write_bytes(gzip.compress(idx(values)))
    images = load(str(root), cache=cache)
    assert_images(images, test, LABELS[:TEST])
    assert images.channels == 1
    assert [s.count for s in images.skipped] == ([4] if packed == "both" else [])
    (root / "t10k-images-idx3-ubyte").write_bytes(idx(test)[:-1])
    assert "t10k-images-idx3-ubyte cannot be read" in refusal(root, tmp_path / "other")


def planes(images):
    return images.transpose(0, 3, 1, 2).reshape(len(images), -1)


@pytest.mark.parametrize("fine", [False, True])
def test_cifars_binary_files_are_read(tmp_path, cache, fine):
    train, test = drawn(COUNT, side=32), drawn(TEST, "b", side=32)

    def rows(images, labels):
        own = np.array(labels, np.uint8)[:, None]
        before = [np.full_like(own, 7), own] if fine else [own]
        return np.concatenate([*before, planes(images)], axis=1).tobytes()

    files = {"train.bin": rows(train, LABELS)}
    if not fine:
        files = {f"data_batch_{i + 1}.bin": rows(train[20 * i : 20 * i + 20], LABELS[:20])
                 for i in range(2)}  # fmt: skip
    files["test.bin" if fine else "test_batch.bin"] = rows(test, LABELS[:TEST])
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / ("fine_label_names.txt" if fine else "batches.meta.txt")).write_text("cat\ndog\n")
    images = load(str(tmp_path), cache=cache)
    assert_images(images, test, [["cat", "dog"][label] for label in LABELS[:TEST]])
    assert images.skipped == ()


def batch(images, labels, key="labels", protocol=2):
    value = {"data": planes(images), key: list(labels), "filenames": ["a.png"] * len(images)}
    return pickle.dumps(value, protocol)


@pytest.mark.parametrize("fine", [False, True])
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_cifars_python_batches_are_read_without_running_them(tmp_path, cache, protocol, fine):
    train, test = drawn(COUNT, side=32), drawn(TEST, "b", side=32)
    key, names = ("fine_labels", "fine_label_names") if fine else ("labels", "label_names")
    halves = {f"data_batch_{i + 1}": (train[20 * i : 20 * i + 20], LABELS[:20]) for i in range(2)}
    files = {"train": (train, LABELS)} if fine else halves
    files["test" if fine else "test_batch"] = (test, LABELS[:TEST])
    for name, (images, labels) in files.items():
        (tmp_path / name).write_bytes(batch(images, labels, key, protocol))
    meta = {names: ["cat", "dog"], "coarse_label_names": ["pet"]}
    (tmp_path / ("meta" if fine else "batches.meta")).write_bytes(pickle.dumps(meta, protocol))
    found = load(str(tmp_path), cache=cache)
    assert_images(found, test, [["cat", "dog"][label] for label in LABELS[:TEST]])


def test_a_batch_of_python_2_has_its_bytes_as_text(tmp_path):
    """As in the published files: protocol 2, and arrays whose content is a Python 2 string."""
    content = (
        b"\x80\x02}q\x01(U\x04dataq\x02cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\n"
        b"ndarray\nq\x04K\x00\x85U\x01b\x87Rq\x05(K\x01K\x02K\x03\x86cnumpy\ndtype\nq\x06U\x02u1K"
        b"\x00K\x01\x87Rq\x07(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x06"
        b"\x00\x01\x02\xfd\xfe\xfftbU\x06labelsq\x08]q\x09(K\x06K\x09eu."
    )
    (tmp_path / "batch").write_bytes(content)
    found = pickled.read(tmp_path / "batch")
    assert found["data"].tolist() == [[0, 1, 2], [253, 254, 255]]
    assert found["labels"] == [6, 9]


class Runs:
    def __reduce__(self):
        return print, ("this must not run",)


@pytest.mark.parametrize(
    "value",
    [
        Runs(),
        {"data": [Runs()]},
        {1, 2},
        Path("a"),
        np.array([None, "x"], object),
        np.dtype("O"),
        np.array,
    ],
)
@pytest.mark.parametrize("protocol", [0, 1, 2, 4, 5])
def test_a_pickle_of_anything_else_is_refused(tmp_path, capsys, value, protocol):
    (tmp_path / "batch").write_bytes(pickle.dumps(value, protocol))
    with pytest.raises(pickled.PlainError):
        pickled.read(tmp_path / "batch")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_plain_values_come_out_as_they_went_in(tmp_path, protocol):
    value: dict[str, Any] = {
        "a": [1, 2.5, None, True, -(2**70)],
        "b": (b"x\xff", "é", {}),
        "c": ([],),
        "d": {1: []},
    }
    value["again"] = value["a"]
    array = np.arange(12, dtype=">i2").reshape(3, 4)
    (tmp_path / "batch").write_bytes(pickle.dumps([value, array, array.T], protocol))
    found, one, other = pickled.read(tmp_path / "batch")
    assert found == value
    assert (one == array).all() and (other == array.T).all()


def test_a_batch_that_would_run_code_is_refused_by_name(tmp_path, cache):
    (tmp_path / "data_batch_1").write_bytes(pickle.dumps(Runs(), 2))
    (tmp_path / "test_batch").write_bytes(pickle.dumps({}, 2))
    assert "it asks for builtins.print" in refusal(tmp_path, cache).replace(
        "__builtin__", "builtins"
    )


def tar(path, members):
    with tarfile.open(path, "w") as opened:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            opened.addfile(info, io.BytesIO(content))
    return path


def samples(count, name, form):
    members = {}
    for i, image in enumerate(drawn(count, name)):
        members[f"{name}/{i:04}.png"] = png(image)
        if form == "cls":
            members[f"{name}/{i:04}.cls"] = str(i % 2).encode()
        elif form == "json":
            members[f"{name}/{i:04}.json"] = json.dumps({"label": ["cat", "dog"][i % 2]}).encode()
    return members


@pytest.mark.parametrize("form", ["cls", "json"])
def test_webdatasets_tar_files_are_read(tmp_path, cache, form):
    root = tmp_path / "pets"
    root.mkdir()
    tar(root / "train-000000.tar", samples(25, "a", form))
    tar(root / "train-000001.tar", samples(15, "c", form) | {"c/0003.txt": b"a caption"})
    tar(root / "test-000000.tar", samples(TEST, "b", form))
    (root / "README.md").write_text("pets")
    images = load(str(root), cache=cache)
    names = [0, 1] if form == "cls" else ["cat", "dog"]
    assert_images(images, drawn(TEST, "b"), names * (TEST // 2))
    assert sorted(s.count for s in images.skipped) == [1, 1]
    alone = load(str(root / "train-000000.tar"), cache=cache)
    assert len(alone.train) + len(alone.val) + len(alone.test) == 25


def test_tar_files_without_labels_are_left_out_or_refused(tmp_path, cache):
    root = tmp_path / "pets"
    root.mkdir()
    members = samples(COUNT, "a", "cls")
    del members["a/0003.cls"]
    tar(root / "train.tar", members)
    tar(root / "test.tar", samples(TEST, "b", "none"))
    images = load(str(root), cache=cache)
    assert {s.reason: s.count for s in images.skipped} == {
        "images in tar files without a label": TEST + 1
    }
    tar(root / "train.tar", samples(COUNT, "a", "none"))
    assert "no tar file with KEY.jpg and KEY.cls" in refusal(root, tmp_path / "other")
    (root / "train.tar").write_bytes(b"no tar file at all")
    assert "train.tar cannot be read as a tar file" in refusal(root, tmp_path / "other")


def test_nested_lists_are_images(tmp_path, cache):
    images = drawn(COUNT)
    made = pa.table({"image": images.tolist(), "label": LABELS})
    pq.write_table(made, tmp_path / "pets.parquet")
    found = load(str(tmp_path / "pets.parquet"), cache=cache)
    whole = {image.tobytes() for split in (found.train, found.val, found.test)
             for image in split.images}  # fmt: skip
    assert whole == {image.tobytes() for image in images}
    wrong = images.astype(int)
    wrong[3] += 100
    pq.write_table(pa.table({"image": wrong.tolist(), "label": LABELS}), tmp_path / "b.parquet")
    assert "row 3: its values are not from 0 to 255" in refusal(tmp_path / "b.parquet", cache / "b")
