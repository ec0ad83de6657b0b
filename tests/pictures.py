"""Small data sets on disk: folders of images and tables, and what the program says of them."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from vitexp.datasets.load import load
from vitexp.errors import VitexpError


def pixels(seed, size=(8, 8), channels=3):
    shape = (size[1], size[0]) + ((channels,) if channels > 1 else ())
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def png(array):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


def write(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(array))
    return path


def image_folder(root, layout, size=(8, 8), channels=3):
    """``layout``: folder -> number of images. All images differ."""
    for folder, count in layout.items():
        for i in range(count):
            write(root / folder / f"{i:03}.png", pixels([i, *folder.encode()], size, channels))
    return root


def two_classes(root, **options):
    layout = {"train/cat": 20, "train/dog": 30, "test/cat": 4, "test/dog": 6}
    return image_folder(root, layout, **options)


def refusal(source, cache, **options):
    """The error's text, after checking that nothing was left behind."""
    with pytest.raises(VitexpError) as caught:
        load(str(source), cache=cache, **options)
    assert not list(cache.glob("building-*"))
    assert not list(cache.glob("sets/*"))
    return str(caught.value)


def image_rows(count, split, labels):
    cells = [{"bytes": png(pixels([i, *split.encode()])), "path": None} for i in range(count)]
    return {"image": cells, "label": [labels[i % len(labels)] for i in range(count)]}


def write_parquet(path, columns, features=None):
    import datasets

    path.parent.mkdir(parents=True, exist_ok=True)
    datasets.Dataset.from_dict(columns, features=features).to_parquet(str(path))
    return path


def hub_features(image="image", label="label"):
    import datasets

    return datasets.Features(
        {image: datasets.Image(), label: datasets.ClassLabel(names=["dog", "cat"])}
    )


def hub_folder(root):
    features = hub_features()
    write_parquet(root / "data/train-00000-of-00002.parquet", image_rows(30, "a", [0, 1]), features)
    write_parquet(root / "data/train-00001-of-00002.parquet", image_rows(20, "b", [0, 1]), features)
    write_parquet(root / "data/test-00000-of-00001.parquet", image_rows(8, "c", [1, 0]), features)
    return root
