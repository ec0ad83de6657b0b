"""Where a Vision Transformer's heads attend: the weights that its own pass uses, a layer at a time.

B images, H heads, T tokens (class token first where there is one), N patches on a grid, L layers.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from vitexp.models.inputs import normalise
from vitexp.models.vit import Attention, ViT
from vitexp.positions.base import raster

MAPS_BYTES = 2**27
"""Of the maps of one layer, at most, but for those of one image."""


@contextmanager
def watched(model: ViT, take: Callable[[int, Tensor], None]) -> Iterator[None]:
    """Within it, ``take`` is called with each layer's number, from 0, and its weights,
    float32, (B, H, T, T), as the model computes; each row of a head's sums to 1."""
    attentions = [part for part in model.blocks.modules() if isinstance(part, Attention)]
    for layer, attention in enumerate(attentions):
        attention.watch = functools.partial(_take, take, layer)
    try:
        yield
    finally:
        for attention in attentions:
            attention.watch = None


def _take(take: Callable[[int, Tensor], None], layer: int, weights: Tensor) -> None:
    # What is made of them is not in the run's precision, whatever the pass is.
    with torch.autocast(weights.device.type, enabled=False):
        take(layer, weights.float())


def at_once(model: ViT) -> int:
    """Images in a batch, so that one layer's maps have :data:`MAPS_BYTES`."""
    each = 4 * model.geometry.heads * model.geometry.tokens**2
    return min(256, max(1, MAPS_BYTES // each))


@torch.inference_mode()
def distances(model: ViT, images: Tensor, precision: torch.dtype = torch.float32) -> Tensor:
    """How far heads look (paper, Figures 7 and 11): the distance between query and key patch,
    centre to centre, weighted by the attention, in pixels: float64, (B, L, H), on the CPU.

    It is a mean over the query patches. The class token has no place: it is left out as a query
    and as a key, and what is left of a query's weights is scaled to sum to 1.

    Args:
        images: uint8, (B, S, S, C).
        precision: of the arithmetic.
    """
    apart, found = _apart(model, images), []

    def take(layer: int, weights: Tensor) -> None:
        found.append(distance(_patches(model, weights), apart))

    with watched(model, take):
        _features(model, images, precision)
    return torch.stack(found, dim=1)


def distance(weights: Tensor, apart: Tensor) -> Tensor:
    """The mean over queries of their weighted distance: (B, H, N, N), (N, N) -> (B, H)."""
    there = weights.sum(dim=3).clamp(min=torch.finfo(weights.dtype).tiny)
    # One product a query: its keys' weights with their distances from it.
    far = torch.einsum("bhqk,qk->bhq", weights, apart.to(weights.dtype))
    return (far / there).mean(dim=2).cpu().double()


@torch.inference_mode()
def from_patches(model: ViT, images: Tensor, precision: torch.dtype = torch.float32) -> Tensor:
    """The share of the class token's attention that is on patches, in percent, of each head:
    float64, (B, L, H), on the CPU. The rest is on the class token itself.

    Args:
        images, precision: as for :func:`distances`.
    """
    assert model.geometry.class_token
    found = []

    def take(layer: int, weights: Tensor) -> None:
        found.append(100 * weights[:, :, 0, 1:].sum(dim=2).cpu().double())

    with watched(model, take):
        _features(model, images, precision)
    return torch.stack(found, dim=1)


def uniform_from_patches(model: ViT, side: int) -> float:
    """That of a head that attends to all tokens alike, whatever the side of the images."""
    return 100 * (1 - 1 / model.geometry.tokens)


def uniform_distance(model: ViT, side: int) -> float:
    """What a head has that attends to all patches of images of ``side`` pixels alike."""
    return float(_apart(model, torch.zeros(1, side, side, 1)).mean())


@torch.inference_mode()
def rollouts(model: ViT, images: Tensor, precision: torch.dtype = torch.float32) -> Tensor:
    """Attention rollout (Abnar and Zuidema 2020; the paper's Figure 6): each layer's weights,
    averaged over heads and mixed half and half with the residual branch, multiplied from the first
    layer to the last: what of each patch reaches the class token, float32, (B, N), on the CPU.

    Without a class token it is the mean over the rows of the patches. With one, each image's
    values and what the class token has of itself sum to 1.

    Args:
        images, precision: as for :func:`distances`.
    """
    product: Tensor | None = None

    def take(layer: int, weights: Tensor) -> None:
        nonlocal product
        here = torch.eye(weights.shape[-1], device=weights.device)
        mixed = (weights.mean(dim=1) + here) / 2
        product = mixed if product is None else mixed @ product

    with watched(model, take):
        _features(model, images, precision)
    assert product is not None
    return _read(model, product).cpu()


@torch.inference_mode()
def head_maps(
    model: ViT, images: Tensor, layer: int, precision: torch.dtype = torch.float32
) -> Tensor:
    """What each head of a layer, from 0, reads of each patch for the class token, without one a
    mean over the patches' queries: float32, (B, H, N), on the CPU.

    Args:
        images, precision: as for :func:`distances`.
    """
    found = []

    def take(number: int, weights: Tensor) -> None:
        if number == layer:
            found.append(_read(model, weights).cpu())

    with watched(model, take):
        _features(model, images, precision)
    return found[0]


def _read(model: ViT, weights: Tensor) -> Tensor:
    """What the pooled token has of each patch: (..., T, T) -> (..., N)."""
    if model.geometry.class_token:
        return weights[..., 0, 1:]
    return weights.mean(dim=-2)


def _apart(model: ViT, images: Tensor) -> Tensor:
    """Pixels between the centres of each two patches, (N, N)."""
    grid = model.geometry.grid
    at = raster(grid).to(images.device).float() * (images.shape[1] / grid[0])
    return torch.cdist(at, at, compute_mode="donot_use_mm_for_euclid_dist")


def _patches(model: ViT, weights: Tensor) -> Tensor:
    first = int(model.geometry.class_token)
    return weights[..., first:, first:]


def _features(model: ViT, images: Tensor, precision: torch.dtype) -> Tensor:
    with torch.autocast(images.device.type, precision, enabled=precision != torch.float32):
        return model.features(normalise(images))
