"""From a recipe to an optimiser and a learning rate for each step."""

from __future__ import annotations

import math

import torch
from torch import nn

from vitexp.spec import Recipe


def optimiser(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW or SGD with momentum; weight decay on kernels only."""
    kernels: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, value in model.named_parameters():
        (kernels if is_kernel(name, value) else others).append(value)
    groups = [
        {"params": kernels, "weight_decay": recipe.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=recipe.lr, momentum=recipe.momentum)
    betas = (recipe.beta1, recipe.beta2)
    fused = next(model.parameters()).device.type in ("cpu", "cuda")
    return torch.optim.AdamW(groups, lr=recipe.lr, betas=betas, fused=fused)


def is_kernel(name: str, value: torch.Tensor) -> bool:
    """Whether a parameter is a layer's kernel: no bias, norm, class token or positional table."""
    return name.rpartition(".")[2] in ("weight", "kernel") and value.ndim >= 2


def learning_rate(recipe: Recipe, step: int) -> float:
    """The rate of ``step``, counted from 0: linear warm-up, then the recipe's schedule to 0."""
    if step < recipe.warmup:
        return recipe.lr * (step + 1) / recipe.warmup
    if recipe.schedule == "constant":
        return recipe.lr
    progress = (step - recipe.warmup) / max(1, recipe.steps - recipe.warmup)
    if recipe.schedule == "linear":
        return recipe.lr * (1.0 - progress)
    return recipe.lr * 0.5 * (1.0 + math.cos(math.pi * progress))


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate
