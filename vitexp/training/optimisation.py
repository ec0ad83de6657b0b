"""From a recipe to an optimiser and a learning rate for each step."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from vitexp.spec import Recipe

_WAY = ("fused", "foreach", "capturable")
"""What an optimiser's groups say of how its steps are computed."""


def optimiser(
    model: nn.Module, recipe: Recipe, captured: bool = False, fused: bool = True
) -> torch.optim.Optimizer:
    """AdamW or SGD with momentum; weight decay on kernels only.

    Args:
        model: on its device.
        recipe: which, and its settings.
        captured: whether its steps will be part of a CUDA graph, which reads the rate from the
            device.
        fused: whether one kernel may update many parameters.
    """
    kernels: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, value in model.named_parameters():
        (kernels if is_kernel(name, value) else others).append(value)
    groups = [
        {"params": kernels, "weight_decay": recipe.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    device = kernels[0].device
    rate = torch.tensor(recipe.lr, device=device) if captured else recipe.lr
    fused = fused and device.type in ("cpu", "cuda")
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=rate, momentum=recipe.momentum, fused=captured or None)
    betas = (recipe.beta1, recipe.beta2)
    return torch.optim.AdamW(groups, lr=rate, betas=betas, fused=fused, capturable=captured)


def ready(optimizer: torch.optim.Optimizer) -> None:
    """Makes the moments that the first step would make, or finds those of a checkpoint."""
    if optimizer.state:
        return
    rates = [group["lr"].clone() for group in optimizer.param_groups]
    set_learning_rate(optimizer, torch.zeros_like(rates[0]))
    for group in optimizer.param_groups:
        for value in group["params"]:
            value.grad = torch.zeros_like(value)
    optimizer.step()
    for state in optimizer.state.values():
        for moment in state.values():
            moment.zero_()
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"].copy_(rate)


def restore(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Loads a ``state_dict`` into an optimiser that may compute its steps in another way.

    A rate that lives on the device stays there.
    """
    rates = [group["lr"] for group in optimizer.param_groups]
    own = [{name: group.get(name) for name in _WAY} for group in optimizer.param_groups]
    groups = [saved | way for saved, way in zip(state["param_groups"], own, strict=True)]
    optimizer.load_state_dict({**state, "param_groups": groups})
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate


def is_kernel(name: str, value: torch.Tensor) -> bool:
    """Whether a parameter is a layer's kernel: no bias, norm, class token or positional table."""
    return name.rpartition(".")[2] in ("weight", "kernel") and value.ndim >= 2


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: Tensor | float) -> None:
    """A tensor where the optimiser was made for a CUDA graph, else a number."""
    for group in optimizer.param_groups:
        if isinstance(rate, Tensor):
            group["lr"].copy_(rate)
        else:
            group["lr"] = rate
