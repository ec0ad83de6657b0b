"""The model against its equations, against another implementation, and its symmetries."""

from __future__ import annotations

import re

import pytest
import torch
import transformers
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from tests.conftest import model_spec
from vitexp.initialisation import initialise
from vitexp.launch.devices import cuda_devices
from vitexp.models import count, counted
from vitexp.models.build import build
from vitexp.models.masks import DeviceNoise, HashNoise, HostNoise, Noise, drop
from vitexp.models.vit import ViT, attend
from vitexp.positions import POSITIONS, placements, position_spec
from vitexp.spec import ModelSpec, PositionSpec, ViTShape

CELLS = [PositionSpec(kind, place, std=0.5) for kind in POSITIONS for place in placements(kind)]
POOLS = ["token", "gap"]
CPU = torch.device("cpu")


def ident(value: object) -> str:
    if isinstance(value, PositionSpec):
        return f"{value.kind}-{value.placement}"
    return str(value)


def randomised(spec: ModelSpec, **kwargs: float) -> ViT:
    """The model with every parameter away from its special starting value."""
    model = build(spec, seed=0, **kwargs)
    assert isinstance(model, ViT)
    generator = torch.Generator().manual_seed(1)
    for name, value in model.named_parameters():
        if value.ndim < 2 or name.startswith(("head", "class_token")):
            value.data.add_(torch.empty(value.shape).normal_(0, 0.3, generator=generator))
    return model.eval()


