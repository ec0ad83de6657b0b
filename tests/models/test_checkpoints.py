"""Checkpoints as training scripts and hubs leave them: found, told apart, or refused in words."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.models.test_families import LARGE, images_for, randomised, spec_of
from tests.models.test_weights import build, called, file_of, vit_spec
from vitexp.catalog import sizes
from vitexp.errors import VitexpError
from vitexp.models.weights.copies import open_weights
from vitexp.models.weights.files import check, exported, fitted, load_weights
from vitexp.runs.weights_file import from_file, unchanged
from vitexp.spec import Copy, ModelSpec

SPEC = vit_spec()
State = dict[str, Tensor]


@pytest.fixture(scope="module")
def built():
    return randomised(SPEC)


@pytest.fixture(scope="module")
def timm(built: Any) -> State:
    return exported(built.state_dict(), SPEC, "timm")


def loads(path, built, spec=SPEC, **how):
    """Whether ``path`` holds the weights of ``built``, by what a model with them computes."""
    fresh = build(spec, 3)
    load_weights(fresh, spec, path, **how)
    images = images_for(spec)
    with torch.no_grad():
        return torch.equal(fresh.features(images), built.features(images))


def refused(path: Path, spec: ModelSpec = SPEC, **how: Any) -> str:
    with pytest.raises(VitexpError) as caught:
        load_weights(build(spec, 3), spec, path, **how)
    return str(caught.value)


# What stands before the names


@pytest.mark.parametrize(
    ("wrapper", "prefix"),
    [
        ("state_dict", "module."),
        (None, "_orig_mod."),
        ("state_dict", "model."),
        (None, "backbone."),
        ("model", "encoder."),
        ("network", "module._orig_mod.net."),
        (None, ""),
    ],
)
@pytest.mark.parametrize("kind", ["torch", "safetensors"])
def test_any_prefix_is_taken_off_and_said(wrapper, prefix, kind, timm, built, tmp_path):
    state = {prefix + name: value for name, value in timm.items()}
    if kind == "safetensors":
        wrapper = None
        save_file(state, tmp_path / "w")
    else:
        rest = {"epoch": 3, "optimizer": {"state": {0: {"exp_avg": torch.ones(3)}}}}
        torch.save({wrapper: state, **rest} if wrapper else state, tmp_path / "w")
    assert loads(tmp_path / "w", built)
    whole = f"{wrapper}.{prefix}" if wrapper else prefix
    said = open_weights(tmp_path / "w").said
    assert said == ((f"w: '{whole}' before the names is taken off.",) if whole else ())


@pytest.mark.parametrize("layout", ["timm", "hf", "hf5", "npz", "vitexp"])
def test_prefixes_are_taken_off_in_every_layout(layout, built, tmp_path):
    state = exported(built.state_dict(), SPEC, layout)
    torch.save({f"a.b/{name}": value for name, value in state.items()}, tmp_path / "w")
    assert loads(tmp_path / "w", built)


@pytest.mark.parametrize("layout", ["timm", "npz", "vitexp"])
@pytest.mark.parametrize("vit", [True, False])
def test_hybrids_and_resnets_have_one_first_kernel(layout, vit, tmp_path):
    spec = spec_of(LARGE, vit=vit, side=32)
    net = randomised(spec)
    state = exported(net.state_dict(), spec, layout)
    torch.save(
        {"model": {f"module.{name}": value for name, value in state.items()}}, tmp_path / "w"
    )
    assert loads(tmp_path / "w", net, spec)


def test_tensors_outside_the_model_are_left_and_said(timm, built, tmp_path):
    state = {f"backbone.{name}": value for name, value in timm.items()}
    torch.save(state | {"neck.weight": torch.ones(3), "steps": torch.tensor(5)}, tmp_path / "w")
    assert loads(tmp_path / "w", built)
    assert "1 tensors outside the model are not read, such as neck.weight" in open_weights(
        tmp_path / "w"
    ).said[-1]  # fmt: skip


def test_flags_that_a_script_kept_beside_its_weights_are_no_code(timm, built, tmp_path):
    flags = argparse.Namespace(model="vit", lr=1e-3, betas=(0.9, 0.999))
    torch.save({"state_dict": timm, "args": flags}, tmp_path / "w.pth")
    assert loads(tmp_path / "w.pth", built)
    torch.save({"state_dict": timm, "args": Path("data")}, tmp_path / "other.pth")
    assert "Python objects or code (pathlib" in refused(tmp_path / "other.pth")


def test_a_dict_that_holds_itself_ends(timm, built, tmp_path):
    content: dict[str, object] = {"state_dict": timm}
    content["self"] = content
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(VitexpError, match="holds several models"):
        open_weights(tmp_path / "w.pth")


# Copies of one model


@pytest.fixture
def moved(timm: State) -> State:
    """Another copy of the same model."""
    return {name: value + 1 for name, value in timm.items()}


@pytest.mark.parametrize(
    ("raw", "mean"),
    [
        ("state_dict", "state_dict_ema"),
        ("model", "model_ema"),
        ("student", "teacher"),
        ("encoder", "momentum_encoder"),
    ],
)
def test_of_two_copies_the_raw_one_is_read_unless_the_mean_is_asked_for(
    raw, mean, timm, moved, built, tmp_path
):
    torch.save({mean: moved, raw: timm, "epoch": 3}, tmp_path / "w")
    cases: list[tuple[Copy | None, bool]] = [(None, True), ("raw", True), ("ema", False)]
    for copy, same in cases:
        source = open_weights(tmp_path / "w", copy)
        assert loads(tmp_path / "w", built, copy=copy) is same
        assert f"an exponential mean of them ('{mean}.')" in source.said[0]
        assert ("the mean is read" in source.said[0]) is not same
        assert source.copy == (None if same else "ema")


@pytest.mark.parametrize("name", ["model_ema", "state_dict_ema", "ema.module"])
def test_a_mean_alone_is_read_and_said(name, timm, built, tmp_path):
    torch.save({name: timm, "epoch": 3}, tmp_path / "w")
    assert loads(tmp_path / "w", built)
    assert loads(tmp_path / "w", built, copy="ema")
    source = open_weights(tmp_path / "w", "ema")
    assert "w holds an exponential mean of the weights, which is read." in source.said
    assert source.copy is None
    assert "Leave --weights raw out" in refused(tmp_path / "w", copy="raw")
    torch.save(timm, tmp_path / "plain")
    assert "Leave --weights ema out" in refused(tmp_path / "plain", copy="ema")


def test_copies_side_by_side_in_one_dict(timm, moved, built, tmp_path):
    """As callbacks of training frameworks leave them."""
    state = {f"model.{n}": t for n, t in timm.items()} | {
        f"ema_model.{n}": t for n, t in moved.items()
    }
    save_file(state, tmp_path / "w")
    assert loads(tmp_path / "w", built)
    assert not loads(tmp_path / "w", built, copy="ema")


def test_several_models_are_refused_by_name(timm, moved, tmp_path):
    torch.save({"generator": timm, "judge": moved}, tmp_path / "w")
    assert "several models, under 'generator.', 'judge.'" in refused(tmp_path / "w")


def test_the_copy_is_a_part_of_what_a_run_starts_from(timm, moved, tmp_path):
    torch.save({"state_dict": timm, "state_dict_ema": moved}, tmp_path / "w")
    usual, mean = from_file(tmp_path / "w"), from_file(tmp_path / "w", "ema")
    assert usual.sha256 == mean.sha256 and usual != mean
    assert unchanged(mean) == tmp_path / "w"


# Hugging Face


@pytest.mark.parametrize("layout", ["hf", "hf5"])
@pytest.mark.parametrize("pooler", [True, False])
def test_a_bare_vit_model_is_read_with_or_without_its_pooler(layout, pooler, tmp_path):
    spec = vit_spec(pre_logits=32 if pooler else None)
    net = randomised(spec)
    state = exported(net.state_dict(), spec, layout)
    bare = {n.removeprefix("vit."): t for n, t in state.items() if n.startswith("vit.")}
    save_file(bare, tmp_path / "model.safetensors")
    source = open_weights(tmp_path)
    found = fitted(vit_spec(), source)
    assert dataclasses.asdict(found) == dataclasses.asdict(spec)
    check(found, source, "features")
    assert loads(tmp_path, net, spec, reach="features")


def test_what_transformers_saves_is_read_whole_or_in_shards(tmp_path):
    transformers = pytest.importorskip("transformers")
    config = transformers.ViTConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48,
        image_size=16, patch_size=4, layer_norm_eps=1e-6,
    )  # fmt: skip
    peer = transformers.ViTModel(config).eval()
    peer.save_pretrained(tmp_path / "whole")
    peer.save_pretrained(tmp_path / "shards", max_shard_size="20KB")
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 1
    spec = vit_spec(pre_logits=32)
    with torch.no_grad():
        expected = peer(images_for(spec)).pooler_output
    for path in ("whole", "shards", "shards/model.safetensors.index.json"):
        fresh = build(spec, 3)
        load_weights(fresh, spec, tmp_path / path, "features")
        with torch.no_grad():
            found = fresh.features(images_for(spec))
        assert (found - expected).norm() < 1e-5 * expected.norm()
    folder = tmp_path / "shards"
    file = from_file(folder)
    assert unchanged(file) == folder / "model.safetensors.index.json"
    one, other = sorted(folder.glob("*.safetensors"))[:2]
    moved = one.rename(folder / "away")
    assert f"names '{one.name}', which is not beside it" in refused(folder, spec)
    moved.rename(one)
    one.write_bytes(other.read_bytes())
    with pytest.raises(VitexpError, match="no longer the file that it was"):
        unchanged(file)
    assert "does not hold" in refused(folder, spec)


def test_an_index_that_leads_elsewhere_and_an_empty_folder_are_refused(timm, tmp_path):
    save_file(timm, tmp_path / "w.safetensors")
    folder = tmp_path / "model"
    folder.mkdir()
    assert "holds no weights: no weights.safetensors" in refused(folder)
    index = {"weight_map": dict.fromkeys(timm, "../w.safetensors")}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "names '../w.safetensors', which is not beside it" in refused(folder)


# Arrays


def arrays(built: Any) -> dict[str, np.ndarray]:
    return {n: t.numpy() for n, t in exported(built.state_dict(), SPEC, "npz").items()}


def bf16(array: np.ndarray) -> np.ndarray:
    """What numpy keeps of the type of another library: two raw bytes a number."""
    return (array.view("<u4") >> 16).astype("<u2").view("V2")


@pytest.mark.parametrize("kind", ["step", "params", "bf16", "big-endian", "half"])
def test_npz_files_as_training_code_saves_them(kind, built, tmp_path):
    plain = arrays(built)
    kinds: dict[str, dict[str, Any]] = {
        "step": plain | {"opt/step": np.int64(20_000), "labels": np.array(["cat"])},
        "params": {f"params/{n}": a for n, a in plain.items()}
        | {f"opt/mu/{n}": a for n, a in plain.items()},
        "bf16": {n: bf16(a) for n, a in plain.items()},
        "big-endian": {n: a.astype(">f4") for n, a in plain.items()},
        "half": {n: a.astype("f2") for n, a in plain.items()},
    }
    np.savez(tmp_path / "w.npz", **kinds[kind])
    fresh = build(SPEC, 3)
    load_weights(fresh, SPEC, tmp_path / "w.npz")
    for name, value in built.state_dict().items():
        coarse = {"bf16": 2**-7, "half": 2**-9}.get(kind, 0.0)
        torch.testing.assert_close(fresh.state_dict()[name], value, rtol=coarse, atol=1e-6)


def test_each_refusal_of_an_npz_file_gives_its_own_reason(built, tmp_path):
    plain, name = arrays(built), "head/kernel"
    for odd, reason in (
        (plain[name].astype(np.int8), "head/kernel holds int8 instead of floating-point numbers"),
        (plain[name].astype("S4"), "head/kernel holds |S4 instead of floating-point numbers"),
        (np.zeros(plain[name].shape, "V1"), "head/kernel holds |V1 instead of floating-point"),
        (plain[name].astype(object), "the array 'head/kernel' holds Python objects"),
        (plain[name][:-1], "head/kernel is 31x7 instead of 32x7"),
    ):
        np.savez(tmp_path / "w.npz", **plain | {name: odd})
        assert reason in refused(tmp_path / "w.npz")


def test_whole_numbers_are_no_weights_in_any_kind_of_file(timm, tmp_path):
    name = "blocks.0.mlp.fc1.weight"
    quantised = timm | {name: timm[name].to(torch.int8)}
    save_file(quantised, tmp_path / "w.safetensors")
    torch.save(quantised, tmp_path / "w.pt")
    assert f"{name} holds I8 instead of floating-point numbers" in refused(
        tmp_path / "w.safetensors"
    )
    assert f"{name} holds torch.int8 instead of" in refused(tmp_path / "w.pt")


# Other models, and what no file tells


@pytest.mark.parametrize(
    ("names", "what", "missing"),
    [
        (["dist_token", "head_dist.weight"], "a distilled DeiT", "second class token"),
        (["blocks.0.ls1.gamma"], "DeiT-III", "LayerScale"),
        (["blocks.0.ls1.gamma", "mask_token"], "DINOv2", "LayerScale"),
        (["register_tokens"], "DINOv2", "register tokens"),
        (["norm_pre.weight"], "CLIP's image tower", "norm before its first block"),
        (["blocks.0.attn.rel_pos_bias.relative_position_bias_table"], "BEiT", "relative biases"),
        (["blocks.0.attn.q_norm.weight"], "a ViT", "normalises queries and keys"),
        (["blocks.0.mlp.w12.weight"], "a ViT", "SwiGLU"),
        (["attn_pool.latent"], "SigLIP", "pools by attention"),
    ],
)
def test_models_that_none_here_is_are_known_by_their_names(names, what, missing, timm, tmp_path):
    extra = {f"backbone.{name}": torch.ones(3) for name in names}
    save_file({f"backbone.{n}": t for n, t in timm.items()} | extra, tmp_path / "w")
    text = refused(tmp_path / "w", reach="body")
    assert what in text and missing in text


@pytest.mark.parametrize(
    "names",
    [
        ("vision_model.pre_layrnorm.weight", "vision_model.embeddings.class_embedding"),
        ("visual.ln_pre.weight", "visual.transformer.resblocks.0.ln_1.weight"),
    ],
)
def test_clips_own_names_are_known_too(names, tmp_path):
    save_file({name: torch.ones(3) for name in names}, tmp_path / "w")
    assert "CLIP's image tower" in refused(tmp_path / "w")


def test_a_table_without_a_class_tokens_row_is_refused_with_that_reason(timm, tmp_path):
    for rows, reason in (
        (slice(1, None), "pos_embed has no row for the class token"),
        (slice(3, None), "pos_embed has 14 rows, which are no square grid and a class token"),
    ):
        save_file(timm | {"pos_embed": timm["pos_embed"][:, rows].contiguous()}, tmp_path / "w")
        for resize in (None, "bilinear"):
            assert reason in refused(tmp_path / "w", resize=resize)


# The commands


@pytest.fixture(scope="module")
def headless(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A torch file of a named model without its head, and its name."""
    spec, path = sizes.model("vit-xxs/2", 8), tmp_path_factory.mktemp("weights") / "feed.ckpt"
    state = exported(randomised(spec).state_dict(), spec, "timm")
    torch.save({"model": {n: t for n, t in state.items() if not n.startswith("head")}}, path)
    return path, "vit-xxs/2"


