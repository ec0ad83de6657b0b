"""The last map of features of a model: what its cells hold, how like two maps are, and which pixels
a cell depends on.

B images, S side, C channels, G side of the map, D its channels.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from vitexp.models.inputs import normalise
from vitexp.models.resnet import ResNet
from vitexp.models.vit import ViT

CELLS = 16
"""Cells of which it is asked what they depend on, at most."""
RINGS = 8
"""Distances, in eighths of the side."""


@contextmanager
def mapped(model: nn.Module) -> Iterator[list[Tensor]]:
    """Within it, each pass of the model appends its map (B, G, G, D).

    Of a transformer it is what its last block reads at the patches (of what goes on from there a
    class token leaves nothing), of a ResNet what is averaged for the head; of other models there is
    none.
    """
    maps: list[Tensor] = []
    hooks = []
    if isinstance(model, ViT):
        first, grid = int(model.geometry.class_token), model.geometry.grid

        def patches(block: nn.Module, given: tuple[Tensor, ...]) -> None:
            tokens = given[0]
            maps.append(tokens[:, first:].reshape(len(tokens), *grid, tokens.shape[2]))

        hooks = [model.blocks[-1].register_forward_pre_hook(patches)]
    elif isinstance(model, ResNet):

        def last(trunk: nn.Module, given: tuple[Tensor, ...], made: Tensor) -> None:
            maps.append(made.permute(0, 2, 3, 1))

        hooks = [model.trunk.register_forward_hook(last)]
    try:
        yield maps
    finally:
        for hook in hooks:
            hook.remove()


class Likeness:
    """The correlation of two maps over images, cells and channels, each channel around its own
    mean; batch by batch."""

    def __init__(self) -> None:
        self._sums, self._count = torch.zeros(()), 0

    def add(self, one: Tensor, other: Tensor) -> None:
        """Maps (B, G, G, D)."""
        a, b = (each.flatten(0, 2).double() for each in (one, other))
        sums = torch.stack([each.sum(dim=0) for each in (a, b, a * b, a * a, b * b)])
        self._sums, self._count = self._sums.to(sums) + sums, self._count + len(a)

    @property
    def spread(self) -> float:
        """How far a cell of the first map is from the mean, squared, all channels together."""
        a, _, _, aa, _ = self._sums / self._count
        return float((aa - a * a).sum())

    @property
    def value(self) -> float:
        """1 for equal maps, 0 for those that have nothing to do with one another."""
        a, b, ab, aa, bb = self._sums / self._count
        whole = ((aa - a * a).sum() * (bb - b * b).sum()).clamp(min=1e-12)
        return float((ab - a * b).sum() / whole.sqrt())


def centres(cells: int) -> Tensor:
    """(row, column) of the centre of each cell of a map, in sides: (G, G, 2)."""
    at = (torch.arange(cells) + 0.5) / cells
    return torch.stack(torch.meshgrid(at, at, indexing="ij"), dim=2)


@torch.enable_grad()
def dependence(model: nn.Module, images: Tensor) -> tuple[Tensor, float] | None:
    """How near the pixels are on which a cell of the map depends (Luo et al. 2016): the squared
    gradient of the cell, in a random direction of its channels, by each pixel; as shares of the
    whole, a mean over images and cells spread over the map.

    Args:
        images: uint8, (B, S, S, C).

    Returns:
        The share within each of :data:`RINGS` eighths of the side from the cell's centre, and the
        mean distance over that of all pixels, which is 1 where all matter alike; None of a model
        without a map.
    """
    inputs = normalise(images).requires_grad_()
    side = inputs.shape[-1]
    with mapped(model) as maps:
        model(inputs)
    if not maps:
        return None
    cells = maps[0].flatten(1, 2)
    where = centres(maps[0].shape[1]).flatten(0, 1)
    within, far, usual = torch.zeros(RINGS), 0.0, 0.0
    chosen = torch.linspace(0, len(where) - 1, min(CELLS, len(where))).long().tolist()
    for number, cell in enumerate(chosen):
        weights = _direction(number, cells.shape[2]).to(cells)
        last = number == len(chosen) - 1
        (slope,) = torch.autograd.grad(
            (cells[:, cell] @ weights).sum(), inputs, retain_graph=not last
        )
        power = slope.detach().square().sum(dim=1).cpu().flatten(1)
        shares = power / power.sum(dim=1, keepdim=True).clamp(min=1e-30)
        away = (centres(side) - where[cell]).norm(dim=2).flatten()
        edges = torch.arange(1, RINGS + 1) / RINGS
        within = within + (shares.mean(dim=0) * (away <= edges[:, None])).sum(dim=1)
        far += float((shares * away).sum(dim=1).mean())
        usual += float(away.mean())
    return within / len(chosen), far / usual


def _direction(number: int, channels: int) -> Tensor:
    return torch.randn(channels, generator=torch.Generator().manual_seed(number))