def images_for(spec: ModelSpec, batch: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    shape = (batch, spec.channels, spec.image_size, spec.image_size)
    return torch.empty(shape).uniform_(-1, 1, generator=generator)


def plain_vit(model: ViT, spec: ModelSpec, image: Tensor) -> Tensor:
    """Equations 1 to 4 of the paper for one image, in loops and double precision."""
    p = {name: value.detach().double() for name, value in model.named_parameters()}
    return plain_encoder(p, spec.transformer, image)


def plain_encoder(p: dict[str, Tensor], shape: ViTShape, image: Tensor) -> Tensor:
    """The same from parameters in double precision, for an image or a map (C, S, S)."""
    side = image.shape[-1] // shape.patch

    def norm(x: Tensor, name: str) -> Tensor:
        mean, var = x.mean(-1, keepdim=True), x.var(-1, unbiased=False, keepdim=True)
        return (x - mean) / (var + 1e-6).sqrt() * p[f"{name}.weight"] + p[f"{name}.bias"]

    tokens = [p["class_token"][0, 0]] if shape.pool == "token" else []
    for row in range(side):
        for column in range(side):
            top, left = row * shape.patch, column * shape.patch
            patch = image.double()[:, top : top + shape.patch, left : left + shape.patch]
            tokens.append((p["embedding.kernel"] * patch).sum((1, 2, 3)) + p["embedding.bias"])
    x = torch.stack(tokens)
    if "position.tables.places.0.embedding" in p:
        x = x + p["position.tables.places.0.embedding"]
    d = shape.width // shape.heads
    for layer in range(shape.depth):
        at = f"blocks.{layer}"
        y = norm(x, f"{at}.norm1")
        qkv = y @ p[f"{at}.attention.qkv.weight"].T + p[f"{at}.attention.qkv.bias"]
        q, k, v = qkv.split(shape.width, dim=1)
        heads = []
        for h in range(shape.heads):
            part = slice(h * d, (h + 1) * d)
            weights = torch.softmax(q[:, part] @ k[:, part].T / d**0.5, dim=1)
            heads.append(weights @ v[:, part])
        mixed = torch.cat(heads, dim=1) @ p[f"{at}.attention.projection.weight"].T
        x = x + mixed + p[f"{at}.attention.projection.bias"]
        y = norm(x, f"{at}.norm2") @ p[f"{at}.expand.weight"].T + p[f"{at}.expand.bias"]
        y = y * 0.5 * (1 + torch.erf(y / 2**0.5))
        x = x + y @ p[f"{at}.contract.weight"].T + p[f"{at}.contract.bias"]
    x = norm(x, "norm")
    pooled = x[0] if shape.pool == "token" else x.mean(0)
    if shape.pre_logits:
        pooled = torch.tanh(p["pre_logits.0.weight"] @ pooled + p["pre_logits.0.bias"])
    return p["head.weight"] @ pooled + p["head.bias"]


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("pre_logits", [None, 24])
@pytest.mark.parametrize("kind", ["none", "learned_1d"])
def test_logits_follow_the_papers_equations(pool, pre_logits, kind):
    spec = model_spec(
        channels=3, pool=pool, pre_logits=pre_logits, depth=3, position=PositionSpec(kind, std=0.5)
    )
    model, images = randomised(spec), images_for(spec)
    expected = torch.stack([plain_vit(model, spec, image) for image in images])
    torch.testing.assert_close(model(images).double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "shape", [ViTShape(16, 192, 12, 3, 768), ViTShape(8, 96, 3, 4, 200)], ids=["ti/16", "odd"]
)
def test_logits_equal_those_of_transformers(shape):
    spec = ModelSpec("vit", 64, 3, 7, shape)
    config = transformers.ViTConfig(
        hidden_size=shape.width,
        num_hidden_layers=shape.depth,
        num_attention_heads=shape.heads,
        intermediate_size=shape.mlp,
        image_size=64,
        patch_size=shape.patch,
        layer_norm_eps=1e-6,
        id2label=dict.fromkeys(range(7), "class"),
    )
    peer = transformers.ViTForImageClassification(config).eval()
    ours, images = randomised(spec), images_for(spec)
    peer.load_state_dict(as_transformers(ours.state_dict()))
    with torch.no_grad():
        expected, found = peer(images).logits, ours(images)
    assert expected.abs().max() > 0.1
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def as_transformers(ours: dict[str, Tensor]) -> dict[str, Tensor]:
    """Our weights under the names that ``transformers`` uses."""
    layer = {
        "layernorm_before": "norm1",
        "layernorm_after": "norm2",
        "attention.o_proj": "attention.projection",
        "mlp.fc1": "expand",
        "mlp.fc2": "contract",
    }
    theirs = {
        "vit.embeddings.cls_token": ours["class_token"],
        "vit.embeddings.position_embeddings": ours["position.tables.places.0.embedding"][None],
        "vit.embeddings.patch_embeddings.projection.weight": ours["embedding.kernel"],
        "vit.embeddings.patch_embeddings.projection.bias": ours["embedding.bias"],
    }
    for kind in ("weight", "bias"):
        theirs[f"vit.layernorm.{kind}"] = ours[f"norm.{kind}"]
        theirs[f"classifier.{kind}"] = ours[f"head.{kind}"]
        for name, value in ours.items():
            if match := re.fullmatch(rf"blocks\.(\d+)\.attention\.qkv\.{kind}", name):
                at = f"vit.layers.{match[1]}"
                for part, piece in zip("qkv", value.chunk(3), strict=True):
                    theirs[f"{at}.attention.{part}_proj.{kind}"] = piece
                for their, our in layer.items():
                    theirs[f"{at}.{their}.{kind}"] = ours[f"blocks.{match[1]}.{our}.{kind}"]
    return theirs


def shuffled_patches(images: Tensor, patch: int) -> Tensor:
    """The images with their patches in another order."""
    b, c, s, _ = images.shape
    n = s // patch
    patches = images.view(b, c, n, patch, n, patch).permute(2, 4, 0, 1, 3, 5).flatten(0, 1)
    order = torch.randperm(n * n, generator=torch.Generator().manual_seed(3))
    patches = patches[order].view(n, n, b, c, patch, patch)
    return patches.permute(2, 3, 0, 4, 1, 5).reshape(b, c, s, s)


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("position", CELLS, ids=ident)
def test_only_none_is_invariant_to_the_order_of_patches(position, pool):
    spec = model_spec(channels=3, pool=pool, position=position)
    model, images = randomised(spec), images_for(spec)
    with torch.no_grad():
        before = model.features(images)
        shuffled = model.features(shuffled_patches(images, spec.transformer.patch))
        shifted = model.features(
            images.roll((spec.transformer.patch, 2 * spec.transformer.patch), (2, 3))
        )
    same = [torch.allclose(before, after, atol=1e-5) for after in (shuffled, shifted)]
    assert same == ([True, True] if position.kind == "none" else [False, False])


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("position", CELLS, ids=ident)
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_keeping_only_what_the_pool_reads_changes_nothing(position, pool, dropout):
    """The last block on all rows, dropout included, gives the same features and gradients."""
    spec = model_spec(pool=pool, position=position)
    noise = HostNoise(0, 5, CPU)
    found = []
    for whole in (False, True):
        model = randomised(spec, dropout=dropout, stochastic_depth=dropout)
        images = images_for(spec)
        features = whole_features(model, images, noise) if whole else model.features(images, noise)
        features.square().sum().backward()
        grads = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
        found.append((features, grads))
    (fast, fast_grads), (plain, plain_grads) = found
    torch.testing.assert_close(fast, plain, rtol=1e-5, atol=1e-6)
    assert fast_grads.keys() <= plain_grads.keys()
    for name, grad in plain_grads.items():
        # The class token's row reads no offset between patches, so theirs may have no gradient.
        found_grad = fast_grads.get(name, torch.zeros_like(grad))
        torch.testing.assert_close(found_grad, grad, rtol=1e-4, atol=1e-4, msg=name)


def whole_features(model: ViT, images: Tensor, noise: Noise) -> Tensor:
    x = model.embedding(images)
    if model.geometry.class_token:
        x = torch.cat([model.class_token.expand(len(x), 1, -1), x], dim=1)
    for layer, block in enumerate(model.blocks):
        x = model.position.tokens(x, layer)
        if layer == 0 and model.dropout:
            keep = noise.at(0).keep(0, tuple(x.shape), model.dropout)
            x = x * keep / (1 - round(model.dropout * 65536) / 65536)
        x = block(x, model.position.attention(layer), slice(None), noise.at(layer))
    x = model.norm(x)
    pooled: Tensor = x[:, 0] if model.geometry.class_token else x.mean(1)
    return pooled


@pytest.mark.parametrize("position", CELLS, ids=ident)
def test_cells_share_every_weight_but_the_signals(position):
    base = dict(build(model_spec(position=PositionSpec("none")), seed=4).named_parameters())
    cell = dict(build(model_spec(position=position), seed=4).named_parameters())
    shared = {name: value for name, value in cell.items() if not name.startswith("position.")}
    assert shared.keys() == base.keys()
    assert all(torch.equal(value, base[name]) for name, value in shared.items())


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("position", CELLS, ids=ident)
def test_cells_share_the_precision_of_the_residual_stream(position, pool):
    """A table in float32 must not be what keeps a cell's stream in float32."""
    model, seen = randomised(spec := model_spec(pool=pool, position=position)), []
    for layer in (*model.blocks, model.norm):
        layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].dtype))
    with torch.autocast("cpu", torch.bfloat16):
        model(images_for(spec))
    assert seen == [torch.float32] * (len(model.blocks) + 1)