@pytest.mark.parametrize("name", ["w.ckpt", "w.pth.tar", "w.PTH", "feed", "w.npz"])
def test_a_path_that_exists_is_judged_by_its_content(name, headless, tmp_path, monkeypatch, capsys):
    file, model = headless
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(file.read_bytes())
    asked = ["--model", model, "--dataset", "digits"]
    dry = ["--steps", "2", "--lr", "0.01", "--dry-run", "--no-probe", "--json"]
    assert called("finetune", "--from", name, *asked, *dry) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["runs"]["todo"] == 1
    assert "'model.' before the names is taken off" in err
    assert called("weights", "show", name, "--model", model, "--json") == 0
    assert json.loads(capsys.readouterr().out)["classes"] is None


def test_a_file_without_a_head_is_probed(headless, tmp_path, capsys):
    file, model = headless
    asked = ["probe", str(file), "--model", model, "--dataset", "digits", "--out", str(tmp_path)]
    assert called(*asked, "--device", "cpu", "--json") == 0
    assert json.loads(capsys.readouterr().out)[0]["few_shot_5_top1"] > 0.2
    assert (
        called(
            "weights", "export", str(file), str(tmp_path / "w.npz"), "--to", "npz", "--model", model
        )
        == 2
    )
    assert "head.bias is missing" in capsys.readouterr().err


