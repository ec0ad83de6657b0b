"""Other people's checkpoints in, our own out: names, exactness, parity, and bad files."""

from __future__ import annotations

import csv
import dataclasses
import json
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tests.models.test_families import LARGE, SMALL, images_for, randomised, spec_of
from vitexp.catalog.sizes import model
from vitexp.cli.main import main
from vitexp.errors import VitexpError
from vitexp.models import build as building
from vitexp.models.build import skeleton
from vitexp.models.weights import LAYOUTS
from vitexp.models.weights.copies import open_weights
from vitexp.models.weights.files import exported, fitted, load_weights, write
from vitexp.models.weights.header import model_in
from vitexp.spec import ModelSpec, PositionSpec, ResNetShape


def build(spec: ModelSpec, seed: int) -> Any:
    return building.build(spec, seed)


SHAPES = Path(__file__).parents[1] / "data"


def vit_spec(**shape: Any) -> ModelSpec:
    sizes = {"patch": 4, "width": 32, "depth": 2, "heads": 4, "mlp": 48} | shape
    base = model("vit-xxs/4", 16, classes=7)
    return dataclasses.replace(base, vit=dataclasses.replace(base.transformer, **sizes))


MODELS = {
    "vit": vit_spec(),
    "vit, pre-logits": vit_spec(pre_logits=24),
    "vit, gap": vit_spec(pool="gap"),
    "vit, none": vit_spec(position=PositionSpec("none")),
    "hybrid": spec_of(LARGE, vit=True, side=32),
    "stem hybrid": spec_of(ResNetShape((), 32, "imagenet"), vit=True, side=32, patch=4),
    "small hybrid": spec_of(SMALL, vit=True),
    "resnet": spec_of(LARGE, side=32),
}
OUTSIDE_HF = {"vit, gap", "hybrid", "stem hybrid", "small hybrid", "resnet"}
PAIRS = [
    (name, layout)
    for name in MODELS
    for layout in LAYOUTS
    if not (layout.startswith("hf") and name in OUTSIDE_HF)
]


def file_of(built: nn.Module, spec: ModelSpec, layout: str, folder: Path) -> Path:
    path = folder / f"weights.{'npz' if layout == 'npz' else 'safetensors'}"
    write(exported(built.state_dict(), spec, layout), layout, path, spec)
    return path


@pytest.mark.parametrize(("name", "layout"), PAIRS)
def test_what_is_exported_loads_back_and_exports_alike_to_the_bit(name, layout, tmp_path):
    spec = MODELS[name]
    built, fresh = randomised(spec), build(spec, seed=5)
    path = file_of(built, spec, layout, tmp_path)
    load_weights(fresh, spec, path)
    ours, theirs = built.state_dict(), fresh.state_dict()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    first, again = (exported(state, spec, layout) for state in (ours, theirs))
    assert first.keys() == again.keys()
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert dataclasses.asdict(fitted(dataclasses.replace(spec, classes=3), open_weights(path))) == (
        dataclasses.asdict(spec)
    )


OWN = """
import torch
from vitexp.models.vit import ViT
class Gained(ViT):
    def __init__(self, spec, **rates):
        super().__init__(spec, **rates)
        self.gain = torch.nn.Parameter(torch.ones(()))
    def forward(self, images, noise=None):
        return self.gain * super().forward(images, noise)
"""


def test_a_parameter_without_a_place_in_a_layout_is_named_and_not_dropped(tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    spec = dataclasses.replace(MODELS["vit"], family=f"{tmp_path / 'own.py'}:Gained")
    state = build(spec, 0).state_dict()
    for layout in LAYOUTS:
        if layout == "vitexp":
            assert "gain" in exported(state, spec, layout)
        else:
            with pytest.raises(VitexpError, match=f"The layout {layout} does not fit .*: gain."):
                exported(state, spec, layout)


def test_a_parameter_without_a_place_in_a_file_is_named_and_not_left_as_drawn(tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    spec = dataclasses.replace(MODELS["vit"], family=f"{tmp_path / 'own.py'}:Gained")
    path = file_of(randomised(MODELS["vit"]), MODELS["vit"], "timm", tmp_path)
    with pytest.raises(VitexpError, match="gain is not in files of this layout"):
        load_weights(build(spec, 0), spec, path)


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("npz_keys_vit_b16_imagenet21k.csv", "vit-b/16"),
        ("npz_keys_r50_vit_b16_imagenet21k.csv", "r50+vit-b/16"),
    ],
)
def test_names_and_shapes_are_those_of_the_official_checkpoints(file, name):
    with (SHAPES / file).open() as lines:
        official = {
            row["key"]: tuple(map(int, row["shape"].split("x"))) for row in csv.DictReader(lines)
        }
    spec = model(name, 224, classes=21_843)
    spec = dataclasses.replace(spec, vit=dataclasses.replace(spec.transformer, pre_logits=768))
    found = exported(skeleton(spec).state_dict(), spec, "npz")
    assert {key: tuple(value.shape) for key, value in found.items()} == official


