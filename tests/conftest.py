"""What several rooms' tests share: real digits and small specs."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# One thread for each library, before any is loaded: tests are many and small.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

from vitexp.datasets.image_set import ImageSet, Split
from vitexp.datasets.load import load
from vitexp.spec import DataSpec, ModelSpec, PositionSpec, Recipe, RunSpec, ViTShape

SAID_OF_TERMINALS = (
    *("COLUMNS", "LINES", "TERMINAL_WIDTH", "NO_COLOR", "FORCE_COLOR", "PY_COLORS"),
    *("TTY_COMPATIBLE", "TTY_INTERACTIVE", "GITHUB_ACTIONS"),
)


@pytest.fixture(scope="session", autouse=True)
def _surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test writes into the user's cache, and none prints for a terminal that is not there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VITEXP_CACHE", str(tmp_path_factory.mktemp("cache")))
        for name in SAID_OF_TERMINALS:
            patch.delenv(name, raising=False)
        yield


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache of decoded images of the test's own."""
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def digits() -> ImageSet:
    return load("digits")


@pytest.fixture(scope="session")
def few_digits(digits: ImageSet) -> ImageSet:
    """The digits cut down to 200 / 50 / 60 images."""

    def head(split: Split, size: int) -> Split:
        return Split(split.images[:size], split.labels[:size])

    return dataclasses.replace(
        digits,
        fingerprint="few",
        train=head(digits.train, 200),
        val=head(digits.val, 50),
        test=head(digits.test, 60),
    )


SHAPE = ViTShape(patch=2, width=32, depth=2, heads=4, mlp=64)
RECIPE = Recipe(lr=1e-3, weight_decay=0.05, steps=30, batch=32, warmup=3, evaluate_every=10)
DATA = DataSpec("few", 8, 200, 50, 60, source="few", name="few")


def model_spec(channels: int = 1, **shape: Any) -> ModelSpec:
    return ModelSpec("vit", 8, channels, 10, dataclasses.replace(SHAPE, **shape))


@pytest.fixture
def run_spec() -> Callable[..., RunSpec]:
    """A run on the few digits; keywords change its recipe."""

    def make(position: PositionSpec | None = None, seed: int = 0, **recipe: Any) -> RunSpec:
        position = position or PositionSpec(std=0.5)
        changed = dataclasses.replace(RECIPE, **recipe)
        return RunSpec(model_spec(position=position), DATA, changed, seed)

    return make
