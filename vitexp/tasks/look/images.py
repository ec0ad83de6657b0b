"""The images that a model is watched on: test images of a run, or any others.

B images, S side, C channels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from vitexp.datasets.pictures import Pictures, decoded, names_of_test
from vitexp.errors import VitexpError
from vitexp.runs.predictions import told
from vitexp.runs.store import Store
from vitexp.spec import RunSpec
from vitexp.tasks.look.opened import Looked
from vitexp.tasks.predict import own_images

Batches = Iterator[tuple[list[str], np.ndarray]]
"""Names, and uint8 images (B, S, S, C)."""


@dataclass(frozen=True)
class Wanted:
    """Which images.

    Attributes:
        pictures: where they are; None: each run's own test images.
        indices: which of them, from 0; None: the first ones. Of other images than a run's own
            they come in the order of these.
        most: how many these are, at most.
        skip_broken: whether unreadable ones are left out.
        store: where runs are; it counts how often their test images are looked at.
    """

    pictures: Pictures | None
    indices: tuple[int, ...] | None
    most: int
    skip_broken: bool
    store: Store

    def rows(self, there: int, what: str) -> list[int]:
        """The rows that are wanted of so many.

        Raises:
            VitexpError: some of them are not there.
        """
        if self.indices is None:
            return list(range(min(self.most, there)))
        if beyond := [index for index in self.indices if index >= there]:
            raise VitexpError(
                f"There is no image {beyond[0]}: {what} has {there}.",
                f"Give --indices from 0 to {there - 1}.",
            )
        return list(dict.fromkeys(self.indices))

    def of(self, looked: Looked, batch: int) -> tuple[str, Batches]:
        """What they are some of, in words, and they themselves, ``batch`` of them at a time.

        Raises:
            VitexpError: they are not there or cannot be shown to this model, or none is named for
                a file.
        """
        if self.pictures is not None:
            source, there = told(self.pictures.source), len(self.pictures.images.labels)
            rows = self.rows(there, source)
            found = _decoded(self.pictures, rows, looked, self.skip_broken, batch)
            return f"of {there:,} images of {source}", found
        if not isinstance(looked.of, RunSpec):
            raise VitexpError(
                f"{looked.name} is a file of weights and has no test images.",
                "Name images: --images FOLDER.",
            )
        return self._test(looked.of, batch)

    def _test(self, spec: RunSpec, batch: int) -> tuple[str, Batches]:
        images = own_images(spec)
        there = len(images.test)
        rows = self.rows(there, f"the test split of {spec.data.name}")
        names, pixels = names_of_test(spec.data, images), images.test.images
        self.store.looks_at_test(spec.id)
        parts = [rows[at : at + batch] for at in range(0, len(rows), batch)]
        found = (
            ([told(names[row]) for row in part], np.take(pixels, part, axis=0)) for part in parts
        )
        return f"of {there:,} test images of {spec.data.name}", found


def _decoded(
    pictures: Pictures, rows: Sequence[int], looked: Looked, skip_broken: bool, batch: int
) -> Batches:
    wanted, last = set(rows), max(rows)
    spec = looked.spec
    for names, at, pixels in decoded(pictures, spec.image_size, spec.channels, skip_broken):
        here = [place for place, row in enumerate(at.tolist()) if row in wanted]
        for start in range(0, len(here), batch):
            part = here[start : start + batch]
            yield [told(names[place]) for place in part], pixels[part]
        if len(at) and at[-1] >= last:
            return
