"""Tables as people write them: every type that can hold a class, names of files and columns."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from tests.pictures import hub_features, image_rows, pixels, png, refusal, write_parquet
from vitexp.datasets.load import describe, load
from vitexp.spec import Reading

COUNT = 40


def table(labels: Any, name: str = "a", **more: Any) -> pa.Table:
    """A table with images and ``labels``, an Arrow array or what makes one."""
    images = [png(pixels([i, *name.encode()])) for i in range(len(labels))]
    return pa.table({"image": images, "label": labels, **more})


def save(path: Path, made: pa.Table) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(made, path)
    return path


def labels_of(images, name="a", count=COUNT):
    """The class name that each image of :func:`table` came to."""
    found = {}
    for split in (images.train, images.val, images.test):
        for image, label in zip(split.images, split.labels, strict=True):
            found[image.tobytes()] = images.names[label]
    return [found[pixels([i, *name.encode()]).tobytes()] for i in range(count)]


INTEGERS = [pa.int8(), pa.int16(), pa.int32(), pa.int64()]
INTEGERS += [pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()]
NUMBERS = [*INTEGERS, pa.float16(), pa.float32(), pa.float64()]
NUMBERS += [pa.decimal128(5, 1), pa.decimal256(40, 2)]
TEXTS = [pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary()]
TEXTS += [pa.binary_view()]


@pytest.mark.parametrize("kind", NUMBERS, ids=str)
@pytest.mark.parametrize("form", ["plain", "dictionary", "list", "large list", "fixed list"])
def test_whole_numbers_of_every_type_are_classes(tmp_path, cache, kind, form):
    values: Any = [0, 1, 2, 1] * 10
    if pa.types.is_decimal(kind):
        values = list(map(Decimal, values))
    if pa.types.is_floating(kind):
        values = np.array(values, kind.to_pandas_dtype())
    numbers = pa.array(values, kind)
    arrays = {
        "plain": lambda: numbers,
        "dictionary": lambda: pa.DictionaryArray.from_arrays(
            pa.array([2, 0, 1, 0] * 10, pa.int8()), numbers[1:4].take(pa.array([0, 1, 2]))
        ),
        "list": lambda: pa.ListArray.from_arrays(list(range(COUNT + 1)), numbers),
        "large list": lambda: pa.LargeListArray.from_arrays(list(range(COUNT + 1)), numbers),
        "fixed list": lambda: pa.FixedSizeListArray.from_arrays(numbers, 1),
    }
    labels = arrays[form]()
    expected = {"dictionary": ["1", "1", "2", "1"]}.get(form, ["0", "1", "2", "1"]) * 10
    try:
        path = save(tmp_path / "pets.parquet", table(labels))
    except (pa.ArrowNotImplementedError, pa.ArrowTypeError):
        path = tmp_path / "pets.arrow"
        pyarrow.feather.write_feather(table(labels), str(path), compression="uncompressed")
    images = load(str(path), cache=cache)
    assert labels_of(images) == expected
    assert bool(images.notes) == (form == "dictionary")


@pytest.mark.parametrize("kind", TEXTS, ids=str)
def test_texts_of_every_type_are_classes(tmp_path, cache, kind):
    values = ["oak", "elm", "ash", "elm"] * 10
    encoded = [v.encode() for v in values] if "binary" in str(kind) else values
    path = save(tmp_path / "trees.parquet", table(pa.array(encoded, kind)))
    images = load(str(path), cache=cache)
    assert images.names == ("ash", "elm", "oak")
    assert labels_of(images) == values


@pytest.mark.parametrize("form", ["text", "number"])
def test_a_pandas_categorical_is_what_its_values_are(tmp_path, cache, form):
    values = ["dog", "cat"] * 20 if form == "text" else [1, 0] * 20
    cells = [png(pixels([i, *b"a"])) for i in range(COUNT)]
    frame = pd.DataFrame({"image": cells, "label": pd.Categorical(values)})
    frame.to_parquet(tmp_path / "pets.parquet")
    images = load(str(tmp_path / "pets.parquet"), cache=cache)
    assert labels_of(images) == list(map(str, values))
    assert images.names == (("cat", "dog") if form == "text" else ("0", "1"))


def test_truth_values_are_classes(tmp_path, cache):
    path = save(tmp_path / "pets.parquet", table([True, False] * 20))
    images = load(str(path), cache=cache)
    assert images.names == ("False", "True")
    assert labels_of(images) == ["True", "False"] * 20


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ([1, 2] * 20, ("1", "2")),
        ([9_000_001, 9_000_002] * 20, ("9000001", "9000002")),
        ([10, 9] * 20, ("9", "10")),
        (pa.array([2**64 - 1, 7] * 20, pa.uint64()), ("7", str(2**64 - 1))),
        ([3.0, 1.0] * 20, ("1", "3")),
    ],
)
def test_labels_that_do_not_count_from_0_are_numbered_and_that_is_said(
    tmp_path, cache, values, names
):
    spec, images = describe(str(save(tmp_path / "pets.parquet", table(values))), cache=cache)
    assert images.names == names
    assert labels_of(images) == [str(pa.scalar(v).as_py()).removesuffix(".0") for v in values]
    assert f"The labels {', '.join(names)} are classes of these names" in spec.remarks[0]


def test_a_named_class_without_images_stays_and_is_said(tmp_path, cache):
    import datasets

    classes = datasets.ClassLabel(names=["fish", "dog", "cat"])
    features = datasets.Features({"image": datasets.Image(), "label": classes})
    path = write_parquet(tmp_path / "a.parquet", image_rows(300, "a", [1, 2]), features)
    spec, images = describe(str(path), cache=cache)
    assert images.names == ("fish", "dog", "cat")
    assert set(images.train.labels) == {1, 2}
    assert spec.remarks == ("a: 'fish' of 3 classes has no training image.",)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([[0], [0, 1]] * 20, "train row 1 has several labels or none ([0, 1])"),
        ([["a"], []] * 20, "train row 1 has several labels or none ([])"),
        ([0.5, 1.0] * 20, "the label column holds double such as 0.5"),
        ([float("inf"), 1.0] * 20, "the label column holds double such as inf"),
        ([Decimal("0.5"), Decimal("1")] * 20, "holds decimal128(2, 1) such as 0.5"),
        ([{"a": 1}] * 40, "the label column holds struct<a: int64> such as {'a': 1}"),
        (pa.array([0] * 40, pa.timestamp("s")), "the label column holds timestamp[ms] such as"),
        ([b"\xff\xfe"] * 40, "bytes that are no text"),
        ([0.0, float("nan")] * 20, "train row 1 has no label"),
        ([0, 1, None, 1] * 10, "train row 2 has no label"),
        (["a", "b", "", "a"] * 10, "train row 2 has no label"),
        (pa.nulls(40), "train row 0 has no label"),
        ([0, 1, -1, 1] * 10, "train row 2 has label -1, which names no class"),
        ([1] * 40, "the class '1' only"),
    ],
)
def test_what_is_no_class_is_refused_in_two_lines(tmp_path, cache, labels, expected):
    text = refusal(save(tmp_path / "pets.parquet", table(labels)), cache)
    assert expected in text
    assert len(text.splitlines()) == 2


@pytest.mark.parametrize(
    "note",
    [
        b'{"info": {"features": null}}',
        b'{"info": {"features": {"label": null, "image": 3}}}',
        *(b'{"info": null}', b"null", b"[]", b"{", b"{}"),
    ],
)
def test_notes_of_another_form_do_not_matter(tmp_path, cache, note):
    made = table([0, 1] * 20).replace_schema_metadata({b"huggingface": note})
    images = load(str(save(tmp_path / "pets.parquet", made)), cache=cache)
    assert images.names == ("0", "1")


def test_files_of_one_split_may_differ_in_the_width_of_a_number(tmp_path, cache):
    save(tmp_path / "pets/train-0.parquet", table(pa.array([0, 1] * 20, pa.int64())))
    save(tmp_path / "pets/train-1.parquet", table(pa.array([1, 2] * 20, pa.uint8()), "b"))
    images = load(str(tmp_path / "pets"), cache=cache)
    assert images.names == ("0", "1", "2")
    assert labels_of(images, "b") == ["1", "2"] * 20
    save(tmp_path / "pets/train-2.parquet", table(["x", "y"] * 20, "c"))
    assert "has other columns than" in refusal(tmp_path / "pets", tmp_path / "other")
    (tmp_path / "pets/train-2.parquet").rename(tmp_path / "pets/test-0.parquet")
    text = refusal(tmp_path / "pets", tmp_path / "other")
    assert "labels are names in one split, numbers in another" in text


# Which files and splits


def three(root, train="train", other="test", unlike=None):
    save(root / f"{train}-0.parquet", table([0, 1] * 50, "a"))
    save(root / f"{other}-0.parquet", table([0, 1] * 10, "b"))
    if unlike:
        save(root / f"{unlike}-0.parquet", table([0, 1] * 10, "c"))
    return root


def sizes(images):
    return [len(split) for split in (images.train, images.val, images.test)]


@pytest.mark.parametrize("other", ["test", "eval", "holdout", "valid", "dev", "tst", "Val"])
def test_files_are_split_by_their_names(tmp_path, cache, other):
    images = load(str(three(tmp_path / "pets", "training_set", other)), cache=cache)
    assert sizes(images) == [90, 10, 20]
    assert bool(images.notes) == (other == "eval")


def test_files_of_which_some_name_a_split_are_refused(tmp_path, cache):
    text = refusal(three(tmp_path / "pets", "train", "test", "rest"), cache)
    assert "'test-0.parquet', 'train-0.parquet' name splits and" in text
    assert "rest-0.parquet' names none" in text
    text = refusal(three(tmp_path / "more", "train", "val", "dev"), cache)
    assert "same split twice" in text
    images = load(str(three(tmp_path / "none", "red", "blue")), cache=cache)
    assert sizes(images) == [97, 11, 12]
    assert "None of the 2 files names a split" in images.notes[0]


def test_a_missing_file_of_several_is_named(tmp_path, cache):
    root = tmp_path / "pets"
    for number in (0, 2):
        save(root / f"train-0000{number}-of-00003.parquet", table([0, 1] * 20, f"{number}"))
    assert "holds 2 of 3 files of 'train': number 1 is missing" in refusal(root, cache)
    assert sum(sizes(load(f"{root}/*.parquet", cache=cache))) == 80


def test_arrow_files_are_tables_too(tmp_path, cache):
    root = tmp_path / "pets"
    root.mkdir()
    pyarrow.feather.write_feather(table([0, 1] * 20), str(root / "train.feather"))
    made = table([0, 1] * 10, "b")
    with (
        pa.OSFile(str(root / "test.arrow"), "wb") as file,
        pa.ipc.new_stream(file, made.schema) as stream,
    ):
        stream.write_table(made)
    assert sizes(load(str(root), cache=cache)) == [36, 4, 20]
    (root / "test.arrow").write_bytes(b"ARROW1 and no more")
    assert "test.arrow cannot be read as arrow" in refusal(root, tmp_path / "other")


def test_what_else_lies_beside_tables_is_counted(tmp_path, cache):
    root = three(tmp_path / "pets")
    (root / "README.md").write_text("pets")
    (root / ".gitattributes").write_text("*")
    (root / "train-0.parquet").rename(root / "train-0.pq")
    images = load(str(root), cache=cache)
    assert sizes(images) == [90, 10, 20]
    assert {s.example: s.count for s in images.skipped} == {"README.md": 1, ".gitattributes": 1}


def saved(root, **splits):
    import datasets

    features = hub_features()
    made = {
        name: datasets.Dataset.from_dict(image_rows(count, name, [0, 1]), features=features)
        for name, count in splits.items()
    }
    datasets.DatasetDict(made).save_to_disk(root)
    return root


@pytest.mark.parametrize("name", ["val", "valid", "validation", "dev", "eval", "test_set"])
def test_the_held_out_split_of_a_saved_data_set_is_kept(tmp_path, cache, name):
    images = load(str(saved(tmp_path / "pets", train=40, **{name: 12})), cache=cache)
    assert sizes(images) == [36, 4, 12]
    assert (images.test.images[3] == pixels([3, *name.encode()])).all()


def test_a_split_of_a_saved_data_set_that_means_none_is_counted(tmp_path, cache):
    spec, images = describe(str(saved(tmp_path / "a", train=40, test=12, extra=9)), cache=cache)
    assert (sizes(images), images.skipped[0].count) == ([36, 4, 12], 9)
    assert "9 rows of the split 'extra', which is not used" in spec.remarks[0]
    more = saved(tmp_path / "c", train=40, train_extra=7, trainval=5, validation=6, test=4, eval=3)
    images = load(str(more), cache=cache)
    assert (sizes(images), [s.count for s in images.skipped]) == ([40, 6, 4], [7, 5, 3])
    text = refusal(saved(tmp_path / "b", train=40, val=3, dev=3), tmp_path / "other")
    assert "same split twice: dev, val" in text


@pytest.mark.parametrize("gap", [None, -1])
def test_a_test_split_without_labels_is_left_out_and_said(tmp_path, cache, gap):
    save(tmp_path / "pets/train.parquet", table([0, 1] * 50))
    save(tmp_path / "pets/test.parquet", table(pa.array([gap] * 20, pa.int64()), "b"))
    spec, images = describe(str(tmp_path / "pets"), cache=cache)
    assert sizes(images) == [81, 9, 10]
    assert "20 rows of the test split without labels" in spec.remarks[0]
    save(tmp_path / "pets/test.parquet", table(pa.array([gap, 1] * 10, pa.int64()), "b"))
    assert "test row 0 has" in refusal(tmp_path / "pets", tmp_path / "other")


# Columns and paths


def test_columns_are_chosen_where_names_leave_it_open(tmp_path, cache):
    views = [png(pixels([i, *b"b"])) for i in range(COUNT)]
    made = table([0, 1] * 20, target=["x", "y", "z", "y"] * 10, view=views)
    path = str(save(tmp_path / "pets.parquet", made))
    images = load(path, cache=cache)
    assert images.names == ("0", "1")
    assert "Labels are read from the column 'label', not from 'target'" in images.notes[0]
    spec, other = describe(
        path, cache=cache, reading=Reading(label_column="target", image_column="view")
    )
    assert other.names == ("x", "y", "z")
    assert labels_of(other, "b") == ["x", "y", "z", "y"] * 10
    assert spec.reading == Reading(label_column="target", image_column="view")
    assert other.fingerprint == load(path, cache=cache, reading=spec.reading).fingerprint
    text = refusal(path, tmp_path / "other", reading=Reading(label_column="lable"))
    assert "Unknown label column 'lable'" in text
    assert "Did you mean 'label'" in text
    assert "lie.parquet" not in text


def test_columns_of_other_names_are_asked_for(tmp_path, cache):
    made = table([0, 1] * 20).rename_columns(["picture", "kind"])
    path = save(tmp_path / "pets.parquet", made)
    assert "--image-column" in refusal(path, cache)
    assert "--label-column" in refusal(path, cache, reading=Reading(image_column="picture"))
    whole = Reading(image_column="picture", label_column="kind")
    assert len(load(str(path), cache=cache, reading=whole).test) == 4


@pytest.mark.parametrize("form", ["text", "struct"])
def test_paths_in_a_table_start_from_the_table(tmp_path, cache, form, monkeypatch):
    root = tmp_path / "pets"
    (root / "data/pics").mkdir(parents=True)
    for i in range(COUNT):
        (root / f"data/pics/{i}.png").write_bytes(png(pixels([i, *b"a"])))
    cells: list[Any] = [f"pics/{i}.png" for i in range(COUNT)]
    if form == "struct":
        cells = [{"bytes": None, "path": cell} for cell in cells]
    path = save(root / "data/train.parquet", pa.table({"image": cells, "label": [0, 1] * 20}))
    monkeypatch.chdir("/")
    assert labels_of(load(str(path), cache=cache)) == ["0", "1"] * 20
    (root / "data/pics/3.png").unlink()
    text = refusal(path, tmp_path / "other")
    assert f"train row 3: {root}/data/pics/3.png: No such file" in text


def test_column_flags_mean_nothing_to_a_folder_of_images(tmp_path, cache):
    (tmp_path / "pets/cat").mkdir(parents=True)
    (tmp_path / "pets/cat/1.png").write_bytes(png(pixels(1)))
    text = refusal(tmp_path / "pets", cache, reading=Reading(label_column="label"))
    assert "has no columns" in text


def test_a_features_note_names_the_classes(tmp_path, cache):
    note = {"info": {"features": {"label": {"names": ["dog", "cat"], "_type": "ClassLabel"}}}}
    made = table([0, 1] * 20).replace_schema_metadata({b"huggingface": json.dumps(note).encode()})
    images = load(str(save(tmp_path / "pets.parquet", made)), cache=cache)
    assert labels_of(images) == ["dog", "cat"] * 20
