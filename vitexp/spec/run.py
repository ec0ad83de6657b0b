"""One training run: a model, data, a recipe, a seed, and where the first weights are from."""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass
from typing import Literal

from vitexp.spec.data import DataSpec
from vitexp.spec.ids import digest, identity, label
from vitexp.spec.model import ModelSpec, PositionSpec
from vitexp.spec.recipe import Recipe

TUNING_SEEDS = 1_000_000
"""The first seed of runs that only choose a setting; no report contains one."""

Precision = Literal["fp32", "bf16"]
Head = Literal["kept", "ridge"]
Copy = Literal["raw", "ema"]
"""Of a model in a file: as it was trained, or the exponential mean of its weights."""


@dataclass(frozen=True)
class FromRun:
    """First weights that a run of the same store ended with; its head is left behind.

    Attributes:
        run: its id; the run need not be done before one that starts from it is planned.
        tables: ``fresh`` draws the positional tables anew; None brings the learned ones to the
            grid of the images.
        head: ``kept`` keeps that run's head after all; ``ridge`` solves the new one by ridge
            regression on the features of the training images, the penalty chosen on validation;
            None starts it from zero.
    """

    run: str
    tables: Literal["fresh"] | None = None
    head: Head | None = None


@dataclass(frozen=True)
class FromFile:
    """First weights from a file; its head is left behind.

    Attributes:
        sha256: of the file; of several shards, of their names and hashes.
        path: where it was.
        copy: ``ema`` where that is read of a file that has both; None: what is there, raw first.
    """

    sha256: str
    path: str = label("")
    copy: Literal["ema"] | None = None


Init = FromRun | FromFile
"""Where first weights are from, if they are not drawn from the seed."""


@dataclass(frozen=True)
class RunSpec:
    """One training run; everything in it follows from this value.

    Attributes:
        asked: the flags that it was asked for with, for a command that extends its grid.
        init: where the first weights are from; None draws them from the seed.
    """

    model: ModelSpec
    data: DataSpec
    recipe: Recipe
    seed: int
    precision: Precision = "fp32"
    asked: str = label("")
    init: Init | None = None

    @property
    def tries(self) -> bool:
        """Whether it only helps to choose a setting."""
        return self.seed >= TUNING_SEEDS

    @functools.cached_property
    def id(self) -> str:
        """16 hexadecimal digits that stand for everything that decides the run."""
        return digest(identity(self))

    def seeded(self, seed: int) -> RunSpec:
        """This run with another seed, which also draws its subset of the training split and deals
        the images into its folds."""
        return dataclasses.replace(self, data=self.data.drawn(seed), seed=seed)

    @functools.cached_property
    def folds(self) -> tuple[RunSpec, ...]:
        """The runs that test all images together, a fold each; itself where there are none."""
        if (fold := self.data.fold) is None:
            return (self,)
        each = (dataclasses.replace(fold, index=index) for index in range(fold.of))
        return tuple(dataclasses.replace(self, data=self.data.in_fold(one)) for one in each)

    @property
    def parent(self) -> str | None:
        """Id of the run that has to be done before this one can start."""
        return self.init.run if isinstance(self.init, FromRun) else None

    @property
    def position(self) -> PositionSpec:
        """The signal of a run whose model is known to have a transformer."""
        return self.model.transformer.position
