"""Compiling a model's blocks: where it works, and where it is not used."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from importlib.util import find_spec

import torch
from torch import nn

from vitexp.models.vit import Block

VARIANTS = 1024
"""Most versions of a block in one process. Runs that differ in their weights alone share theirs;
with stochastic depth, each layer's rate makes one of its own."""


def compile_blocks(model: nn.Module, deterministic: bool = False) -> None:
    """Compiles the encoder blocks, which share their code: not the model, which takes longer.

    Args:
        model: it is changed in place.
        deterministic: by default the compiler times kernels and takes the fastest, which may be
            another one the next time.
    """
    from torch._inductor import config

    if config.deterministic != deterministic:
        # What was compiled for the other choice must not serve this one.
        torch.compiler.reset()
    config.deterministic = deterministic
    torch._dynamo.config.recompile_limit = VARIANTS
    torch._dynamo.config.accumulated_recompile_limit = VARIANTS
    for block in model.modules():
        if isinstance(block, Block):
            block.compile(dynamic=False)


@contextlib.contextmanager
def plain() -> Iterator[None]:
    """Runs compiled blocks as they were written: other shapes are not worth compiling for."""
    with torch.compiler.set_stance("force_eager"):
        yield


def has_compiler(device: torch.device) -> bool:
    """Whether this machine has what compiling for ``device`` needs; that it works is not tried."""
    if device.type == "cuda" and find_spec("triton") is None:
        return False
    compiler = os.environ.get("CXX", "g++")
    return device.type in ("cpu", "cuda") and any(map(shutil.which, (compiler, "cl")))