def test_timms_names():
    """As its vision_transformer.py, vision_transformer_hybrid.py and resnetv2.py spell them."""

    def names(spec: ModelSpec) -> set[str]:
        found = exported(skeleton(spec).state_dict(), spec, "timm")
        return {f"{key} {'x'.join(map(str, value.shape))}" for key, value in found.items()}

    assert names(vit_spec(depth=1)) == {
        *("cls_token 1x1x32", "pos_embed 1x17x32", "norm.weight 32", "norm.bias 32"),
        *("patch_embed.proj.weight 32x3x4x4", "patch_embed.proj.bias 32"),
        *("head.weight 7x32", "head.bias 7", "blocks.0.norm1.weight 32", "blocks.0.norm1.bias 32"),
        *("blocks.0.attn.qkv.weight 96x32", "blocks.0.attn.qkv.bias 96"),
        *("blocks.0.attn.proj.weight 32x32", "blocks.0.attn.proj.bias 32"),
        *("blocks.0.norm2.weight 32", "blocks.0.norm2.bias 32"),
        *("blocks.0.mlp.fc1.weight 48x32", "blocks.0.mlp.fc1.bias 48"),
        *("blocks.0.mlp.fc2.weight 32x48", "blocks.0.mlp.fc2.bias 32"),
    }
    hybrid = names(MODELS["hybrid"])
    assert {
        "patch_embed.backbone.stem.conv.weight 32x3x7x7",
        "patch_embed.backbone.stem.norm.weight 32",
        "patch_embed.backbone.stages.0.blocks.0.downsample.conv.weight 128x32x1x1",
        "patch_embed.backbone.stages.0.blocks.0.downsample.norm.bias 128",
        "patch_embed.backbone.stages.1.blocks.1.conv2.weight 64x64x3x3",
        "patch_embed.backbone.stages.1.blocks.1.norm3.weight 256",
        "patch_embed.proj.weight 32x256x1x1",
    } <= hybrid
    assert "patch_embed.backbone.conv.weight 32x3x7x7" in names(MODELS["stem hybrid"])
    assert {"stem.conv.weight 32x3x7x7", "head.fc.weight 7x256x1x1"} <= names(MODELS["resnet"])


@pytest.mark.parametrize("name", ["vit-ti/16", "vit-s/16", "vit-b/16"])
def test_files_go_to_transformers_and_back_with_equal_logits(name, tmp_path):
    transformers = pytest.importorskip("transformers")
    spec = model(name, 32, classes=7)
    shape = spec.transformer
    ours, images = randomised(spec), images_for(spec)
    config = transformers.ViTConfig(
        hidden_size=shape.width,
        num_hidden_layers=shape.depth,
        num_attention_heads=shape.heads,
        intermediate_size=shape.mlp,
        image_size=32,
        layer_norm_eps=1e-6,
        num_labels=7,
    )
    config.save_pretrained(tmp_path)
    write(exported(ours.state_dict(), spec, "hf"), "hf", tmp_path / "model.safetensors", spec)
    peer = transformers.ViTForImageClassification.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        expected, found = peer(images).logits, ours(images)
        assert (found - expected).norm() < 1e-5 * expected.norm()
        peer.vit.layernorm.weight.mul_(1.5)
        expected = peer(images).logits
    fresh = build(spec, seed=1).eval()
    peer.save_pretrained(tmp_path / "saved")
    torch.save(peer.state_dict(), tmp_path / "memory.pt")
    for file in ("saved/model.safetensors", "memory.pt"):
        nn.init.ones_(fresh.norm.weight)
        load_weights(fresh, spec, tmp_path / file)
        with torch.no_grad():
            assert (fresh(images) - expected).norm() < 1e-5 * expected.norm()