def test_a_file_is_checked_before_any_image_is_read(headless, tmp_path, capsys):
    file, _ = headless
    nowhere = ["--dataset", str(tmp_path / "no images"), "--out", str(tmp_path)]
    for words in (
        ["finetune", "--from", str(file), "--model", "vit-xs/4", "--dry-run", *nowhere],
        ["finetune", "--from", str(file), "--model", "vit-xxs/2", "--depth", "9", *nowhere],
        ["probe", str(file), "--model", "vit-xs/4", *nowhere],
        ["weights", "show", str(file), "--model", "vit-xs/4"],
    ):
        assert called(*words) == 2
        assert f"{file} does not fit" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_model_whose_patch_the_images_decide_is_checked_with_them(headless, tmp_path, capsys):
    file, _ = headless
    asked = ["finetune", "--from", str(file), "--model", "vit-xxs", "--dataset", "digits",
             "--steps", "2", "--lr", "0.01", "--dry-run", "--no-probe"]  # fmt: skip
    assert called(*asked, "--out", str(tmp_path)) == 0
    assert called(*asked, "--image-size", "16", "--patch", "4", "--out", str(tmp_path)) == 2
    assert "does not fit" in capsys.readouterr().err


def test_the_pool_of_a_file_is_taken_unless_another_is_asked_for(tmp_path, capsys):
    spec = sizes.model("vit-xxs/2", 8)
    spec = dataclasses.replace(spec, vit=dataclasses.replace(spec.transformer, pool="gap"))
    file = file_of(randomised(spec), spec, "timm", tmp_path)
    asked = ["finetune", "--from", str(file), "--model", "vit-xxs/2", "--dataset", "digits",
             "--steps", "2", "--lr", "0.01", "--dry-run", "--no-probe", "--json"]  # fmt: skip
    assert called(*asked, "--out", str(tmp_path / "out")) == 0
    assert called(*asked, "--pool", "token", "--out", str(tmp_path / "out")) == 2
    assert "a model with --pool gap" in capsys.readouterr().err


