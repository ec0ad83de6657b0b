"""Made-up grids of runs in which both seeds and test images bring luck."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.special import ndtri

from vitexp.runs.record import Results, RunRecord, pack_correct
from vitexp.spec import DataSpec, ModelSpec, PositionSpec, Recipe, RunSpec, ViTShape

PAPER_CELLS = (
    ("none", "stem"),
    *(
        (kind, placement)
        for kind in ("learned_1d", "learned_2d", "relative")
        for placement in ("stem", "every-layer", "shared")
    ),
)


def draw(
    rng: np.random.Generator,
    accuracy: Iterable[float],
    seeds: int,
    images: int,
    difficulty: float = 1.0,
    image_luck: float = 0.5,
    seed_luck: float = 0.12,
) -> np.ndarray:
    """Correctness of cells whose true accuracies, over seeds and images, are ``accuracy``.

    A latent score is the sum of the image's difficulty (shared by all cells), the cell's luck
    with each image, the cell's luck with each seed, and noise; correct where it is positive.
    All terms are normal, so the marginal accuracy is exact.

    Returns:
        bool, shape (cells, seeds, images).
    """
    true = np.fromiter(accuracy, float)
    spread = np.sqrt(difficulty**2 + image_luck**2 + seed_luck**2 + 1)
    score = (ndtri(true) * spread)[:, None, None] + rng.normal(size=(len(true), seeds, images))
    score += difficulty * rng.normal(size=images)
    score += image_luck * rng.normal(size=(len(true), 1, images))
    score += seed_luck * rng.normal(size=(len(true), seeds, 1))
    return np.asarray(score > 0)


def spec(
    kind: str = "none", placement: str = "stem", seed: int = 0, images: int = 360, std: float = 0.5
) -> RunSpec:
    """A resolved spec like those of the digits study."""
    position = PositionSpec(kind, placement, std=0.0 if kind == "none" else std)  # type: ignore[arg-type]
    shape = ViTShape(patch=2, width=64, depth=4, heads=4, mlp=128, position=position)
    model = ModelSpec("vit", image_size=8, channels=1, classes=10, vit=shape, name="vit-digits")
    data = DataSpec("f" * 16, 8, 1293, 144, images, name="digits", source="digits")
    recipe = Recipe(
        lr=1e-3, weight_decay=0.05, steps=400, batch=64, warmup=40, dropout=0.1, name="digits"
    )
    return RunSpec(model, data, recipe, seed, asked="--dataset digits")


def record(run: RunSpec, correct: np.ndarray | None, **changes: Any) -> RunRecord:
    """The record of a run that got these test images right; None: it diverged."""
    execution = {"started": "2025-01-01T00:00:00+00:00", "ended": "2025-01-01T00:00:10+00:00"}
    made = RunRecord(run, "diverged", {"params": 135_000.0}, "", [], execution)
    if correct is not None:
        top1 = float(correct.mean())
        metrics = {"test_top1": top1, "val_top1": top1 + 0.004, "train_top1": 0.99}
        metrics["few_shot_5_top1"] = top1 - 0.1
        made = replace(
            made, status="done", metrics=made.metrics | metrics, correct=pack_correct(correct)
        )
    return replace(made, **changes)


def grid(cells: Mapping[tuple[str, str], np.ndarray], first_seed: int = 0) -> Results:
    """Records of cells (kind, placement) -> correctness of shape (seeds, images)."""
    return Results(
        record(spec(kind, placement, first_seed + seed, len(row)), row)
        for (kind, placement), rows in cells.items()
        for seed, row in enumerate(rows)
    )


def paper_grid(
    rng: np.random.Generator,
    seeds: int = 3,
    images: int = 360,
    none: float = 0.66,
    others: float = 0.965,
) -> Results:
    """The ten cells of the paper's table on something like digits."""
    accuracy = [none] + [others] * 9
    return grid(dict(zip(PAPER_CELLS, draw(rng, accuracy, seeds, images), strict=True)))