def test_another_seed_gives_other_weights():
    one, two = (build(model_spec(), seed).state_dict() for seed in (0, 1))
    assert not torch.equal(one["embedding.kernel"], two["embedding.kernel"])
    again = build(model_spec(), 0).state_dict()
    assert all(torch.equal(one[name], again[name]) for name in one)


def test_first_weights_are_the_papers():
    spec = ModelSpec("vit", 32, 3, 10, ViTShape(4, 256, 2, 4, 512, position=PositionSpec(std=0.02)))
    p = build(spec, 0).state_dict()
    assert p["class_token"].count_nonzero() == p["head.weight"].count_nonzero() == 0
    assert p["head.bias"].count_nonzero() == 0
    assert p["position.tables.places.0.embedding"].std() == pytest.approx(0.02, rel=0.05)
    query, key, value = p["blocks.0.attention.qkv.weight"].chunk(3)
    for kernel in (query, key, value, p["blocks.1.attention.projection.weight"]):
        bound = (6 / (256 + 256)) ** 0.5
        assert kernel.abs().max() <= bound
        assert kernel.std() == pytest.approx(bound / 3**0.5, rel=0.02)
    assert not torch.equal(query, key)
    assert p["blocks.0.expand.weight"].abs().max() <= (6 / (256 + 512)) ** 0.5
    assert 0 < p["blocks.0.expand.bias"].abs().max() < 1e-5
    assert p["embedding.kernel"].std() == pytest.approx((1 / 48) ** 0.5, rel=0.05)


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("position", CELLS, ids=ident)
def test_counts_are_those_of_the_model(position, pool):
    spec = model_spec(channels=3, pool=pool, position=position, pre_logits=20, mlp=72)
    model = build(spec, 0)
    assert count.params(spec) == sum(value.numel() for value in model.parameters())
    assert count.macs(spec) == counted_macs(model, spec)
    assert count.executed_macs(spec) == counted.counted_macs(spec)


def test_macs_of_a_users_own_signal_are_counted(tmp_path):
    file = tmp_path / "own.py"
    file.write_text(OWN_SIGNAL)
    spec = model_spec(position=position_spec(f"{file}:Own", "stem", 0.5))
    without = count.executed_macs(model_spec(position=PositionSpec("none")))
    assert counted.executed_macs(spec) == (without or 0) + 17 * 32 * 32
    file.write_text(OWN_SIGNAL.replace("x @ self.mix", "x @ self.mix if x.sum() > 0 else x"))
    looking = model_spec(position=position_spec(f"{file}:Own", "stem", 0.5))
    assert counted.executed_macs(looking) is None