def test_the_mean_is_fine_tuned_where_it_is_asked_for(tmp_path, capsys):
    spec = sizes.model("vit-xxs/2", 8)
    state = exported(randomised(spec).state_dict(), spec, "timm")
    mean = exported(build(spec, 9).state_dict(), spec, "timm")
    file = tmp_path / "w.pth"
    torch.save({"state_dict": state, "state_dict_ema": mean}, file)
    asked = ["finetune", "--from", str(file), "--model", "vit-xxs/2", "--dataset", "digits",
             "--steps", "1", "--lr", "1e-9", "--out", str(tmp_path)]  # fmt: skip
    assert called(*asked, "--dry-run", "--no-probe") == 0
    assert "--weights ema reads the mean" in capsys.readouterr().err
    assert called(*asked, "--weights", "ema", "--json") == 0
    assert "the mean is read" in capsys.readouterr().err
    (run,) = tmp_path.glob("runs/*")
    assert json.loads((run / "result.json").read_text())["spec"]["init"]["copy"] == "ema"
    kept = load_file(run / "weights.safetensors")["blocks.0.expand.weight"]
    assert torch.allclose(kept, mean["blocks.0.mlp.fc1.weight"], atol=1e-6)
    assert not torch.allclose(kept, state["blocks.0.mlp.fc1.weight"], atol=1e-2)
    assert called(*asked, "--weights", "mean") == 2
    assert "Choices: ema, raw" in capsys.readouterr().err


