"""How a model is trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vitexp.spec.ids import label

Schedule = Literal["cosine", "linear", "constant"]
Optimizer = Literal["adamw", "sgd"]


@dataclass(frozen=True)
class Recipe:
    """How a model is trained.

    Attributes:
        lr: peak learning rate.
        weight_decay: decoupled, on kernels only (AdamW; for SGD added to the gradient).
        steps: optimiser steps; 0 for a run that only measures what it starts from.
        batch: images a step.
        warmup: steps of linear warm-up.
        schedule: what follows the warm-up, down to 0 at the last step.
        clip: largest global gradient norm, or None.
        label_smoothing: mass spread over all classes.
        dropout: probability at the paper's three sites.
        stochastic_depth: drop probability of the last block's branches, rising linearly.
        crop, flip: random crop after zero-padding by 1/8 of the side; horizontal flip.
        resized_crop: smallest area share of a random-resized crop, or None.
        mixup, cutmix: Beta parameter, or None; with both, a batch gets one of them.
        early_stopping: steps between two looks at the validation split, of which the best
            one's weights are the result (the first of equals); None: the last weights are.
        averaging: factor of an exponential mean of the weights over the steps, which then is
            what is evaluated and kept (the paper's 0.9999, section 4.1); None: the last weights.
        evaluate_every: steps between two looks at the validation split.
        name: the preset it departed from.
    """

    lr: float
    weight_decay: float
    steps: int
    batch: int
    warmup: int
    optimizer: Optimizer = "adamw"
    schedule: Schedule = "cosine"
    beta1: float = 0.9
    beta2: float = 0.999
    momentum: float = 0.9
    clip: float | None = 1.0
    label_smoothing: float = 0.0
    dropout: float = 0.0
    stochastic_depth: float = 0.0
    crop: bool = False
    flip: bool = False
    resized_crop: float | None = None
    mixup: float | None = None
    cutmix: float | None = None
    early_stopping: int | None = None
    averaging: float | None = None
    evaluate_every: int = label(100)
    name: str = label("")
