"""Random folder trees and tables: every file and row is used, counted as left out, or refused."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from vitexp.datasets.image_set import ImageSet
from vitexp.datasets.load import load
from vitexp.datasets.split_names import words
from vitexp.errors import VitexpError
from vitexp.spec import Reading

TRAINS = ("train", "training_set", "Train", "seg_train")
HELD = ("test", "test_set", "val", "valid", "eval", "holdout", "seg_test", "dev")
UNLIKE = ("bullet_train", "trainval", "cat", "dog", "extra", "images")
CLASSES = ("cat", "dog", "bird", "test_tube", "train", "images")
OTHERS = (
    *("readme.txt", "notes", "1.heic", ".DS_Store", "Thumbs.db", "@eaDir/t.png", ".git/x.png"),
    *("empty", "sub/deep.csv", ".thumbnails/1.jpg", "broken.png", "table.json"),
)
SEEDS = 150
ENDINGS = (".png", ".PNG", ".jpg", ".jfif", "", ".dat")


def picture(number: int) -> Image.Image:
    """An image that tells its number by its pixels, whatever it is stored as."""
    digits = [(number >> shift) & 7 for shift in (0, 3, 6, 9)]
    return Image.fromarray(np.array(digits, np.uint8).repeat(64).reshape(2, 2, 8, 8)
                           .transpose(0, 2, 1, 3).reshape(16, 16) * 32 + 16)  # fmt: skip


def number_of(pixels: np.ndarray) -> int:
    corners = pixels[4::8, 4::8, 0].ravel().astype(int)
    return int(
        sum((value // 32) << shift for value, shift in zip(corners, (0, 3, 6, 9), strict=True))
    )


def parts(images: ImageSet) -> dict[int, tuple[str, str]]:
    """Number of each image -> its split and the name of its class."""
    return {
        number_of(image): (part, images.names[label])
        for part in ("train", "val", "test")
        for image, label in zip(
            getattr(images, part).images, getattr(images, part).labels, strict=True
        )
    }


def choice(draw: np.random.Generator, names: Any, most: int) -> list[str]:
    return [str(name) for name in draw.permutation(names)[: draw.integers(1, most + 1)]]


def grow(root: Path, draw: np.random.Generator) -> dict[int, Path]:
    """A random tree; number of each image -> its path below ``root``."""
    tops = choice(draw, UNLIKE, 3)
    if draw.random() < 0.7:
        more = choice(draw, UNLIKE, 1) if draw.random() < 0.2 else []
        tops = [*choice(draw, TRAINS, 1), *choice(draw, HELD, 2), *more]
    classes = [str(name) for name in draw.permutation(CLASSES)[: draw.integers(1, 5)]]
    made: dict[int, Path] = {}
    for top in tops:
        shape = draw.choice(["classes"] * 8 + ["flat", "nested"])
        for name in classes if shape != "flat" else ["."]:
            folder = root / (f"{top}/{top}/{name}" if shape == "nested" else f"{top}/{name}")
            folder.mkdir(parents=True, exist_ok=True)
            for _ in range(draw.integers(5, 12)):
                number = len(made)
                path = folder / f"{number}{draw.choice(ENDINGS)}"
                picture(number).save(path, draw.choice(["PNG", "TIFF"]))
                made[number] = path.relative_to(root)
    for other in choice(draw, OTHERS, len(OTHERS)) if draw.random() < 0.8 else []:
        folder = root / draw.choice(["", *tops, f"{tops[0]}/{classes[0]}"])
        path = folder / other
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"" if other == "empty" else b"\x89PNG and nothing else")
    return made


def outcome(root: Path, cache: Path) -> ImageSet | None:
    """The images under ``root``, or None where it is refused, which takes two lines."""
    try:
        return load(str(root), cache=cache, reading=Reading(skip_broken=True))
    except VitexpError as refused:
        lines = str(refused).splitlines()
    assert len(lines) == 2
    return None


def accounted(images: ImageSet) -> int:
    used = sum(len(getattr(images, part)) for part in ("train", "val", "test"))
    return used + len(images.broken) + sum(skipped.count for skipped in images.skipped)


def assert_split_as_named(part: str, top: str, seen: Counter[str]) -> None:
    """An image of a split's folder is in that split, or where a missing split is taken from."""
    named = words(top)
    allowed = {"train": {"train", "val", "test"}, "val": {"val", "test"}, "test": {"test"}}
    if named and named != ("eval",):
        assert part in allowed[named[0]], (top, part)
    elif named:
        assert part in ("val", "test"), (top, part)
    seen[named[0] if named else ""] += 1


def test_every_file_of_a_random_tree_is_used_counted_or_refused(tmp_path):
    outcomes: Counter[str] = Counter()
    for seed in range(SEEDS):
        root = tmp_path / str(seed)
        root.mkdir()
        made = grow(root, np.random.default_rng(seed))
        images = outcome(root, tmp_path / "cache")
        outcomes["used" if images else "refused"] += 1
        if images is None:
            continue
        assert accounted(images) == sum(path.is_file() for path in root.rglob("*")), seed
        assert all(skipped.reason and skipped.example for skipped in images.skipped)
        found = parts(images)
        inside = not any("is taken as a class" in note for note in images.notes)
        for number, (part, name) in found.items():
            path = made[number]
            assert name in path.parts[:-1], (seed, path, name)
            if inside and any(words(top) for top in {p.parts[0] for p in made.values()}):
                assert_split_as_named(part, path.parts[0], outcomes)
                assert name != path.parts[0] or path.parts.count(name) > 1
    assert outcomes["used"] > SEEDS / 4 and outcomes["refused"] > SEEDS / 10, outcomes
    assert all(outcomes[part] for part in ("train", "val", "test", "eval")), outcomes