def test_norms_of_official_files_come_in_two_shapes(tmp_path):
    spec = MODELS["hybrid"]
    built, fresh = randomised(spec), build(spec, 3)
    arrays = {
        key: value.numpy() for key, value in exported(built.state_dict(), spec, "npz").items()
    }
    assert arrays["block1/unit1/gn1/scale"].shape == (1, 1, 1, 32)
    flat = {key: a.ravel() if "/gn" in key or "gn_" in key else a for key, a in arrays.items()}
    np.savez(tmp_path / "flat.npz", **flat)  # type: ignore[arg-type]
    load_weights(fresh, spec, tmp_path / "flat.npz")
    assert torch.equal(fresh(images_for(spec)), built(images_for(spec)))


@pytest.mark.parametrize("wrap", ["state_dict", None])
@pytest.mark.parametrize("legacy", [False, True])
def test_torch_files_of_timm(wrap, legacy, tmp_path):
    spec = MODELS["vit"]
    built, fresh = randomised(spec), build(spec, 3)
    state = exported(built.state_dict(), spec, "timm")
    content = {wrap: state, "epoch": 3} if wrap else state
    torch.save(content, tmp_path / "w.pth", _use_new_zipfile_serialization=not legacy)
    load_weights(fresh, spec, tmp_path / "w.pth")
    assert torch.equal(fresh(images_for(spec)), built(images_for(spec)))


@pytest.mark.parametrize("layout", ["npz", "timm", "hf"])
def test_without_the_head_everything_else_is_loaded(layout, tmp_path):
    """The transfer of section 3.2: another number of classes, no pre-logits layer."""
    there, here = vit_spec(pre_logits=24), dataclasses.replace(vit_spec(), classes=3)
    built, fresh = randomised(there), build(here, 3)
    head = fresh.head.weight.clone()
    path = file_of(built, there, layout, tmp_path)
    load_weights(fresh, here, path, "body")
    assert torch.equal(fresh.head.weight, head)
    assert torch.equal(fresh.norm.weight, built.norm.weight)
    with pytest.raises(VitexpError, match="Only the head differs"):
        load_weights(fresh, here, path)


@pytest.mark.parametrize("layout", ["npz", "timm", "vitexp"])
def test_positions_are_resized_when_asked_for(layout, tmp_path):
    small, large = vit_spec(), dataclasses.replace(vit_spec(), image_size=24)
    built, fresh = randomised(small), build(large, 3)
    path = file_of(built, small, layout, tmp_path)
    with pytest.raises(VitexpError, match=r"17x32 instead of .*37x32\.\nOnly the grid differs"):
        load_weights(fresh, large, path)
    load_weights(fresh, large, path, resize="bilinear")
    (old,), (new,) = ([*built_.position.parameters()] for built_ in (built, fresh))
    assert torch.equal(new[0], old[0])
    torch.testing.assert_close(new[[1, 6, 31, 36]], old[[1, 4, 13, 16]])


@pytest.mark.parametrize("kind", ["relative", "learned_2d"])
def test_only_our_own_files_hold_the_other_signals(kind, tmp_path):
    spec = vit_spec(position=PositionSpec(kind, "every-layer", std=0.5))
    larger = dataclasses.replace(spec, image_size=24)
    built, fresh = randomised(spec), build(larger, 3)
    with pytest.raises(VitexpError, match=f"Only vitexp's own files can hold {kind}"):
        exported(built.state_dict(), spec, "timm")
    path = file_of(built, spec, "vitexp", tmp_path)
    load_weights(fresh, larger, path, resize="bicubic")
    assert torch.equal(fresh.blocks[1].norm1.weight, built.blocks[1].norm1.weight)


def test_a_signal_that_cannot_be_resized_says_so(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "from vitexp.initialisation import normal, parameter\n"
        "from vitexp.positions.base import Additive\n"
        "class Mine(Additive):\n"
        "    def __init__(self, spec, geometry):\n"
        "        super().__init__(spec, geometry)\n"
        "        self.all = parameter((geometry.tokens, geometry.width), normal(1.0))\n"
        "    def table(self, block):\n"
        "        return self.all if block == 0 else None\n"
    )
    spec = vit_spec(position=PositionSpec(f"{file}:Mine"))
    path = file_of(build(spec, 0), spec, "vitexp", tmp_path)
    load_weights(build(spec, 1), spec, path, resize="bilinear")
    larger = dataclasses.replace(spec, image_size=24)
    with pytest.raises(VitexpError, match="Mine does not say how they are resized"):
        load_weights(build(larger, 1), larger, path, resize="bilinear")


