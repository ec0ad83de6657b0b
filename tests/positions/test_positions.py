"""Each positional signal against its definition, and the contract that all of them keep."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

from tests.conftest import model_spec
from vitexp.errors import VitexpError
from vitexp.initialisation import initialise
from vitexp.models.build import build
from vitexp.models.count import at_resolution
from vitexp.positions import POSITIONS, check_width, placements, position_spec
from vitexp.positions.base import Geometry, Position
from vitexp.spec import PLACEMENTS, PositionSpec

GRID, WIDTH, HEADS, DEPTH = (3, 4), 16, 2, 3
CELLS = [(kind, place) for kind in POSITIONS for place in placements(kind)]


def made(kind: str, placement: str, class_token: bool = True, **fields: bool) -> Position:
    spec = PositionSpec(kind, placement, std=0.5, **fields)  # type: ignore[arg-type]
    geometry = Geometry(GRID, class_token, WIDTH, HEADS, DEPTH)
    position = POSITIONS.load(kind)(spec, geometry)
    assert isinstance(position, Position)
    initialise(position, 0)
    return position


def zeros(position: Position) -> Tensor:
    return torch.zeros(2, position.geometry.tokens, WIDTH)


@pytest.mark.parametrize("class_token", [True, False])
@pytest.mark.parametrize(("kind", "placement"), CELLS)
def test_every_position_keeps_the_contract(kind, placement, class_token):
    assert_contract(made(kind, placement, class_token))


def assert_contract(position: Position) -> None:
    """Shapes, where the placement lets the signal act, and rows alone as in the whole."""
    spec, class_token = position.spec, position.geometry.class_token
    tokens = position.geometry.tokens
    x = torch.randn(2, tokens, WIDTH)
    q, k = torch.randn(2, 2, HEADS, tokens, WIDTH // HEADS)
    acts = []
    for block in range(DEPTH):
        added, signal = position.tokens(x, block), position.attention(block)
        assert added.shape == x.shape
        acts.append(not torch.equal(added, x) or signal is not None)
        if signal is None:
            continue
        assert [part.shape for part in signal.rotate(q, k)] == [q.shape, k.shape]
        logits = signal.logits(q, slice(None))
        if logits is not None:
            full = logits.expand(2, HEADS, tokens, tokens)
            first = signal.logits(q[:, :, :1], slice(0, 1)) if class_token else full
            assert first is not None
            torch.testing.assert_close(first, full[:, :, : first.shape[2]])
    where = {"stem": [True, False, False], "every-layer": [True] * 3, "shared": [True] * 3}
    assert acts == ([False] * 3 if spec.kind == "none" else where[spec.placement])


@pytest.mark.parametrize("kind", ["learned_1d", "learned_2d", "relative"])
def test_a_placement_decides_how_many_tables_there_are(kind):
    sizes = {place: sum(p.numel() for p in made(kind, place).parameters()) for place in PLACEMENTS}
    assert sizes["every-layer"] == DEPTH * sizes["stem"]
    assert sizes["shared"] == sizes["stem"] > 0


@pytest.mark.parametrize("kind", ["learned_1d", "learned_2d"])
def test_every_layer_has_a_table_of_its_own_and_shared_has_not(kind):
    own, shared = made(kind, "every-layer"), made(kind, "shared")
    x = zeros(own)
    assert not torch.equal(own.tokens(x, 0), own.tokens(x, 1))
    assert torch.equal(shared.tokens(x, 0), shared.tokens(x, 1))


def test_learned_2d_is_a_row_and_a_column_vector():
    position = made("learned_2d", "stem")
    table = position.tokens(zeros(position), 0)[0].detach()
    patches = table[1:].view(*GRID, 2, WIDTH // 2)
    assert torch.equal(patches[:, :, 0], patches[:, :1, 0].expand(-1, GRID[1], -1))
    assert torch.equal(patches[:, :, 1], patches[:1, :, 1].expand(GRID[0], -1, -1))
    assert len(patches[:, 0, 0].unique(dim=0)) == GRID[0]
    assert len(patches[0, :, 1].unique(dim=0)) == GRID[1]
    assert table[0].abs().min() > 0


@pytest.mark.parametrize("per_head", [True, False])
@pytest.mark.parametrize("scaled", [True, False])
@pytest.mark.parametrize("class_token", [True, False])
def test_relative_logits_are_the_query_dotted_with_the_offsets_embedding(
    class_token, scaled, per_head
):
    position = made("relative", "stem", class_token, scaled=scaled, per_head=per_head)
    tokens, d = position.geometry.tokens, WIDTH // HEADS
    q = torch.randn(2, HEADS, tokens, d)
    signal = position.attention(0)
    assert signal is not None
    found = signal.logits(q, slice(None))
    assert found is not None
    p = dict(position.named_parameters())
    offsets = p["tables.places.0.offsets"]
    patches, first = GRID[0] * GRID[1], int(class_token)
    for head in range(HEADS):
        table = head if per_head else 0
        for i in range(tokens):
            for j in range(tokens):
                if i >= first and j >= first:
                    # Stored by increasing j - i, which is the raster offset p_q - p_k negated.
                    embedding = offsets[table, patches - 1 + (j - i)]
                else:
                    which = 0 if i == j else 1 if i == 0 else 2
                    embedding = p["tables.places.0.class_offsets"][table, which]
                expected = q[:, head, i] @ embedding * (d**-0.5 if scaled else 1)
                torch.testing.assert_close(found[:, head, i, j], expected)


def test_sincos_1d_is_the_transformers_formula():
    position = made("sincos_1d", "stem")
    table = position.tokens(zeros(position), 0)[0]
    half = WIDTH // 2
    for index in range(position.geometry.tokens):
        for i in range(half):
            angle = index / 10_000 ** (i / half)
            assert float(table[index, i]) == pytest.approx(math.sin(angle), abs=1e-6)
            assert float(table[index, half + i]) == pytest.approx(math.cos(angle), abs=1e-6)


def test_sincos_2d_is_a_wave_of_the_row_and_one_of_the_column():
    position = made("sincos_2d", "stem")
    table = position.tokens(zeros(position), 0)[0]
    quarter = WIDTH // 4
    assert not table[0].any()
    for patch in range(GRID[0] * GRID[1]):
        for part, at in enumerate(divmod(patch, GRID[1])):
            for i in range(quarter):
                angle = at / 10_000 ** (i / quarter)
                found = table[1 + patch, part * 2 * quarter + i]
                assert float(found) == pytest.approx(math.sin(angle), abs=1e-6)


LEARNED = {"learned_1d", "learned_2d", "relative"}


def on_grid(kind: str, side: int, placement: str = "stem", class_token: bool = True) -> Any:
    spec = PositionSpec(kind, placement, std=0.5)  # type: ignore[arg-type]
    position = POSITIONS.load(kind)(spec, Geometry((side, side), class_token, WIDTH, HEADS, DEPTH))
    assert isinstance(position, Position)
    initialise(position, 0)
    return position


@pytest.mark.parametrize("how", ["bilinear", "bicubic"])
@pytest.mark.parametrize("class_token", [True, False])
@pytest.mark.parametrize(("kind", "placement"), CELLS)
def test_every_position_is_resized_to_the_shapes_of_the_new_grid(kind, placement, class_token, how):
    old, new = (on_grid(kind, side, placement, class_token) for side in (3, 5))
    learned = old.state_dict()
    assert all(torch.equal(v, learned[n]) for n, v in old.resized(learned, how).items())
    found = new.resized(learned, how)
    assert {n: v.shape for n, v in found.items()} == {
        n: v.shape for n, v in new.state_dict().items()
    }
    new.load_state_dict(found)
    assert (kind in LEARNED) == bool(found)


def test_two_by_two_becomes_three_by_three_with_the_corners_in_place():
    """By hand: edges are means of two corners, the centre of all four; as align-corners does."""
    position = on_grid("learned_1d", 3)
    corners = torch.tensor([[0.0], [2.0], [4.0], [10.0]]).expand(4, WIDTH)
    learned = {"tables.places.0.embedding": torch.cat([torch.full((1, WIDTH), 7.0), corners])}
    (table,) = position.resized(learned, "bilinear").values()
    assert table[:, 0].tolist() == [7, 0, 1, 2, 2, 4, 6, 4, 7, 10]


@pytest.mark.parametrize(("old", "new"), [(4, 7), (7, 4), (14, 24)])
def test_bilinear_resizing_is_that_of_the_official_code(old, new):
    """vit_jax/checkpoint.py calls scipy.ndimage.zoom(grid, order=1)."""
    position = on_grid("learned_1d", old)
    (learned,) = position.state_dict().values()
    (found,) = on_grid("learned_1d", new).resized(position.state_dict(), "bilinear").values()
    grid = learned[1:].view(old, old, WIDTH).numpy()
    expected = ndimage.zoom(grid, (new / old, new / old, 1), order=1).reshape(-1, WIDTH)
    torch.testing.assert_close(found[1:], torch.from_numpy(expected), rtol=1e-4, atol=1e-5)
    assert torch.equal(found[0], learned[0])


@pytest.mark.parametrize("how", ["bilinear", "bicubic"])
def test_both_2d_tables_are_resized_as_the_grid_that_they_span(how):
    old, new = on_grid("learned_2d", 4), on_grid("learned_2d", 6)
    new.load_state_dict(new.resized(old.state_dict(), how))
    as_1d = on_grid("learned_1d", 6)
    table = old.tokens(zeros(old), 0)[0].detach()
    (expected,) = as_1d.resized({"tables.places.0.embedding": table}, how).values()
    torch.testing.assert_close(new.tokens(zeros(new), 0)[0], expected, rtol=1e-4, atol=1e-5)


def test_a_relative_table_is_the_mean_over_the_pairs_that_share_the_new_offset():
    """By brute force over all pairs of patches of the new grid."""
    old, new = on_grid("relative", 3), on_grid("relative", 4)
    learned = old.state_dict()
    found = new.resized(learned, "bilinear")
    offsets = learned["tables.places.0.offsets"]
    where = torch.tensor([[3 * row + column for column in range(-2, 3)] for row in range(-2, 3)])
    for head in range(HEADS):
        spread = offsets[head, where + 8].permute(2, 0, 1)[None]
        wide = F.interpolate(spread, size=(7, 7), mode="bilinear", align_corners=True)[0]
        sums: dict[int, list[Tensor]] = {}
        for q in range(16):
            for k in range(16):
                row, column = k // 4 - q // 4, k % 4 - q % 4
                sums.setdefault(k - q, []).append(wide[:, row + 3, column + 3])
        for offset, values in sums.items():
            table = found["tables.places.0.offsets"][head, 15 + offset]
            torch.testing.assert_close(table, torch.stack(values).mean(0))
    name = "tables.places.0.class_offsets"
    assert torch.equal(found[name], learned[name])


def test_tables_of_no_square_are_refused():
    position = on_grid("learned_1d", 3)
    with pytest.raises(VitexpError, match="12 patches, which are not a square grid"):
        position.resized({"tables.places.0.embedding": torch.zeros(13, WIDTH)}, "bilinear")


def smooth(name: str, table: Tensor, generator: torch.Generator) -> Tensor:
    """Waves of long wavelength over what the rows of a learned table stand for."""

    def waves(at: Tensor) -> Tensor:
        return torch.sin(2 * at @ torch.randn(at.shape[1], table.shape[-1], generator=generator))

    length = table.shape[-2]
    if name.endswith("embedding"):
        side = math.isqrt(length)
        at = torch.linspace(-1, 1, side)
        return torch.cat([table[: length - side * side], waves(torch.cartesian_prod(at, at))])
    if name.endswith(("rows", "columns")):
        return waves(torch.linspace(-1, 1, length)[:, None])
    if name.endswith(".offsets"):
        return torch.stack([2 * waves(torch.linspace(-2, 2, length)[:, None]) for _ in table])
    return table


def wave_images(side: int) -> Tensor:
    """The same eight pictures of one wave each, at any size: (8, 1, side, side)."""
    at = (torch.arange(side) + 0.5) / side
    row, column = torch.meshgrid(at, at, indexing="ij")
    draws = torch.rand(8, 3, 1, 1, generator=torch.Generator().manual_seed(0)).unbind(1)
    phase = draws[0] * row + draws[1] * column + draws[2]
    return torch.sin(2 * math.pi * phase)[:, None]


@pytest.mark.parametrize("how", ["bilinear", "bicubic"])
@pytest.mark.parametrize("pool", ["token", "gap"])
@pytest.mark.parametrize(("kind", "placement"), CELLS)
def test_smooth_images_have_nearly_the_same_features_at_one_and_a_half_times_the_size(
    kind, placement, pool, how
):
    spec = model_spec(pool=pool, position=PositionSpec(kind, placement, std=1.0))
    spec = dataclasses.replace(spec, image_size=16)
    small: Any = build(spec, 0).eval()
    large: Any = build(at_resolution(spec, 24), 1).eval()
    generator = torch.Generator().manual_seed(3)
    for name, value in small.position.named_parameters():
        value.data = smooth(name, value.data, generator)
    shared = {n: v for n, v in small.state_dict().items() if not n.startswith("position.")}
    resized = large.position.resized(small.position.state_dict(), how)
    large.load_state_dict(shared | {f"position.{n}": v for n, v in resized.items()})
    with torch.no_grad():
        before, after = small.features(wave_images(16)), large.features(wave_images(24))
    apart = (before - before.roll(1, 0)).norm()
    assert (after - before).norm() < 0.15 * before.norm()
    assert (after - before).norm() < 0.12 * apart


def test_names_have_one_spelling():
    assert position_spec("1d", "stem", 0.3) == position_spec("learned-1d", "stem", 0.3)
    assert position_spec("none", "stem", 0.3) == position_spec("none", "stem", 0.1)
    assert position_spec("sincos-2d", "shared", 0.3).std == 0.0


def test_what_does_not_exist_is_refused_with_the_choices():
    with pytest.raises(VitexpError, match=r"Unknown position 'learned3d'\.\nDid you mean"):
        position_spec("learned3d", "stem", 0.02)
    with pytest.raises(VitexpError, match=r"no placement 'shared'\.\nIts placements: stem"):
        position_spec("none", "shared", 0.02)
    with pytest.raises(VitexpError, match="multiple of 2, not 63"):
        check_width("learned_2d", 63)
    check_width("learned_1d", 63)


def test_a_signal_from_a_file_is_loaded_and_its_code_is_part_of_the_spec(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("from vitexp.positions.none import NoPosition as Mine\n")
    spec = position_spec(f"{file}:Mine", "stem", 0.02)
    assert POSITIONS.load(spec.kind).__name__ == "NoPosition"
    file.write_text("from vitexp.positions.none import NoPosition as Mine  # edited\n")
    assert position_spec(f"{file}:Mine", "stem", 0.02).code != spec.code
    with pytest.raises(VitexpError, match="Unknown name in"):
        POSITIONS.load(f"{file}:Yours")
    with pytest.raises(VitexpError, match="There is no file"):
        position_spec(f"{tmp_path}/absent.py:Mine", "stem", 0.02)
    file.write_text("Mine = 1 / 0\n")
    with pytest.raises(VitexpError, match="cannot be imported: ZeroDivisionError"):
        POSITIONS.load(f"{file}:Mine")