def test_what_names_and_shapes_do_not_tell_is_said(tmp_path, capsys):
    spec = sizes.model("vit-xxs/2", 8)
    net = randomised(spec)
    for layout, heads in (("timm", True), ("npz", False)):
        file = file_of(net, spec, layout, tmp_path)
        assert called("weights", "show", str(file), "--model", "vit-xxs/2", "--json") == 0
        assumed = json.loads(capsys.readouterr().out)["assumed"]
        assert any("heads of" in text for text in assumed) is heads
        assert "images scaled to [-1, 1]" in assumed
        assert called("weights", "show", str(file), "--model", "vit-xxs/2") == 0
        assert "assumed" in capsys.readouterr().out
    (tmp_path / "ours").mkdir()
    ours = file_of(net, spec, "vitexp", tmp_path / "ours")
    assert called("weights", "show", str(ours), "--json") == 0
    assert json.loads(capsys.readouterr().out)["assumed"] == []
    trunk = sizes.model("r50x1", 224)
    (tmp_path / "trunk").mkdir()
    file = file_of(build(trunk, 0), trunk, "timm", tmp_path / "trunk")
    assert called("weights", "show", str(file), "--model", "r50x1", "--json") == 0
    assert any("'fixed'" in text for text in json.loads(capsys.readouterr().out)["assumed"])
