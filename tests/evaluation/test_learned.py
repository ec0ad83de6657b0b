"""What is read from weights alone: against tables of known structure and another PCA."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.decomposition import PCA
from torch import nn

from tests.conftest import model_spec
from vitexp.catalog import sizes
from vitexp.errors import VitexpError
from vitexp.evaluation.learned import components, profiles, similarities
from vitexp.models.build import build
from vitexp.models.vit import PatchEmbedding, ViT
from vitexp.positions import POSITIONS, placements
from vitexp.spec import Placement, PositionSpec


def made(kind: str, placement: Placement = "stem", **shape: Any) -> ViT:
    model = build(model_spec(position=PositionSpec(kind, placement, std=1.0), **shape), seed=0)
    assert isinstance(model, ViT)
    return model


def waves(offset: np.ndarray, width: int) -> np.ndarray:
    """The cosine of two places' waves: a mean over frequencies, as sin a sin b + cos a cos b =
    cos(a - b)."""
    frequencies = 10_000.0 ** (-np.arange(width // 2) / (width // 2))
    mean: np.ndarray = np.cos(offset[..., None] * frequencies).mean(axis=-1)
    return mean


@pytest.mark.parametrize("pool", ["token", "gap"])
def test_of_waves_the_similarity_follows_the_distance_alone(pool):
    place = np.arange(16)
    (along,) = similarities(made("sincos_1d", pool=pool))
    assert np.allclose(along, waves(place[:, None] - place, 32), atol=1e-6)
    (two,) = similarities(made("sincos_2d", pool=pool))
    rows, columns = np.divmod(place, 4)
    expected = [waves(at[:, None] - at, 16) for at in (rows, columns)]
    assert np.allclose(two, np.mean(expected, axis=0), atol=1e-6)


def test_every_table_of_every_placement_is_compared():
    for kind in POSITIONS:
        for placement in placements(kind):
            model, tables = made(kind, placement), 2 if placement == "every-layer" else 1
            if kind == "relative":
                assert [tuple(p.shape) for p in profiles(model)] == [(4, 31)] * tables
            elif kind == "none":
                with pytest.raises(VitexpError, match="adds no embeddings"):
                    similarities(model)
            else:
                found = similarities(model)
                assert [tuple(each.shape) for each in found] == [(16, 16)] * tables
                assert tables == 1 or not np.allclose(found[0], found[1])


def test_a_profile_is_the_cosine_with_offset_0():
    model = made("relative")
    (offsets,) = [p.detach().numpy() for n, p in model.named_parameters() if n.endswith(".offsets")]
    unit = offsets / np.linalg.norm(offsets, axis=2, keepdims=True)
    expected = (unit * unit[:, 15:16]).sum(axis=2)
    (found,) = profiles(model)
    assert np.allclose(found, expected, atol=1e-6)
    assert np.allclose(found[:, 15], 1)


def test_components_are_those_of_another_pca():
    model = build(model_spec(channels=3, patch=2), seed=0)
    assert isinstance(model, ViT) and isinstance(model.embedding, PatchEmbedding)
    found, shares = components(model, 5)
    known = PCA(5).fit(model.embedding.kernel.detach().flatten(1).double().numpy())
    assert found.shape == (5, 3, 2, 2)
    assert np.allclose(shares, known.explained_variance_ratio_)
    assert np.allclose(np.abs(found.flatten(1).numpy()), np.abs(known.components_), atol=1e-6)
    assert (found.flatten(1).max(dim=1).values == found.flatten(1).abs().max(dim=1).values).all()


def test_of_cells_of_a_map_there_are_no_images():
    model: nn.Module = build(sizes.model("r8x0.75+vit-xxs/2", 8, channels=1, classes=10), seed=0)
    assert isinstance(model, ViT)
    with pytest.raises(VitexpError, match="filters are no images"):
        components(model, 28)