OWN_SIGNAL = """
import torch
from vitexp.positions.base import Position

class Own(Position):
    def __init__(self, spec, geometry):
        super().__init__(spec, geometry)
        self.mix = torch.nn.Parameter(torch.eye(geometry.width))

    def tokens(self, x, block):
        return x @ self.mix if block == 0 else x

    def attention(self, block):
        return None
"""


def counted_macs(model: torch.nn.Module, spec: ModelSpec) -> int:
    """Products on the meta device with every row of every block computed, head left out."""
    assert isinstance(model, ViT)
    model.to("meta")
    images = torch.empty(1, spec.channels, spec.image_size, spec.image_size, device="meta")
    with FlopCounterMode(display=False) as counter:
        x = model.embedding(images)
        if model.geometry.class_token:
            x = torch.cat([model.class_token.expand(1, 1, -1), x], dim=1)
        for layer, block in enumerate(model.blocks):
            x = block(x, model.position.attention(layer), slice(None), None)
    return int(counter.get_total_flops()) // 2


def test_published_sizes_have_their_published_number_of_parameters():
    """Numbers of the authors' own test, vit_jax/models_test.py (1,000 classes, 224 px)."""
    ti, b, h = (192, 12, 3, 768), (768, 12, 12, 3072), (1280, 32, 16, 5120)
    published = [(16, ti, 5717416), (16, b, 86567656), (32, b, 88224232), (14, h, 632045800)]
    for patch, (width, depth, heads, mlp), params in published:
        shape = ViTShape(patch, width, depth, heads, mlp)
        assert count.params(ModelSpec("vit", 224, 3, 1000, shape)) == params


@pytest.mark.parametrize("rate", [0.1, 0.5])
@pytest.mark.parametrize("source", [HostNoise, DeviceNoise, HashNoise.drawn])
def test_masks_follow_from_their_key_alone(source, rate):
    shape = (8, 50, 64)
    keep = source(1, 2, CPU).at(3).keep(4, shape, rate)
    assert torch.equal(keep, source(1, 2, CPU).at(3).keep(4, shape, rate))
    assert float(keep.float().mean()) == pytest.approx(1 - rate, abs=0.01)
    for key in ((0, 2, 3, 4), (1, 0, 3, 4), (1, 2, 0, 4), (1, 2, 3, 0)):
        other = source(key[0], key[1], CPU).at(key[2]).keep(key[3], shape, rate)
        agree = float((keep == other).float().mean())
        assert agree == pytest.approx(rate**2 + (1 - rate) ** 2, abs=0.01)


def test_dropout_keeps_the_expected_value():
    ones = torch.ones(64, 17, 32)
    dropped = drop(ones, 0.3, HostNoise(0, 0, CPU).at(0), 0, 17)
    assert float(dropped.mean()) == pytest.approx(1.0, abs=0.02)
    assert torch.equal(drop(ones, 0.3, None, 0, 17), ones)


def test_initialise_leaves_plain_layers_alone():
    layer = torch.nn.Linear(3, 3)
    before = layer.weight.clone()
    initialise(layer, 0)
    assert torch.equal(layer.weight, before)


@pytest.mark.cuda
@pytest.mark.skipif(not cuda_devices(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("biased", [False, True], ids=["plain", "biased"])
@pytest.mark.parametrize("rows", [slice(None), slice(0, 1)], ids=["all", "one"])
@pytest.mark.parametrize("tokens", [16, 17, 64, 65, 196, 197])
def test_attention_on_cuda_is_that_of_plain_products(tokens, rows, biased, precision):
    """Whatever kernels PyTorch takes there: outputs with and without gradients, and these."""

    def found(device: torch.device, dtype: torch.dtype) -> list[Tensor]:
        torch.manual_seed(tokens)
        qkv, table = torch.randn(2, tokens, 3, 4, 16), torch.randn(2, 4, tokens, 2 * tokens)
        leaves = [leaf.to(device, dtype).requires_grad_() for leaf in (qkv, table)]
        q, k, v = leaves[0].permute(2, 0, 3, 1, 4)
        # A part of a larger tensor, as relative positions are without a class token.
        bias = leaves[1][:, :, rows, 1 : tokens + 1] if biased else None
        out = attend(q[:, :, rows], k, v, bias)
        with torch.no_grad():
            again = attend(q[:, :, rows], k, v, bias)
        out.square().sum().backward()
        grads = [leaf.grad for leaf in leaves if leaf.grad is not None]
        return [value.detach().cpu().float() for value in (out, again, *grads)]

    rtol, atol = (1e-3, 1e-4) if precision == torch.float32 else (0.1, 0.1)
    expected = found(torch.device("cpu"), torch.float32)
    for value, other in zip(found(torch.device("cuda"), precision), expected, strict=True):
        torch.testing.assert_close(value, other, rtol=rtol, atol=atol)
