"""Attention as it is read: against other implementations, and what is made of it on weights whose
answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers
from torch import Tensor

from tests.conftest import model_spec
from tests.models.test_vit import CELLS, POOLS, as_transformers, ident, images_for, randomised
from vitexp.catalog import sizes
from vitexp.evaluation.attention import (
    distance,
    distances,
    from_patches,
    head_maps,
    rollouts,
    uniform_distance,
    watched,
)
from vitexp.models.build import build
from vitexp.models.inputs import normalise
from vitexp.models.vit import Attention, ViT
from vitexp.spec import ModelSpec, PositionSpec, ViTShape

DIGITS = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 8, 8, 1), np.uint8))


def maps_of(model: ViT, images: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Logits, and the weights of each layer."""
    found: list[Tensor] = []
    with torch.no_grad(), watched(model, lambda layer, weights: found.append(weights)):
        return model(images), found


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("position", CELLS, ids=ident)
def test_a_watched_pass_says_what_the_plain_one_says(position, pool):
    spec = model_spec(channels=3, pool=pool, position=position)
    model, images = randomised(spec), images_for(spec)
    with torch.no_grad():
        before = model(images)
    logits, maps = maps_of(model, images)
    torch.testing.assert_close(logits, before, rtol=1e-5, atol=1e-5)
    tokens = model.geometry.tokens
    assert [tuple(each.shape) for each in maps] == [(3, 4, tokens, tokens)] * 2
    torch.testing.assert_close(torch.stack(maps).sum(dim=-1), torch.ones(2, 3, 4, tokens))
    with torch.no_grad():
        assert torch.equal(model(images), before)


