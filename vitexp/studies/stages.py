"""The second stage of a study: a trained model on other images, fine-tuned or only measured."""

from __future__ import annotations

import dataclasses

from vitexp.catalog.recipes import FINETUNE, preset
from vitexp.models import count
from vitexp.spec import ModelSpec, Recipe


def onto(old: ModelSpec, classes: int, image_size: int) -> ModelSpec:
    """A trained model with a single linear layer as its head, for images of another size."""
    vit = old.vit and dataclasses.replace(old.vit, pre_logits=None)
    return count.at_resolution(dataclasses.replace(old, classes=classes, vit=vit), image_size)


def finetuning(before: Recipe, steps: int) -> Recipe:
    """The fine-tuning preset for so many steps, in the batches and flips of before."""
    chosen = preset(FINETUNE)
    return Recipe(
        lr=chosen.lr,
        weight_decay=chosen.weight_decay,
        steps=steps,
        batch=before.batch,
        warmup=round(chosen.warmup * steps),
        optimizer=chosen.optimizer,
        schedule=chosen.schedule,
        momentum=chosen.momentum,
        clip=chosen.clip,
        dropout=chosen.dropout,
        flip=before.flip,
        evaluate_every=before.evaluate_every,
        name=chosen.name,
    )


def measuring() -> Recipe:
    """No steps: what the run starts from is measured."""
    return Recipe(lr=0.0, weight_decay=0.0, steps=0, batch=1, warmup=0, name="measure")
