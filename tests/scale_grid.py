"""Made-up data-size grids: models of three families by fractions, with both kinds of luck."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from tests.synthetic import draw, record, spec
from vitexp.catalog.sizes import model
from vitexp.models.count import macs
from vitexp.runs.record import Results, RunRecord
from vitexp.spec import RunSpec

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
