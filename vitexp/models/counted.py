"""Multiply-accumulates as PyTorch counts them: for what no closed formula knows."""

from __future__ import annotations

import torch
from torch.utils.flop_counter import FlopCounterMode

from vitexp.models import count
from vitexp.models.build import skeleton
from vitexp.spec import ModelSpec


def executed_macs(spec: ModelSpec) -> int | None:
    """MACs an image that a forward pass computes: by formula, or counted where user code is in it.

    Returns:
        None where the user's code cannot be counted.
    """
    own = spec.code or (spec.vit and spec.vit.position.code)
    return counted_macs(spec) if own else count.executed_macs(spec)


def counted_macs(spec: ModelSpec) -> int | None:
    """The same counted on the meta device; on a CPU fused attention would count as nothing."""
    shape = (1, spec.channels, spec.image_size, spec.image_size)
    try:
        model = skeleton(spec)
        with FlopCounterMode(display=False) as counter:
            model(torch.empty(shape, device="meta"))
    except (RuntimeError, NotImplementedError):
        # The user's code looks at values, which the meta device does not have.
        return None
    return int(counter.get_total_flops()) // 2
