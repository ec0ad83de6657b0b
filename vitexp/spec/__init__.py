"""What a run is: frozen, JSON-only values, and the id that follows from them.

Others import from here and need not know the files:

    model.py        ModelSpec: a family and its sizes; PositionSpec
    data.py         DataSpec: images, as their fingerprint; Fold, Reading, Skipped
    recipe.py       Recipe: steps, rates, augmentation
    run.py          RunSpec: the three with a seed, and where the first weights are from
    probe.py        ProbeSpec, Shown: what is measured or predicted later; Checkpoint: of a file
    soup.py         SoupSpec: the mean of several runs
    ids.py          what of a value enters its id
    codec.py        to_json, from_json; flat: fields of fields side by side
"""

from __future__ import annotations

from vitexp.spec.codec import flat, from_json, to_json
from vitexp.spec.data import USUAL, DataSpec, Fold, Reading, Skipped
from vitexp.spec.ids import FORMAT, digest, identifying, identity
from vitexp.spec.model import (
    PLACEMENTS,
    ModelSpec,
    Placement,
    Pool,
    PositionSpec,
    ResNetShape,
    Stem,
    ViTShape,
)
from vitexp.spec.probe import Checkpoint, ProbeKind, ProbeSpec, Shown, own_probe
from vitexp.spec.recipe import Optimizer, Recipe, Schedule
from vitexp.spec.run import TUNING_SEEDS, Copy, FromFile, FromRun, Head, Init, Precision, RunSpec
from vitexp.spec.soup import SoupKind, SoupSpec

__all__ = [
    "FORMAT",
    "PLACEMENTS",
    "TUNING_SEEDS",
    "USUAL",
    "Checkpoint",
    "Copy",
    "DataSpec",
    "Fold",
    "FromFile",
    "FromRun",
    "Head",
    "Init",
    "ModelSpec",
    "Optimizer",
    "Placement",
    "Pool",
    "PositionSpec",
    "Precision",
    "ProbeKind",
    "ProbeSpec",
    "Reading",
    "Recipe",
    "ResNetShape",
    "RunSpec",
    "Schedule",
    "Shown",
    "Skipped",
    "SoupKind",
    "SoupSpec",
    "Stem",
    "ViTShape",
    "digest",
    "flat",
    "from_json",
    "identifying",
    "identity",
    "own_probe",
    "to_json",
]
