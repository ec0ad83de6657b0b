"""From a spec to a model with its first weights."""

from __future__ import annotations

import torch
from torch import nn

from vitexp.initialisation import initialise, key
from vitexp.models import MODELS
from vitexp.spec import ModelSpec


def build(
    spec: ModelSpec, seed: int, dropout: float = 0.0, stochastic_depth: float = 0.0
) -> nn.Module:
    """The model of ``spec`` on the CPU, its parameters drawn from ``seed``.

    Raises:
        VitexpError: unknown family or position.
    """
    # Layers of a user's own model that carry no initialiser draw from torch's global generator.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(key(seed, "model"))
        model: nn.Module = MODELS.load(spec.family)(
            spec, dropout=dropout, stochastic_depth=stochastic_depth
        )
    initialise(model, seed)
    return model


def skeleton(spec: ModelSpec) -> nn.Module:
    """The model of ``spec`` on the meta device: names and shapes, and no memory.

    Raises:
        VitexpError: unknown family or position.
    """
    with torch.device("meta"):
        model: nn.Module = MODELS.load(spec.family)(spec)
    return model
