"""scikit-learn's digits, which come with the package: 1,797 images of 8x8, 17 grey levels."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
from collections import Counter
from pathlib import Path

import numpy as np

from vitexp.datasets.census import census
from vitexp.datasets.fingerprint import Fingerprint
from vitexp.datasets.image_set import ImageSet, Split
from vitexp.datasets.split import PARTS, TEST_SEED, partition, stratified_order
from vitexp.errors import VitexpError

SIDE = 8
TEST = 360
"""Images that are held out for testing: the first of the stratified order of seed 0."""


def load_digits(image_size: int | None, split_seed: int, held_out: float | None = None) -> ImageSet:
    """The digits: 360 test images, a fixed stratified draw; validation is 10 % of the rest.

    Grey levels v in 0..16 become round(255 v / 16).

    Args:
        image_size: side in pixels; None is 8.
        split_seed: draws the validation split.
        held_out: another share of the rest for validation.
    """
    images, labels = _read()
    test = np.zeros(len(labels), dtype=bool)
    test[stratified_order(labels, TEST_SEED)[:TEST]] = True
    train = np.flatnonzero(~test)
    own = partition({"train": labels[train], "test": labels[test]}, split_seed, held_out)["train"]
    rows = {
        "train": train[own == "train"],
        "val": train[own == "val"],
        "test": np.flatnonzero(test),
    }
    fingerprint = Fingerprint()
    for part in PARTS:
        for row in rows[part]:
            fingerprint.add(part, hashlib.sha256(images[row]).digest(), int(labels[row]))
    names = tuple(str(digit) for digit in range(10))
    stored = _resized(images, image_size or SIDE)
    splits = {part: Split(stored[index], labels[index]) for part, index in rows.items()}
    return ImageSet(
        train=splits["train"],
        val=splits["val"],
        test=splits["test"],
        names=names,
        fingerprint=fingerprint.hexdigest(names, image_size or SIDE),
        name="digits",
        flips=False,
        duplicates=int(fingerprint.duplicates().sum()),
        census=census(Counter({(SIDE, SIDE): len(labels)}), fingerprint.seen()),
    )


def _read() -> tuple[np.ndarray, np.ndarray]:
    # Not through `sklearn.datasets`: importing it takes over a second, reading this 0.05 s.
    spec = importlib.util.find_spec("sklearn")
    if spec is None or not spec.submodule_search_locations:
        raise VitexpError(
            "The digits come with scikit-learn, which is not installed.",
            "pip install scikit-learn",
        )
    path = Path(spec.submodule_search_locations[0], "datasets", "data", "digits.csv.gz")
    with gzip.open(path, "rt") as file:
        table = np.loadtxt(file, delimiter=",")
    images = np.rint(table[:, :-1] * (255 / 16)).astype(np.uint8)
    return images.reshape(-1, SIDE, SIDE), table[:, -1].astype(np.int64)


def _resized(images: np.ndarray, side: int) -> np.ndarray:
    if side == SIDE:
        return images[..., None]
    from PIL import Image

    from vitexp.datasets.decode import Layout, fit

    layout = Layout(side, channels=1, resize=True)
    return np.stack([fit(Image.fromarray(image), layout) for image in images])