def test_weights_equal_those_of_transformers():
    shape = ViTShape(patch=16, width=96, depth=3, heads=4, mlp=200)
    spec = ModelSpec("vit", 64, 3, 7, shape)
    config = transformers.ViTConfig(
        hidden_size=96,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=200,
        image_size=64,
        patch_size=16,
        layer_norm_eps=1e-6,
        id2label=dict.fromkeys(range(7), "class"),
    )
    peer = transformers.ViTForImageClassification(config).eval()
    peer.set_attn_implementation("eager")
    ours, images = randomised(spec), images_for(spec)
    peer.load_state_dict(as_transformers(ours.state_dict()))
    with torch.no_grad():
        theirs = peer(images, output_attentions=True).attentions
    _, maps = maps_of(ours, images)
    assert len(maps) == len(theirs) == 3
    for found, expected in zip(maps, theirs, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
        assert expected.max() > 2 / 17


def test_relative_logits_are_in_the_weights():
    """Offset by offset, between patches of a model without a class token."""
    position = PositionSpec("relative", "shared", std=0.5)
    spec = model_spec(pool="gap", position=position)
    model, images, inputs = randomised(spec), images_for(spec), list[Tensor]()
    layers = [part for part in model.modules() if isinstance(part, Attention)]
    for layer in layers:
        layer.register_forward_pre_hook(lambda _, given: inputs.append(given[0]))
    _, maps = maps_of(model, images)
    (offsets,) = [p.double() for n, p in model.named_parameters() if n.endswith(".offsets")]
    for layer, x, found in zip(layers, inputs, maps, strict=True):
        q, k, _ = layer.qkv(x).double().view(3, 16, 3, 4, 8).permute(2, 0, 3, 1, 4)
        logits = q @ k.transpose(2, 3)
        for query in range(16):
            for key in range(16):
                embedding = offsets[:, key - query + 15]
                logits[:, :, query, key] += (q[:, :, query] * embedding).sum(dim=2)
        expected = (logits / 8**0.5).softmax(dim=3).float()
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def apart(side: int, pixels: float) -> np.ndarray:
    at = np.stack(np.divmod(np.arange(side * side), side), axis=1) * pixels
    between: np.ndarray = np.sqrt(((at[:, None] - at) ** 2).sum(axis=2))
    return between


def test_distance_of_constructed_attention():
    between = torch.from_numpy(apart(3, 4)).float()
    weights = torch.stack([torch.eye(9), torch.full((9, 9), 1 / 9), torch.eye(9).roll(3, 1)])
    # Where the class token got half of a row, or all of it, what is left counts.
    weights = torch.cat([weights, weights[1:2] / 2, torch.zeros(1, 9, 9)])[None]
    found = distance(weights, between)[0]
    below = (6 * 4 + 3 * 8) / 9
    mean = float(between.mean())
    assert found.tolist() == pytest.approx([0, mean, below, mean, 0], rel=1e-6)


@pytest.mark.parametrize("pool", POOLS)
def test_a_model_that_attends_to_all_alike_has_the_uniform_distance(pool):
    model = build(model_spec(pool=pool, position=PositionSpec("none", std=0.0)), seed=0)
    assert isinstance(model, ViT)
    for name, value in model.named_parameters():
        if "qkv" in name:
            value.data.zero_()
    found = distances(model, DIGITS)
    assert found.shape == (3, 2, 4)
    assert uniform_distance(model, 8) == pytest.approx(apart(4, 2).mean())
    assert found.numpy() == pytest.approx(apart(4, 2).mean(), rel=1e-6)


def test_distances_are_means_over_queries_of_the_models_own_weights():
    """Also in a hybrid, whose cells are as far apart as their strides."""
    shape = sizes.model("r8x0.75+vit-xxs/1", 8, channels=1, classes=10)
    for spec in (model_spec(), shape):
        model = randomised(spec)
        found = distances(model, DIGITS)
        _, maps = maps_of(model, normalise(DIGITS))
        side = model.geometry.grid[0]
        for layer, weights in enumerate(maps):
            patches = weights[:, :, 1:, 1:].double().numpy()
            shares = patches / patches.sum(axis=3, keepdims=True)
            expected = (shares * apart(side, 8 / side)).sum(axis=3).mean(axis=2)
            assert found[:, layer].numpy() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("pool", POOLS)
def test_rollout_is_a_product_over_layers_and_heads_are_read_as_they_are(pool, precision):
    """A plain loop in double precision over the very weights of such a pass."""
    model, first = randomised(model_spec(pool=pool, depth=3)), int(pool == "token")
    maps = list[Tensor]()
    bf16 = precision == torch.bfloat16
    with (
        torch.no_grad(),
        torch.autocast("cpu", precision, enabled=bf16),
        watched(model, lambda layer, weights: maps.append(weights)),
    ):
        model(normalise(DIGITS))
    found = rollouts(model, DIGITS, precision)
    far = distances(model, DIGITS, precision)
    for image in range(3):
        product = np.eye(16 + first)
        for layer in range(3):
            weights = maps[layer][image].double().numpy()
            product = (0.5 * weights.mean(axis=0) + 0.5 * np.eye(16 + first)) @ product
            heads = head_maps(model, DIGITS, layer, precision)[image]
            read = weights[:, 0, 1:] if first else weights.mean(axis=1)
            assert heads.numpy() == pytest.approx(read, rel=1e-5)
            patches = weights[:, first:, first:]
            if first:
                expected = 100 * (1 - weights[:, 0, 0])
                found_here = from_patches(model, DIGITS, precision)[image, layer].numpy()
                assert found_here == pytest.approx(expected, abs=0.5 if bf16 else 1e-4)
            shares = patches / patches.sum(axis=2, keepdims=True)
            expected = (shares * apart(4, 2)).sum(axis=2).mean(axis=1)
            assert far[image, layer].numpy() == pytest.approx(expected, rel=1e-5)
        expected = product[0, 1:] if first else product.mean(axis=0)
        assert found[image].numpy() == pytest.approx(expected, rel=1e-5)
        own = product[0, 0] if first else 0
        assert float(found[image].sum() + own) == pytest.approx(1, abs=0.02 if bf16 else 1e-5)