class Touch:
    """A pickle of it would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_a_pickle_with_code_is_refused_and_nothing_runs(tmp_path):
    evil = Touch(tmp_path / "ran")
    torch.save({"norm.weight": torch.ones(3), "x": evil}, tmp_path / "zip.pth")
    (tmp_path / "plain.bin").write_bytes(pickle.dumps({"x": evil}, protocol=2))
    torch.save({"x": evil}, tmp_path / "legacy.pt", _use_new_zipfile_serialization=False)
    for name in ("zip.pth", "plain.bin", "legacy.pt"):
        with pytest.raises(VitexpError, match=r"holds Python objects or code|damaged"):
            load_weights(build(vit_spec(), 0), vit_spec(), tmp_path / name)
    np.savez(tmp_path / "w.npz", cls=np.array([evil], dtype=object))
    with pytest.raises(VitexpError, match=r"'cls' holds Python objects"):
        load_weights(build(vit_spec(), 0), vit_spec(), tmp_path / "w.npz")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("layout", ["npz", "timm", "torch"])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.99])
def test_a_truncated_file_is_refused(layout, share, tmp_path):
    spec = vit_spec()
    if layout == "torch":
        path = tmp_path / "w.pt"
        torch.save(exported(build(spec, 0).state_dict(), spec, "timm"), path)
    else:
        path = file_of(build(spec, 0), spec, layout, tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(VitexpError, match=r"truncated|not a checkpoint"):
        load_weights(build(spec, 0), spec, path)


@pytest.mark.parametrize("content", [b"", b"hello, I am a text", b"\x89PNG\r\n\x1a\n" + b"0" * 99])
def test_a_file_of_another_kind_is_refused(content, tmp_path):
    (tmp_path / "w.npz").write_bytes(content)
    with pytest.raises(VitexpError, match="is not a checkpoint that vitexp reads"):
        load_weights(build(vit_spec(), 0), vit_spec(), tmp_path / "w.npz")


def test_a_zip_and_a_json_that_only_look_like_checkpoints_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.zip", "w") as file:
        file.writestr("readme.txt", "nothing")
    (tmp_path / "w.json").write_text(json.dumps({"key": 1}))
    header = json.dumps({"a": {"dtype": "F32", "shape": [9], "data_offsets": [0, 36]}}).encode()
    (tmp_path / "w.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    for name in ("w.zip", "w.json", "w.safetensors", "absent.npz"):
        with pytest.raises(VitexpError):
            load_weights(build(vit_spec(), 0), vit_spec(), tmp_path / name)


def test_a_checkpoint_of_another_model_names_what_differs(tmp_path):
    built = build(vit_spec(width=64), 0)
    path = file_of(built, vit_spec(width=64), "timm", tmp_path)
    fresh = build(vit_spec(), 0)
    before = {name: value.clone() for name, value in fresh.state_dict().items()}
    with pytest.raises(VitexpError) as caught:
        load_weights(fresh, vit_spec(), path)
    assert "patch_embed.proj.weight is 64x3x4x4 instead of 32x3x4x4" in caught.value.problem
    assert "more" in caught.value.problem
    assert "Choose the model that the file was made from" in caught.value.remedy
    assert all(torch.equal(value, before[name]) for name, value in fresh.state_dict().items())
    (tmp_path / "deeper").mkdir()
    deeper = vit_spec(depth=3)
    path = file_of(build(deeper, 0), deeper, "vitexp", tmp_path / "deeper")
    with pytest.raises(VitexpError, match=r"blocks\.2\.attention.* has no place"):
        load_weights(fresh, vit_spec(), path)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("resnet/root_block/standardized_conv2d/kernel", "pre-activation"),
        ("bit.norm.weight", "pre-activation"),
        ("stem.conv.weight", "pre-activation"),
        ("fc_norm.weight", "normalises after pooling"),
        ("dist_token", "second class token"),
        ("layers.0.weight", "no known layout"),
    ],
)
def test_other_architectures_are_refused_with_the_reason(name, problem, tmp_path):
    save_file({name: torch.ones(3)}, tmp_path / "w.safetensors")
    with pytest.raises(VitexpError, match=problem):
        load_weights(build(vit_spec(), 0), vit_spec(), tmp_path / "w.safetensors")


MEASURE = """
import resource, sys
from pathlib import Path
from vitexp.catalog.sizes import model
from vitexp.models.build import build
from vitexp.models.weights.files import load_weights
small = model("vit-xxs/4", 16)
load_weights(build(small, 0), small, Path(sys.argv[2]))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
spec = model("vit-s/16", 224)
load_weights(build(spec, 0), spec, Path(sys.argv[1]))
print(1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in other units elsewhere")
@pytest.mark.parametrize("kind", ["npz", "timm", "torch"])
def test_loading_takes_the_files_size_and_a_fifth_more(kind, tmp_path):
    paths = []
    for name, side in (("vit-s/16", 224), ("vit-xxs/4", 16)):
        spec = model(name, side)
        state = exported(build(spec, 0).state_dict(), spec, "npz" if kind == "npz" else "timm")
        paths.append(tmp_path / f"{spec.name[:5]}.{kind}")
        if kind == "torch":
            torch.save(state, paths[-1])
        else:
            write(state, kind, paths[-1], spec)
    command = [sys.executable, "-c", MEASURE, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 1.2 * paths[0].stat().st_size


def called(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    return int(caught.value.code or 0)


def test_the_command_converts_a_file(tmp_path, capsys):
    named = model("vit-xxs/4", 8, classes=5)
    built = randomised(named)
    source = file_of(built, named, "npz", tmp_path)
    target = tmp_path / "w.timm.safetensors"
    flags = ["--model", "vit-xxs/4"]
    assert called("weights", "export", str(source), str(target), *flags) == 0
    expected = exported(built.state_dict(), named, "timm")
    found: dict[str, Tensor] = load_file(target)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in expected)
    capsys.readouterr()
    assert called("weights", "show", str(target), *flags, "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["layout"], shown["classes"], shown["model"]) == ("timm", 5, "vit-xxs/4")
    for wrong, words in (
        (["weights", "export", str(source), str(target), "--to", "timm", *flags], "exists already"),
        (["weights", "export", str(source), "x.npz"], "Which model is in"),
        (["weights", "export", "abc", "x.npz"], "No run's id begins"),
        (["weights", "export", "abc", "x.safetensors"], "does not say whose names"),
        (["weights", "export", "abc", "x.npz", "--to", "timm"], "Let it end in .safetensors"),
        (["weights", "export", "abc", "x.safetensors", "--to", "npz"], "Let it end in .npz"),
        (["weights", "show", str(target), "--model", "vit-xxs/2"], "instead of"),
        (["weights", "export", str(source), "x", "--to", "tim", *flags], "Did you mean 'timm'"),
    ):
        assert called(*wrong) == 2
        assert words in capsys.readouterr().err


def test_two_may_export_to_the_same_file_at_once(tmp_path, monkeypatch):
    target, written = tmp_path / "weights.safetensors", []

    def saved(tensors: dict[str, Tensor], path: Path, *rest: Any) -> None:
        save_file(tensors, path, *rest)
        written.append(path)
        if len(written) == 1:
            write({"a": torch.zeros(9)}, "timm", target, vit_spec())

    monkeypatch.setattr("vitexp.models.weights.files.save_file", saved)
    write({"a": torch.ones(9)}, "timm", target, vit_spec())
    assert load_file(target)["a"].tolist() == [1.0] * 9
    assert list(tmp_path.iterdir()) == [target]


def test_a_file_of_ours_says_its_model_and_has_the_same_bytes_every_time(tmp_path):
    """In processes of their own: what a hash table's order decides differs between them."""
    spec = model("vit-xxs/2", 8)
    code = (
        "import hashlib, sys, torch\n"
        "from safetensors.torch import save\n"
        "from vitexp.models.weights.header import header\n"
        "from vitexp.catalog.sizes import model\n"
        "state = {name: torch.zeros(2) for name in 'abcdefgh'}\n"
        "content = save(state, metadata=header(model('vit-xxs/2', 8, 3, 7)))\n"
        "print(hashlib.sha256(content).hexdigest())\n"
    )
    said = {subprocess.check_output([sys.executable, "-c", code], text=True) for _ in range(4)}
    assert len(said) == 1
    file = file_of(randomised(spec), spec, "vitexp", tmp_path)
    assert model_in(file) == spec
    (tmp_path / "other").mkdir()
    assert model_in(file_of(randomised(spec), spec, "timm", tmp_path / "other")) is None
