"""Inductive bias on models whose answer is known by construction."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.conftest import model_spec
from tests.models.test_vit import POOLS, randomised
from vitexp.catalog import sizes
from vitexp.datasets.image_set import ImageSet
from vitexp.evaluation.bias import Bias, bias
from vitexp.evaluation.changes import changes, rolled, tile
from vitexp.evaluation.class_maps import class_maps
from vitexp.evaluation.maps import Likeness
from vitexp.evaluation.topology import plane
from vitexp.models.build import build
from vitexp.models.inputs import normalise
from vitexp.models.resnet import ResNet
from vitexp.spec import PositionSpec

CPU = torch.device("cpu")
NONE = PositionSpec("none", std=0.0)


def found(model: nn.Module, few_digits: ImageSet) -> Bias:
    return bias(model, few_digits.test, CPU, torch.float32)


@pytest.mark.parametrize("pool", POOLS)
def test_without_positions_whole_patches_may_go_anywhere(pool, few_digits):
    """To its class, and to its map in which they go along; parts of a patch may not."""
    values = found(randomised(model_spec(pool=pool, position=NONE)), few_digits).values
    for name in ("shift_2", "shift_4", "shuffle"):
        assert values[name] == 1
        assert values[f"{name}_top1"] == pytest.approx(values["top1"])
        assert values[f"map_{name}"] == pytest.approx(1, abs=1e-4)
    for name in ("shift_1", "shift_3"):
        assert values[name] < 0.99
        assert values[f"map_{name}"] < 0.99
    signal = PositionSpec("learned_1d", std=3.0)
    with_positions = found(randomised(model_spec(pool=pool, position=signal)), few_digits).values
    assert with_positions["map_shift_2"] < 0.5


class Brightness(nn.Module):
    """A class for each range of the mean pixel, which no pixel's place changes."""

    def forward(self, images: Tensor) -> Tensor:
        mean = images.double().mean(dim=(1, 2, 3))[:, None]
        return -(mean - torch.linspace(-1, 0, 10)).abs()


def test_what_does_not_depend_on_places_is_invariant_to_all_of_them(few_digits):
    measured = found(Brightness(), few_digits)
    assert {measured.values[f"shift_{k}"] for k in range(1, 5)} == {1}
    assert measured.values["shift"] == measured.values["shuffle"] == 1
    assert 0 < measured.values["hidden"] < 1
    assert measured.per_image.keys() == {"shift"}
    assert (measured.per_image["shift"] == np.ones(60)).all()
    assert not any(name.startswith(("map", "reach", "attention")) for name in measured.values)


def test_cells_that_read_their_own_patch_depend_on_nothing_else(few_digits):
    """Of one block, that reads the embedded patches: four pixels at one distance each."""
    values = found(randomised(model_spec(depth=1, position=NONE)), few_digits).values
    assert values["within_1"] == pytest.approx(1, abs=1e-6)
    at = np.arange(8) + 0.5
    places = [np.hypot(at[:, None] - r, at - c).mean() for r in (1, 3, 5, 7) for c in (1, 3, 5, 7)]
    assert values["reach"] == pytest.approx(0.5**0.5 / np.mean(places), rel=1e-5)
    assert values["hidden_far"] == 0 < values["hidden_near"]
    assert values["map_shift_2"] == pytest.approx(1, abs=1e-4)


def test_likeness_is_the_correlation_around_each_channels_mean():
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, 6, 3, 3, 4))
    other += 0.5 * one + rng.normal(size=4)
    like = Likeness()
    for part in (slice(0, 2), slice(2, 6)):
        like.add(torch.from_numpy(one[part]), torch.from_numpy(other[part]))
    a, b = (x.reshape(-1, 4) - x.reshape(-1, 4).mean(axis=0) for x in (one, other))
    assert like.value == pytest.approx(np.corrcoef(a.ravel(), b.ravel())[0, 1])
    assert like.spread == pytest.approx((a**2).sum() / len(a))


def test_a_map_follows_a_shift_linearly_between_its_cells():
    cells = torch.arange(4.0)[None, None, :, None].expand(1, 4, 4, 1)
    assert rolled((0, 2), 8, cells)[0, 0, :, 0].tolist() == [3, 0, 1, 2]
    assert rolled((0, -1), 8, cells)[0, 0, :, 0].tolist() == [0.5, 1.5, 2.5, 1.5]
    assert torch.equal(rolled((3, 0), 8, cells), cells)


def test_changes_keep_every_pixel_but_those_that_are_hidden():
    image = torch.arange(64, dtype=torch.uint8).view(1, 8, 8, 1)
    assert [tile(side) for side in (8, 32, 224, 7)] == [2, 8, 32, 1]
    hidden = torch.zeros(8, 8)
    for change in changes(8):
        changed = change.images(image)
        if change.hides is None:
            assert sorted(changed.flatten().tolist()) == list(range(64)), change.name
            assert not torch.equal(changed, image)
        else:
            hidden += (changed != image)[0, :, :, 0]
    assert (hidden == 1).all()


def test_similarity_that_follows_the_grid_is_told_from_any_other():
    at = np.stack(np.divmod(np.arange(16), 4), axis=1)
    apart = np.abs(at[:, None] - at).sum(axis=2)
    both = plane(-apart.astype(float), 4)
    assert both.rows == pytest.approx(both.columns) and both.rows > 0.5
    assert both.p == 0.001
    # Rows alone are no plane, and a random table is none.
    rows = plane(-np.abs(at[:, None, 0] - at[:, 0]).astype(float), 4)
    assert rows.rows == pytest.approx(1) and rows.columns < 0.1
    table = np.random.default_rng(1).normal(size=(16, 32))
    table /= np.linalg.norm(table, axis=1, keepdims=True)
    assert plane(table @ table.T, 4).p > 0.05


def test_class_activation_and_bias_sum_to_the_logit(few_digits):
    model = build(sizes.model("r8x0.5", 8, channels=1, classes=10), seed=0)
    assert isinstance(model, ResNet)
    rng = torch.Generator().manual_seed(0)
    for value in model.head.parameters():
        value.data = torch.randn(value.shape, generator=rng)
    images = torch.from_numpy(np.array(few_digits.test.images[:5]))
    classes, maps = class_maps(model, images)
    with torch.no_grad():
        logits = model(normalise(images))
    assert torch.equal(classes, logits.argmax(dim=1)) and len(set(classes.tolist())) > 1
    summed = maps.sum(dim=(1, 2)) + model.head.bias.detach()[classes]
    torch.testing.assert_close(summed, logits.amax(dim=1))
