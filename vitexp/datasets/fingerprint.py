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

    def seen(self) -> dict[Part, np.ndarray]:
        """Of each part, eight bytes of its images' digests: uint64, (n,)."""
        return {part: np.frombuffer(self._seen[part], dtype=np.uint64) for part in PARTS}

    def duplicates(self) -> np.ndarray:
        """Which test images' encoded bytes also occur in train or validation: bool, (n,)."""
        seen = self.seen()
        return np.isin(seen["test"], np.concatenate([seen["train"], seen["val"]]))
