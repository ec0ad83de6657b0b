"""The identity of a data set, and how many of its test images were seen in training."""

from __future__ import annotations

import hashlib
import json

import numpy as np

from vitexp.datasets.split import PARTS, Part

PREPROCESSING = 1
"""Version of what `decode.py` does to pixels; part of every fingerprint."""


class Fingerprint:
    """Gathers the digests of images in the order of their parts."""

    def __init__(self) -> None:
        self._hashes = {part: hashlib.sha256() for part in PARTS}
        self._seen: dict[Part, bytearray] = {part: bytearray() for part in PARTS}

    def add(self, part: Part, digest: bytes, label: int) -> None:
        """Count an image in.

        Args:
            part: where it went; the split seed enters the fingerprint by this.
            digest: SHA-256 of its encoded bytes.
            label: its class.
        """
        self._hashes[part].update(digest + label.to_bytes(8, "little"))
        self._seen[part] += digest[:8]

    def hexdigest(self, names: tuple[str, ...], image_size: int) -> str:
        """SHA-256 of all images, their labels, the class names and the preprocessing."""
        parts = [self._hashes[part].hexdigest() for part in PARTS]
        text = json.dumps([PREPROCESSING, image_size, names, parts])
        return hashlib.sha256(text.encode()).hexdigest()

    def duplicates(self) -> np.ndarray:
        """Which test images' encoded bytes also occur in train or validation: bool, (n,)."""
        test = np.frombuffer(self._seen["test"], dtype=np.uint64)
        others = np.frombuffer(self._seen["train"] + self._seen["val"], dtype=np.uint64)
        return np.isin(test, others)