LABELS: tuple[Any, ...] = (
    lambda draw, n: pa.array(draw.integers(0, 3, n), str(draw.choice(["int8", "uint64", "int32"]))),
    lambda draw, n: pa.array(draw.integers(5, 8, n).astype(float)),
    lambda draw, n: pa.array(draw.choice(["cat", "dog"], n).tolist()).dictionary_encode(),
    lambda draw, n: pa.array(draw.choice(["cat", "dog"], n).tolist(), pa.large_string()),
    lambda draw, n: pa.array([[int(v)] for v in draw.integers(0, 2, n)]),
    lambda draw, n: pa.array([bool(v) for v in draw.integers(0, 2, n)]),
    lambda draw, n: pa.array([None if v == 0 else int(v) for v in draw.integers(0, 9, n)]),
    lambda draw, n: pa.array([[0, 1]] * n),
    lambda draw, n: pa.array([-1] * n, pa.int64()),
    lambda draw, n: pa.nulls(n, pa.int64()),
)
FILES = ("train", "training", "test", "val", "eval", "dev", "data/test", "rest", "held_out", "0")


def fill(root: Path, draw: np.random.Generator) -> dict[int, tuple[Path, Any]]:
    """Random tables; number of each image -> its file and its label."""
    made: dict[int, tuple[Path, Any]] = {}
    usual = LABELS[draw.integers(len(LABELS) - 3)]
    for name in (
        {"train", *choice(draw, FILES, 3)} if draw.random() < 0.8 else choice(draw, FILES, 2)
    ):
        labels = (usual if draw.random() < 0.8 else LABELS[draw.integers(len(LABELS))])(draw, 30)
        numbers = range(len(made), len(made) + 30)
        path = root / f"{name}-{draw.integers(3)}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(
            pa.table({"image": [encoded(n, draw) for n in numbers], "label": labels}), path
        )
        made |= dict(zip(numbers, ((path, value) for value in labels.to_pylist()), strict=True))
    if draw.random() < 0.5:
        (root / "README.md").write_text("tables")
    return made


def encoded(number: int, draw: np.random.Generator) -> bytes:
    import io

    buffer = io.BytesIO()
    picture(number).save(buffer, "PNG")
    return buffer.getvalue() if draw.random() < 0.98 else b"broken"


def test_every_row_of_random_tables_is_used_counted_or_refused(tmp_path):
    outcomes: Counter[str] = Counter()
    for seed in range(SEEDS):
        root = tmp_path / str(seed)
        root.mkdir()
        made = fill(root, np.random.default_rng(seed))
        images = outcome(root, tmp_path / "cache")
        outcomes["used" if images else "refused"] += 1
        if images is None:
            continue
        files = [path for path in root.rglob("*") if path.is_file()]
        others = sum(path.suffix != ".parquet" for path in files)
        assert accounted(images) == len(made) + others, seed
        for number, (part, name) in parts(images).items():
            path, label = made[number]
            value = label[0] if isinstance(label, list) else label
            assert name == str(int(value) if isinstance(value, float) else value), seed
            if len(files) - others > 1:
                inside = path.relative_to(root).parts
                saying = next((each for each in reversed(inside) if words(each)), "")
                assert_split_as_named(part, saying, outcomes)
    assert outcomes["used"] > SEEDS / 4 and outcomes["refused"] > SEEDS / 10, outcomes
    assert all(outcomes[part] for part in ("train", "val", "test", "eval")), outcomes


def list_some(root: Path, draw: np.random.Generator) -> dict[str, str]:
    """Random images and tables that name some of them; the label of each that is named."""
    folders = choice(draw, ("", "images", "train", "test", "val"), 2)
    names = [f"{folder}/{i}.png".lstrip("/") for i, folder in enumerate(draw.choice(folders, 40))]
    for i, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        picture(i).save(root / name)
    made = {name: str(draw.choice(["cat", "dog"])) for name in names if draw.random() < 0.9}
    form = draw.choice(["path", "name", "stem"])
    cells = {name: {"path": name, "name": Path(name).name, "stem": Path(name).stem}[form]
             for name in made}  # fmt: skip
    rows = [f"{cells[name]},{label}" for name, label in made.items()]
    if draw.random() < 0.2:
        rows.append(str(draw.choice(["gone.png,cat", rows[0]])))
    (root / "labels.csv").write_text("\n".join(["file,label", *rows]))
    for other in choice(draw, ("notes.txt", "scores.csv", ".hidden"), 2):
        (root / other).write_text("a,b,c\n1,2,3\n")
    return made


def test_every_image_beside_a_random_table_is_used_counted_or_refused(tmp_path):
    outcomes: Counter[str] = Counter()
    for seed in range(SEEDS // 3):
        root = tmp_path / str(seed)
        root.mkdir()
        made = list_some(root, np.random.default_rng(seed))
        images = outcome(root, tmp_path / "cache")
        outcomes["used" if images else "refused"] += 1
        if images is None:
            continue
        files = [path for path in root.rglob("*") if path.is_file()]
        assert accounted(images) == len(files) - 1, seed
        found = parts(images)
        assert {n: found[int(Path(n).stem)][1] for n in made} == made, seed
        assert len(found) == len(made)
    assert outcomes["used"] > 10 and outcomes["refused"] > 5, outcomes
