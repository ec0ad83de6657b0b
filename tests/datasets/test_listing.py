"""Images with a table of text beside them that says their labels."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.pictures import pixels, png, refusal
from vitexp.datasets.load import describe, load
from vitexp.spec import Reading

COUNT = 40


def pictures(root: Path, names: list[str]) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(pixels([*Path(name).stem.encode()])))
    return root


def assert_labels(images, names, labels):
    """Each image has its label, however it came to it."""
    found = {}
    for split in (images.train, images.val, images.test):
        for image, label in zip(split.images, split.labels, strict=True):
            found[image.tobytes()] = images.names[label]
    assert len(found) == len(names)
    for name, label in zip(names, labels, strict=True):
        assert found[pixels([*Path(name).stem.encode()]).tobytes()] == label


LABELS = ["cat", "dog"] * (COUNT // 2)


@pytest.mark.parametrize(
    ("file", "column", "folder"),
    [
        ("labels.csv", "filename", ""),
        ("labels.csv", "filename", "images/"),
        ("images/metadata.csv", "file_name", "images/"),
        ("train/metadata.jsonl", "file_name", "train/"),
        ("all.tsv", "path", "images/"),
        ("train.csv", "id", "train/"),
    ],
)
def test_a_table_beside_the_images_says_their_labels(tmp_path, cache, file, column, folder):
    names = [f"{folder}{i:03}.png" for i in range(COUNT)]
    root = pictures(tmp_path / "pets", names)
    cells = {"id": [Path(n).stem for n in names], "path": names}.get(
        column, [Path(n).name for n in names]
    )
    if file.endswith("jsonl"):
        lines = [json.dumps({column: c, "label": b}) for c, b in zip(cells, LABELS, strict=True)]
    else:
        tab = "\t" if file.endswith("tsv") else ","
        kind = "breed" if column == "id" else "label"
        lines = [f"{column}{tab}{kind}"]
        lines += [f"{c}{tab}{b}" for c, b in zip(cells, LABELS, strict=True)]
    (root / file).write_text("\n".join(lines) + "\n")
    images = load(str(root), cache=cache)
    assert images.names == ("cat", "dog")
    assert_labels(images, names, LABELS)
    assert images.skipped == ()


def test_numbers_are_classes_and_names_of_files_keep_their_zeros(tmp_path, cache):
    names = [f"{i:03}.png" for i in range(COUNT)]
    root = pictures(tmp_path / "pets", names)
    rows = [f"{i:03},{9 + i % 2},{i}" for i in range(COUNT)]
    (root / "labels.csv").write_text("\n".join(["image,Class,age", *rows]))
    images = load(str(root), cache=cache)
    assert images.names == ("9", "10")
    assert_labels(images, names, ["9", "10"] * 20)


@pytest.mark.parametrize("form", ["files", "column", "folders"])
def test_a_table_may_name_the_splits(tmp_path, cache, form):
    names = [f"{'train' if i < 30 else 'test'}/{i}.png" for i in range(COUNT)]
    root = pictures(tmp_path / "pets", names)
    rows = [f"{n},{b}" for n, b in zip(names, LABELS, strict=True)]
    if form == "files":
        (root / "train.csv").write_text("\n".join(["file,label", *rows[:30]]))
        (root / "test.csv").write_text("\n".join(["file,label", *rows[30:]]))
    elif form == "column":
        says = [f"{row},{'train' if i < 30 else 'holdout'}" for i, row in enumerate(rows)]
        (root / "all.csv").write_text("\n".join(["file,label,split", *says]))
    else:
        (root / "all.csv").write_text("\n".join(["file,label", *rows]))
    images = load(str(root), cache=cache)
    assert [len(images.train), len(images.val), len(images.test)] == [27, 3, 10]
    assert_labels(images, names, LABELS)


def test_what_a_table_does_not_name_is_counted(tmp_path, cache):
    names = [f"train/{i}.png" for i in range(COUNT)]
    root = pictures(tmp_path / "pets", [*names, *(f"test/t{i}.png" for i in range(7))])
    rows = [f"{i},{b}" for i, b in enumerate(LABELS)]
    (root / "labels.csv").write_text("\n".join(["id,breed", *rows]))
    (root / "sample.csv").write_text("id,cat,dog\nt1,0.5,0.5\n")
    (root / "notes.txt").write_text("pets")
    spec, images = describe(str(root), cache=cache)
    assert_labels(images, names, LABELS)
    assert {s.reason: (s.count, s.example) for s in images.skipped} == {
        "images that no row names": (7, "test/t0.png"),
        "tables that do not say the labels of the images": (1, "sample.csv"),
        ".txt files, which are no images that can be read here": (1, "notes.txt"),
    }
    assert "7 images that no row names" in spec.remarks[0]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("gone.png,cat", "names 'gone.png', and there is no such image"),
        ("3.png,dog", "names 3.png in several rows"),
        ("40.png,", "train row 40 has no label"),
    ],
)
def test_rows_that_do_not_fit_the_images_are_refused(tmp_path, cache, row, expected):
    root = pictures(tmp_path / "pets", [f"{i}.png" for i in range(COUNT + 1)])
    rows = [f"{i}.png,{b}" for i, b in enumerate(LABELS)]
    (root / "labels.csv").write_text("\n".join(["file,label", *rows, row]))
    assert expected in refusal(root, cache)


def test_two_columns_that_could_be_labels_are_asked_about(tmp_path, cache):
    names = [f"{i}.png" for i in range(COUNT)]
    root = pictures(tmp_path / "pets", names)
    rows = [f"{n},{b},{i % 3}" for i, (n, b) in enumerate(zip(names, LABELS, strict=True))]
    (root / "labels.csv").write_text("\n".join(["file,kind,age", *rows]))
    assert "--label-column" in refusal(root, cache)
    images = load(str(root), cache=cache, reading=Reading(label_column="kind"))
    assert_labels(images, names, LABELS)


def test_folders_that_name_classes_win_over_a_table(tmp_path, cache):
    names = [f"{b}/{i}.png" for i, b in enumerate(LABELS)]
    root = pictures(tmp_path / "pets", names)
    (root / "index.csv").write_text("file,label\ncat/0.png,dog\n")
    images = load(str(root), cache=cache)
    assert_labels(images, names, LABELS)
    assert images.skipped[0].example == "index.csv"
