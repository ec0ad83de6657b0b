"""What a Vision Transformer has learned that can be read from its weights alone.

N patches, D width, P patch, C channels, k components.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from vitexp.errors import VitexpError
from vitexp.models.vit import PatchEmbedding, ViT
from vitexp.positions.base import Additive
from vitexp.positions.relative import Offsets, Relative


def similarities(model: ViT) -> list[Tensor]:
    """Cosines of the embeddings of each two patches, (N, N), of each table that is added (paper,
    Figure 7); the class token is left out.

    Raises:
        VitexpError: none is added.
    """
    position, first = model.position, int(model.geometry.class_token)
    tables = []
    if isinstance(position, Additive):
        tables = [table for block in _places(model) if (table := position.table(block)) is not None]
    if not tables:
        raise VitexpError(
            f"Position {position.spec.kind!r} adds no embeddings that could be alike.",
            "Choose runs with another --position.",
        )
    return [_cosines(table.detach()[first:]) for table in tables]


def profiles(model: ViT) -> list[Tensor]:
    """Cosines of each raster offset's embedding with that of offset 0, (tables, 2 N - 1), from
    offset -(N - 1) to N - 1, of each place of a relative signal; a table a head, or one of all."""
    assert isinstance(model.position, Relative)
    found = []
    for block in _places(model):
        signal = model.position.attention(block)
        assert isinstance(signal, Offsets)
        offsets = signal.offsets.detach().double()
        here = offsets[:, offsets.shape[1] // 2, None]
        found.append(F.cosine_similarity(offsets, here, dim=2))
    return found


def _places(model: ViT) -> Iterator[int]:
    """The blocks that have a table of their own; the first stands for all that share one."""
    several = model.position.spec.placement == "every-layer"
    yield from range(model.geometry.depth if several else 1)


def _cosines(table: Tensor) -> Tensor:
    unit = F.normalize(table.double(), dim=1)
    return unit @ unit.T


def components(model: ViT, most: int) -> tuple[Tensor, Tensor]:
    """Principal components of the patch embedding's filters (paper, Figure 7).

    The D filters are the observations; the components are those of largest variance around the
    mean filter, the largest first. Their sign means nothing: the value farthest from 0 is positive.

    Args:
        most: components, at most; there are at most C P P, and at most D.

    Returns:
        (k, C, P, P), each of length 1, and their shares of the variance, (k,).

    Raises:
        VitexpError: the patches are not of the image.
    """
    if not isinstance(model.embedding, PatchEmbedding):
        raise VitexpError(
            "A hybrid's patches are cells of its trunk's map, so its filters are no images.",
            "Choose a ViT.",
        )
    kernel = model.embedding.kernel.detach().double()
    filters = kernel.flatten(1)
    _, sizes, found = torch.linalg.svd(filters - filters.mean(dim=0), full_matrices=False)
    farthest = found.gather(1, found.abs().argmax(dim=1, keepdim=True))
    shares = sizes.square() / sizes.square().sum()
    return (found * farthest.sign()).view(-1, *kernel.shape[1:])[:most], shares[:most]
