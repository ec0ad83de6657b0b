"""ResNets and hybrids against their equations, other implementations and published counts."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from tests.alone import finished
from tests.conftest import DATA, RECIPE
from tests.models.test_vit import plain_encoder
from vitexp.catalog import paper
from vitexp.catalog.sizes import listed, model, parse
from vitexp.cli.main import main
from vitexp.experiment.answers import earlier
from vitexp.models import count, count_resnet
from vitexp.models.build import build, skeleton
from vitexp.models.masks import HostNoise
from vitexp.models.memory import training_bytes
from vitexp.models.resnet import StdConv
from vitexp.models.vit import ViT
from vitexp.positions import POSITIONS
from vitexp.runs.record import Results, RunRecord
from vitexp.settings.flags import Settings
from vitexp.settings.run import resolve
from vitexp.spec import ModelSpec, PositionSpec, ResNetShape, RunSpec, from_json, to_json
from vitexp.studies.pos_emb.study import PosEmb
from vitexp.training.optimisation import is_kernel

PUBLISHED = {
    "vit-ti/16": 5_717_416,
    "vit-s/16": 22_050_664,
    "vit-s/32": 22_878_952,
    "vit-b/8": 86_576_872,
    "vit-b/16": 86_567_656,
    "vit-b/32": 88_224_232,
    "vit-l/16": 304_326_632,
    "vit-l/32": 306_535_400,
    "vit-h/14": 632_045_800,
    "r50x1": 25_557_032,
    "r50x2": 98_004_072,
    "r101x1": 44_549_160,
    "r152x1": 60_192_808,
    "r152x2": 236_350_568,
    "r200x3": 568_656_040,
    "r50+vit-b/16": 98_659_112,
    "r50+vit-b/32": 110_945_832,
    "r50+vit-l/32": 328_994_856,
    "r50+vit-l/16": 316_483_624,
    "r26+vit-b/32": 101_383_976,
    "r26+vit-s/32": 36_431_912,
    "r+vit-ti/16": 6_337_704,
}
"""models_test.py of the authors' vision_transformer; ResNets and three hybrids from their code."""

SMALL = ResNetShape((1, 2), 8, "small")
BASIC = ResNetShape((2, 1), 8, "small", "basic")
LARGE = ResNetShape((1, 2), 32, "imagenet")


def spec_of(trunk: ResNetShape, vit: bool = False, side: int = 16, **shape: Any) -> ModelSpec:
    base = model("vit-xxs/1", side, classes=7)
    sizes = {"patch": 1, "width": 32, "depth": 2, "heads": 4, "mlp": 48} | shape
    found = dataclasses.replace(base.transformer, **sizes) if vit else None
    return dataclasses.replace(
        base, family="hybrid" if vit else "resnet", vit=found, trunk=trunk, name="small net"
    )


def randomised(spec: ModelSpec) -> Any:
    """The model with every parameter away from its special starting value."""
    built: nn.Module = build(spec, seed=0)
    generator = torch.Generator().manual_seed(1)
    for name, value in built.named_parameters():
        if value.ndim < 2 or name.startswith(("head", "class_token")):
            value.data.add_(torch.empty(value.shape).normal_(0, 0.3, generator=generator))
    return built.eval()


