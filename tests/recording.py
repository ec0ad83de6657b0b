"""A CUDA graph's terms, without CUDA: what is recorded once is done again on the same memory.

Host code does not run at a replay: a number that it computed while recording stays as it was, and
a tensor that it made or dropped is where it was then. A step that gives the right result under
these terms depends on the host for nothing but its inputs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

Call = tuple[Any, tuple[Any, ...], dict[str, Any], list[Tensor]]

WAITS = ("_local_scalar_dense", "nonzero", "item", "masked_select", "unique", "equal")
"""Operations whose result the host has to wait for."""


class Recorder(TorchDispatchMode):
    """Keeps every operation, with the very tensors that it read and wrote."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        assert name not in WAITS, f"{name} waits for the device"
        out = func(*args, **(kwargs or {}))
        self.calls.append((func, args, kwargs or {}, _tensors(out)))
        return out


class Recorded:
    """Like ``torch.cuda.CUDAGraph``: recording computes, here, what the first replay would."""

    def __init__(self, take: Callable[[], None]) -> None:
        with Recorder() as recorder:
            take()
        self.calls, self._first = recorder.calls, True

    @torch.no_grad()
    def replay(self) -> None:
        if self._first:
            self._first = False
            return
        for func, args, kwargs, outs in self.calls:
            if func._schema.is_mutable or not outs or _is_view(func):
                func(*args, **kwargs)
                continue
            for old, new in zip(outs, _tensors(func(*args, **kwargs)), strict=True):
                old.copy_(new)


def recorded(
    take: Callable[[], None], rehearse: Callable[[], object], device: torch.device
) -> Recorded:
    """In place of ``vitexp.training.capture.captured``."""
    for _ in range(2):
        rehearse()
    return Recorded(take)


def _tensors(value: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor)]


def _is_view(func: Any) -> bool:
    return any(arg.alias_info is not None for arg in func._schema.returns)
