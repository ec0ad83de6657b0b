"""Made-up data-size grids: models of three families by fractions, with both kinds of luck."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from tests.synthetic import draw, record, spec
from vitexp.catalog.sizes import model
from vitexp.models.count import macs
from vitexp.runs.measurement import Measurement, pack_numbers
from vitexp.runs.record import Results, RunRecord
from vitexp.spec import RunSpec, own_probe

FRACTIONS = (0.03, 0.1, 0.3, 1.0)

CROSSING = {
    "r11x1.75": (0.84, 0.90, 0.92, 0.925),
    "vit-xxs/2": (0.60, 0.78, 0.93, 0.985),
    "vit-xs/2": (0.45, 0.70, 0.93, 0.99),
}
"""A ResNet, a ViT of equal MACs that passes it, and a larger one that needs more data still."""


def cell(
    name: str, fraction: float = 1.0, seed: int = 0, images: int = 360, steps: int = 400
) -> RunSpec:
    """The spec of one cell's run on something like digits."""
    plain = spec("learned_1d", images=images)
    position = plain.model.transformer.position
    shape = model(name, 8, channels=1, classes=10)
    vit = shape.vit and replace(shape.vit, position=position)
    data = plain.data if fraction == 1 else replace(plain.data, fraction=fraction, subset_seed=0)
    run = replace(
        plain,
        model=replace(shape, vit=vit),
        data=data,
        recipe=replace(plain.recipe, batch=32, steps=steps, early_stopping=20),
    )
    return run.seeded(seed)


def done(run: RunSpec, correct: np.ndarray | None, train: float = 0.995) -> RunRecord:
    """Its record, with compute and accuracy on training images."""
    made = record(run, correct)
    cost = macs(run.model) or 0
    compute = {"macs": cost, "flops": 6.0 * cost * run.recipe.steps * run.recipe.batch}
    trained = {"train_top1": train, "train_images": 1293.0} if correct is not None else {}
    return replace(made, metrics=made.metrics | compute | trained)


def measurement(
    run: RunSpec, rng: np.random.Generator, shift: float = 0.5, p: float = 0.001
) -> Measurement:
    """A made-up bias of a finished run: a share of images that keep their class under shifts; near
    and far heads, nearer in a ViT than in a hybrid; positions on a plane with this p."""
    luck = rng.normal(0, 0.01)
    numbers = {"shift": (rng.random((16, run.data.test)) < shift + luck).mean(axis=0)}
    values = {"top1": 0.9, "shift": shift + luck, "shift_top1": 0.4, "shift_1": shift}
    if run.model.vit is not None:
        for name, far in (("near", 0.7 if run.model.trunk else 0.3), ("far", 1.1)):
            numbers[name] = far + luck + rng.normal(0, 0.05, run.data.test)
        values |= {"plane_rows": 0.5 + luck, "plane_columns": 0.4, "plane_p": p}
    packed = {name: [pack_numbers(each)] for name, each in numbers.items()}
    return Measurement(run.id, own_probe(run, "bias"), values, packed, {})


def scale_grid(
    rng: np.random.Generator,
    accuracy: Mapping[str, tuple[float, ...]],
    seeds: int = 5,
    images: int = 360,
    fractions: tuple[float, ...] = FRACTIONS,
    train: float = 0.995,
    seed_luck: float = 0.1,
) -> Results:
    """Records of models -> accuracies at each fraction."""
    flat = [share for shares in accuracy.values() for share in shares]
    drawn = iter(draw(rng, flat, seeds, images, seed_luck=seed_luck))
    return Results(
        done(cell(name, fraction, seed, images), row, train)
        for name in accuracy
        for fraction, rows in zip(fractions, drawn, strict=False)
        for seed, row in enumerate(rows)
    )