def images_for(spec: ModelSpec, batch: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    shape = (batch, spec.channels, spec.image_size, spec.image_size)
    return torch.empty(shape).uniform_(-1, 1, generator=generator)


@pytest.mark.parametrize("spec", listed(), ids=lambda spec: spec.name)
def test_counts_of_every_listed_model_are_exact(spec):
    """Parameters as published; executed MACs as counted on the meta device."""
    bones = skeleton(spec)
    params = count.params(spec)
    assert params == sum(value.numel() for value in bones.parameters())
    assert params == PUBLISHED.get(spec.name, params)
    images = torch.empty(1, 3, spec.image_size, spec.image_size, device="meta")
    with FlopCounterMode(display=False) as counter:
        bones(images)
    assert count.executed_macs(spec) == counter.get_total_flops() // 2


def test_every_published_count_is_of_a_listed_model():
    assert PUBLISHED.keys() <= {spec.name for spec in listed()}
    gap = model("vit-b/16", 224)
    gap = dataclasses.replace(gap, vit=dataclasses.replace(gap.transformer, pool="gap"))
    assert count.params(gap) == 86_566_120


@pytest.mark.parametrize(
    "name", ["r50x1", "r50+vit-b/32", "r20", "r8x2.5", "r+vit-ti/16", "vit-b/16"]
)
def test_nominal_macs_with_padding_are_those_of_every_row_without_the_head(name):
    spec = next(spec for spec in listed() if spec.name == name)
    found, tokens = count.executed_macs(spec) or 0, count.tokens(spec) or 0
    if spec.vit:
        width, mlp = spec.vit.width, spec.vit.mlp
        found += (tokens - 1) * (4 * width**2 + 2 * width * mlp)
        found += 2 * (tokens - spec.vit.heads) * tokens * width
        found -= width * spec.classes
    elif spec.trunk:
        found -= count_resnet.map_channels(spec.trunk) * spec.classes
    assert count.macs(spec, "all") == found


@pytest.mark.parametrize("side", [8, 15, 33])
@pytest.mark.parametrize("trunk", [SMALL, LARGE, BASIC])
def test_taps_inside_are_those_that_meet_a_value(side, trunk):
    """A kernel of ones on an image of ones counts the taps that do not fall on padding."""
    for conv in count_resnet.convolutions(trunk, 3, side):
        before, after = count_resnet.same_padding(conv.side, conv.kernel, conv.stride)
        ones = F.pad(torch.ones(1, 1, conv.side, conv.side), (before, after, before, after))
        kernel = torch.ones(1, 1, conv.kernel, conv.kernel)
        inside = int(F.conv2d(ones, kernel, stride=conv.stride).sum())
        assert conv.macs("inside") == conv.inputs * conv.outputs * inside
        assert conv.macs("all") >= conv.macs("inside")


def test_the_papers_exaflops_follow_from_our_macs():
    rows = paper.table6()
    assert len(rows) == 18
    ratios = {}
    for row in rows:
        macs = count.macs(model(row.model, 224))
        assert macs is not None
        exaflops = count.TRAINING_FLOPS * macs * paper.JFT_IMAGES * row.epochs / 1e18
        ratios[row.name, row.epochs] = exaflops / row.exaflops
    slips = {(row.name, row.epochs) for row in rows if row.remark}
    assert slips == {("R50x1+ViT-L/16", 7)}
    assert all(abs(ratio - 1) < 0.025 for key, ratio in ratios.items() if key not in slips)
    assert all(abs(ratios[key] - 1) > 0.025 for key in slips)


@pytest.mark.parametrize(
    "trio",
    [
        ("vit-xs/8", "r20x0.75+vit-xxs/8", "r11"),
        ("vit-xs/4", "r8x0.5+vit-xs/4", "r8x2.75"),
        ("vit-ti/4", "r20+vit-ti", "r14x4"),
    ],
)
def test_the_readmes_trios_on_32_pixels_have_about_equal_compute(trio):
    specs = [model(name, 32, classes=10) for name in trio]
    assert [spec.family for spec in specs] == ["vit", "hybrid", "resnet"]
    macs = [count.macs(spec) or 0 for spec in specs]
    assert 0 < max(macs) < 1.15 * min(macs)


@pytest.mark.parametrize(
    ("name", "key", "blocks", "patch"),
    [
        ("R50x1", "r50x1", (3, 4, 6, 3), None),
        ("r50", "r50x1", (3, 4, 6, 3), None),
        ("R50+ViT-B/16", "r50+vit-b/16", (3, 4, 9), 1),
        ("r50x1+vit-b/32@384", "r50+vit-b/32", (3, 4, 6, 3), 1),
        ("r50+vit-b/64", "r50+vit-b/64", (3, 4, 6, 3), 2),
        ("r26+vit-s/8", "r26+vit-s/8", (2, 6), 1),
        ("R+ViT-Ti/16", "r+vit-ti/16", (), 8),
        ("r20+vit-ti", "r20+vit-ti", (2, 2, 2), 1),
        ("r11x0.5+vit_xs/2", "r11x0.5+vit-xs/2", (1, 2), 1),
        ("vit-b/16@384", "vit-b/16", None, 16),
    ],
)
def test_names_are_read_as_the_paper_means_them(name, key, blocks, patch):
    named = parse(name)
    vit, trunk = named.shapes(224)
    assert named.key == key
    assert (trunk and trunk.blocks) == blocks
    assert (vit and vit.patch) == patch


def same(x: Tensor, kernel: Tensor, stride: int) -> Tensor:
    """A standardised SAME convolution of one image, tap by tap, in double precision."""
    kernel = kernel - kernel.mean((1, 2, 3), keepdim=True)
    kernel = kernel / (kernel.square().mean((1, 2, 3), keepdim=True).sqrt() + 1e-5)
    k, side = kernel.shape[-1], x.shape[-1]
    out = -(-side // stride)
    before = max(0, (out - 1) * stride + k - side) // 2
    result = torch.zeros(len(kernel), out, out, dtype=torch.float64)
    for i in range(out):
        for j in range(out):
            for a in range(k):
                for b in range(k):
                    row, column = i * stride - before + a, j * stride - before + b
                    if 0 <= row < side and 0 <= column < side:
                        result[:, i, j] += kernel[:, :, a, b] @ x[:, row, column]
    return result


def norm(x: Tensor, weight: Tensor, bias: Tensor, groups: int) -> Tensor:
    parts = x.view(groups, -1)
    mean, var = parts.mean(1, keepdim=True), parts.var(1, unbiased=False, keepdim=True)
    flat = ((parts - mean) / (var + 1e-6).sqrt()).view_as(x)
    return flat * weight[:, None, None] + bias[:, None, None]


def plain_trunk(p: dict[str, Tensor], shape: ResNetShape, image: Tensor) -> Tensor:
    """The ResNet of section 4.1 for one image, written from its description."""

    def normed(x: Tensor, name: str) -> Tensor:
        groups = 32 if shape.stem == "imagenet" else max(1, len(x) // 8)
        return norm(x, p[f"{name}.weight"], p[f"{name}.bias"], groups)

    large = shape.stem == "imagenet"
    x = normed(same(image.double(), p["stem.kernel"], 2 if large else 1), "norm").relu()
    if large:
        out = -(-x.shape[-1] // 2)
        before = max(0, (out - 1) * 2 + 3 - x.shape[-1]) // 2
        x = torch.stack(
            [
                x[:, max(0, 2 * i - before) : 2 * i - before + 3][
                    :, :, max(0, 2 * j - before) : 2 * j - before + 3
                ].amax((1, 2))
                for i in range(out)
                for j in range(out)
            ],
            dim=1,
        ).view(len(x), out, out)
    index = 0
    for stage, blocks in enumerate(shape.blocks):
        for unit in range(blocks):
            at, stride = f"blocks.{index}", 2 if stage and not unit else 1
            steps = (stride, 1) if shape.block == "basic" else (1, stride, 1)
            h = x
            for n, step in enumerate(steps, start=1):
                h = normed(same(h, p[f"{at}.conv{n}.kernel"], step), f"{at}.norm{n}")
                h = h.relu() if n < len(steps) else h
            if f"{at}.projection.0.kernel" in p:
                x = same(x, p[f"{at}.projection.0.kernel"], stride)
                x = normed(x, f"{at}.projection.1")
            x, index = (x + h).relu(), index + 1
    return x


def parameters(built: nn.Module, prefix: str = "") -> dict[str, Tensor]:
    named = ((n, v.detach().double()) for n, v in built.named_parameters())
    return {n.removeprefix(prefix): v for n, v in named if n.startswith(prefix)}


@pytest.mark.parametrize("side", [16, 21])
@pytest.mark.parametrize("trunk", [SMALL, LARGE, BASIC], ids=["small", "imagenet", "basic"])
def test_a_resnet_follows_its_equations(trunk, side):
    spec = spec_of(trunk, side=side)
    built, images = randomised(spec), images_for(spec)
    p = parameters(built)
    expected = torch.stack(
        [
            p["head.weight"] @ plain_trunk(parameters(built, "trunk."), trunk, image).mean((1, 2))
            + p["head.bias"]
            for image in images
        ]
    )
    torch.testing.assert_close(built(images).double(), expected, rtol=1e-4, atol=1e-4)
    assert (built(images).double() - expected).norm() < 1e-5 * expected.norm()


@pytest.mark.parametrize(
    ("trunk", "side", "shape"),
    [
        (SMALL, 16, {}),
        (LARGE, 32, {"pre_logits": 24}),
        (BASIC, 16, {}),
        (SMALL, 16, {"patch": 2, "pool": "gap"}),
        (ResNetShape((), 32, "imagenet"), 32, {"patch": 4}),
    ],
    ids=["small", "imagenet", "basic", "patch 2, gap", "stem only"],
)
def test_a_hybrid_is_the_plain_transformer_on_the_plain_trunks_map(trunk, side, shape):
    spec = spec_of(trunk, vit=True, side=side, **shape)
    built, images = randomised(spec), images_for(spec)
    p = parameters(built)
    maps = [plain_trunk(parameters(built, "embedding.trunk."), trunk, image) for image in images]
    cells = {name.replace("embedding.cells.", "embedding."): value for name, value in p.items()}
    expected = torch.stack([plain_encoder(cells, spec.transformer, at) for at in maps])
    assert (built(images).double() - expected).norm() < 1e-5 * expected.norm()


def test_logits_equal_those_of_transformers_bit():
    """Its norms' epsilon is set to ours; kernels are large, so that theirs of 1e-8 is alike."""
    transformers = pytest.importorskip("transformers")
    trunk = ResNetShape((2, 1, 2), 64, "imagenet")
    spec = spec_of(trunk, side=64)
    built, images = randomised(spec), images_for(spec)
    for name, value in built.named_parameters():
        if name.endswith("kernel"):
            value.data.mul_(1000)
    config = transformers.BitConfig(
        layer_type="bottleneck",
        global_padding="SAME",
        embedding_dynamic_padding=True,
        embedding_size=64,
        hidden_sizes=[256, 512, 1024],
        depths=list(trunk.blocks),
        num_labels=7,
    )
    peer = transformers.BitForImageClassification(config).eval()
    for module in peer.modules():
        if isinstance(module, nn.GroupNorm):
            module.eps = 1e-6
    peer.load_state_dict(as_bit(built.state_dict(), trunk))
    with torch.no_grad():
        expected, found = peer(images).logits, built(images)
    assert (found - expected).norm() < 1e-5 * expected.norm()


def as_bit(ours: dict[str, Tensor], trunk: ResNetShape) -> dict[str, Tensor]:
    stages = [(s, u) for s, blocks in enumerate(trunk.blocks) for u in range(blocks)]
    found = {}
    for name, value in ours.items():
        name = name.replace("kernel", "weight").replace("trunk.stem", "bit.embedder.convolution")
        name = name.replace("trunk.norm", "bit.embedder.norm").replace("head", "classifier.1")
        if name.startswith("trunk.blocks."):
            _, _, index, rest = name.split(".", 3)
            stage, unit = stages[int(index)]
            rest = rest.replace("projection.0", "downsample.conv")
            rest = rest.replace("projection.1", "downsample.norm")
            name = f"bit.encoder.stages.{stage}.layers.{unit}.{rest}"
        found[name] = value
    return found


def test_a_block_starts_as_its_shortcut_and_only_kernels_decay():
    built = build(spec_of(SMALL, vit=True), seed=0)
    named = dict(built.named_parameters())
    assert not named["embedding.trunk.blocks.0.norm3.weight"].any()
    decayed = {name for name, value in named.items() if is_kernel(name, value)}
    convolutions = {f"{n}.kernel" for n, m in built.named_modules() if isinstance(m, StdConv)}
    assert len(convolutions) == 1 + 3 * 3 + 2
    assert convolutions <= decayed
    assert not any("norm" in name or "bias" in name for name in decayed)


def test_the_scale_of_kernels_changes_nothing():
    """Why standardised kernels need no factor such as 1 / sqrt(fan-in)."""
    spec = spec_of(SMALL)
    built, images = randomised(spec), images_for(spec)
    before = built(images)
    for module in built.modules():
        if isinstance(module, StdConv):
            module.register_forward_hook(lambda _, __, out: out * 0.1)
    torch.testing.assert_close(built(images), before, rtol=1e-3, atol=1e-3)


def test_stochastic_depth_drops_whole_branches_in_training_only():
    spec = dataclasses.replace(spec_of(ResNetShape((4,), 8, "small")), classes=3)
    built: Any
    plain, deep = nets = [build(spec, 0, stochastic_depth=rate).eval() for rate in (0.0, 0.9)]
    for built in nets:
        for block in built.trunk.blocks:
            nn.init.constant_(block.norm3.weight, 1.0)
    images = images_for(spec, batch=32)
    plain.head, deep.head = nn.Identity(), nn.Identity()
    assert torch.equal(plain(images), deep(images))
    noise = HostNoise(0, 0, torch.device("cpu")).at(3)
    x = torch.rand(32, 32, 4, 4)
    kept = (built.trunk.blocks[3](x, noise) != x).flatten(1).any(1)
    assert 0 < kept.sum() < 16


@pytest.mark.parametrize("kind", POSITIONS)
def test_a_hybrid_takes_every_position(kind):
    position = PositionSpec(kind, "stem", std=0.5)
    spec = spec_of(SMALL, vit=True, position=position)
    built = build(spec, 0)
    assert isinstance(built, ViT)
    assert built.geometry.grid == (8, 8)
    assert count.params(spec) == sum(value.numel() for value in built.parameters())
    assert built(images_for(spec)).shape == (2, 7)


@pytest.mark.parametrize("name", ["vit-xxs/4", "r11x0.5", "r8", "r11x0.5+vit-xxs"])
def test_every_family_trains_by_the_same_recipe_and_gives_the_same_bits_again(name, few_digits):
    small = dataclasses.replace(RECIPE, steps=20, lr=3e-3, stochastic_depth=0.1)
    spec = RunSpec(model(name, 8, channels=1, classes=10), DATA, small, seed=0)
    (record, weights), (_, again) = finished(spec, few_digits), finished(spec, few_digits)
    assert record.curve[-1]["train_loss"] < 0.95 * record.curve[0]["train_loss"]
    assert record.metrics["macs"] == count.macs(spec.model)
    assert all(torch.equal(weights[key], again[key]) for key in weights)


def test_a_resnets_spec_survives_json_and_ids_of_vits_are_what_they_were():
    run = resolve(Settings(model="r20", steps=3), "fp32").run
    assert from_json(RunSpec, to_json(run)) == run
    assert run.recipe.dropout == 0.0
    vit = RunSpec(model("vit-xxs/2", 8, 1, 10), DATA, RECIPE, 0)
    assert vit.id == "2f40b233217543e3"


def test_the_positional_study_takes_hybrids_and_no_resnets():
    base = resolve(Settings(model="r20", steps=3), "fp32")
    assert not earlier(PosEmb(), "pos_emb", Results([RunRecord(base.run, "done", {}, "", [], {})]))
    assert PosEmb().plan(resolve(Settings(model="r20+vit-xxs", steps=3), "fp32"), Results(())).runs


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert not left.value.code
    return json.loads(capsys.readouterr().out)


def test_models_are_listed_filtered_and_held_against_the_paper(capsys):
    rows = printed(capsys, "models", "r50+", "--json")
    assert [row["name"] for row in rows] == [
        *("r50+vit-b/16", "r50+vit-b/32", "r50+vit-l/16", "r50+vit-l/32"),
    ]
    first = {key: rows[0][key] for key in ("family", "params", "tokens")}
    assert first == {"family": "hybrid", "params": 98_659_112, "tokens": 197}
    assert rows[0]["macs"] < rows[0]["macs_padded"]
    assert all(row["sources"] for row in rows)
    (resnet,) = printed(capsys, "models", "r50x2", "--json")
    assert resnet["tokens"] is None
    table = printed(capsys, "models", "--paper", "--json")
    assert len(table) == 18
    assert {"name", "epochs", "paper_exaflops", "exaflops"} <= table[0].keys()
    wrong = [row for row in table if abs(row["exaflops"] / row["paper_exaflops"] - 1) > 0.025]
    assert [row["remark"] != "" for row in wrong] == [True]


def test_a_model_too_big_for_the_device_is_refused_before_anything_is_allocated(
    monkeypatch, tmp_path, capsys
):
    monkeypatch.setattr("vitexp.launch.devices.memory", lambda device: 2 * 10**9)
    flags = ["--image-size", "224", "--dry-run", "--no-probe", "--out", str(tmp_path)]
    with pytest.raises(SystemExit) as left:
        main(["train", "--model", "vit-h/14", "--device", "cpu", *flags])
    error = capsys.readouterr().err
    assert left.value.code == 2
    assert "Training vit-h/14 takes at least 10." in error
    assert "cpu has 2.0 GB." in error
    assert "The largest that fits: --model vit-b/16." in error


@pytest.mark.parametrize("name", ["vit-b/16", "r50x1", "r50+vit-b/32", "vit-xxs/2"])
def test_the_estimate_of_memory_is_no_more_than_what_training_keeps(name):
    """What autograd keeps on the meta device, by its own hooks; parameters counted apart."""
    spec = next(spec for spec in listed() if spec.name == name)
    bones = skeleton(spec)
    own = {value.untyped_storage()._cdata for value in bones.parameters()}
    kept: dict[int, Tensor] = {}

    def keep(value: Tensor) -> Tensor:
        kept[value.untyped_storage()._cdata] = value
        return value

    images = torch.empty(1, 3, spec.image_size, spec.image_size, device="meta")
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
        logits = bones(images)
    assert logits.requires_grad
    saved = sum(v.untyped_storage().nbytes() for at, v in kept.items() if at not in own)
    estimate = (training_bytes(spec, 1) or 0) - 16 * (count.params(spec) or 0)
    assert 0.5 * saved < estimate < 1.1 * saved
