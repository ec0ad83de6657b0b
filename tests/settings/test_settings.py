"""From flags to a complete run: presets, overrides, and every refusal with its words."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from vitexp.catalog.recipes import PRESETS
from vitexp.catalog.sizes import listed
from vitexp.errors import VitexpError
from vitexp.models.count import params
from vitexp.settings.flags import Settings, flags, from_mapping
from vitexp.settings.model import check_model
from vitexp.settings.run import resolve


def run_of(**asked):
    return resolve(Settings(**asked), "fp32").run


def test_defaults_on_digits():
    base = resolve(Settings(), "fp32", seeds=3)
    assert base.seeds == (0, 1, 2)
    assert (base.run.data.name, base.run.data.image_size) == ("digits", 8)
    assert (
        base.run.model.transformer.patch,
        base.run.model.transformer.width,
        base.run.model.transformer.depth,
    ) == (
        2,
        64,
        4,
    )
    assert (base.run.model.classes, base.run.model.channels) == (10, 1)
    assert base.run.recipe.name == "digits"
    assert not base.run.recipe.flip
    assert base.std_of("relative") > base.std_of("learned_1d") > 0.02
    assert base.run.position.std == base.std_of("learned_1d")


def test_epochs_are_whole_batches_of_the_train_split():
    run = run_of(epochs=3, batch=100)
    assert run.recipe.steps == 3 * (run.data.train // 100)
    assert run.recipe.warmup == round(0.1 * run.recipe.steps)
    assert run_of(steps=7, warmup=2).recipe.warmup == 2


def test_flags_override_the_preset_and_the_size():
    run = run_of(
        model="vit-ti/4",
        depth=2,
        width=96,
        heads=6,
        mlp=100,
        pool="gap",
        position="2d",
        placement="shared",
        lr=0.5,
        weight_decay=0,
        clip=0,
        dropout=0,
        schedule="linear",
        optimizer="sgd",
        momentum=0.5,
        augment="crop,mixup",
        position_std="relative=3",
        label_smoothing=0.1,
        stochastic_depth=0.2,
    )
    vit, recipe = run.model.transformer, run.recipe
    assert (vit.patch, vit.depth, vit.width, vit.heads, vit.mlp, vit.pool) == (
        4,
        2,
        96,
        6,
        100,
        "gap",
    )
    assert (vit.position.kind, vit.position.placement) == ("learned_2d", "shared")
    assert (recipe.lr, recipe.weight_decay, recipe.clip, recipe.dropout) == (0.5, 0, None, 0)
    assert (recipe.schedule, recipe.optimizer, recipe.momentum) == ("linear", "sgd", 0.5)
    assert (recipe.crop, recipe.flip, recipe.mixup, recipe.cutmix) == (True, False, 0.2, None)
    assert (recipe.label_smoothing, recipe.stochastic_depth) == (0.1, 0.2)


def test_every_setting_reaches_the_run_or_the_machine():
    """A flag that changed nothing would be a lie; each of these must change the resolved run."""
    plain = resolve(Settings(), "fp32")
    changes: dict[str, Any] = {
        "image_size": 16, "model": "vit-ti/4", "patch": 4, "width": 32, "depth": 2, "heads": 2,
        "mlp": 32, "pool": "gap", "gelu": "tanh", "position": "none", "placement": "shared",
        "position_std": "0.1", "seeds": 2, "seed": 5, "epochs": 1.0, "steps": 3, "batch": 8,
        "lr": 0.1, "weight_decay": 0.2, "optimizer": "sgd",
        "schedule": "linear", "warmup": 3.0, "clip": 0.0, "dropout": 0.3,
        "stochastic_depth": 0.1, "label_smoothing": 0.1, "augment": "crop",
        "fraction": 0.5, "folds": 3, "early_stopping": True, "averaging": 0.9,
    }  # fmt: skip
    elsewhere = {
        "dataset",
        "momentum",
        "skip_broken",
        "follow_links",
        "image_column",
        "label_column",
        "recipe",
        "precision",
        "device",
        "jobs",
        "deterministic",
        "micro_batch",
        "grad_checkpointing",
        "compile",
        "strict",
        "yes",
        "keep",
        "out",
        "name",
        "tag",
        "track",
        "checkpoint_seconds",
    }
    of_a_trunk: dict[str, Any] = {"blocks": "1,2,2,1", "trunk_width": 32, "stem": "small"}
    assert set(changes) | set(of_a_trunk) | elsewhere == set(flags())
    hybrid = run_of(model="r26+vit-xxs")
    for name, value in of_a_trunk.items():
        assert run_of(model="r26+vit-xxs", **{name: value}).id != hybrid.id, name
    for name, value in changes.items():
        asked = resolve(Settings(**{name: value}), "fp32")
        assert (asked.run.id, asked.seeds, dict(asked.position_std)) != (
            plain.run.id,
            plain.seeds,
            dict(plain.position_std),
        ), name


def test_position_std_of_all_kinds_or_of_one():
    assert dict(resolve(Settings(position_std="0.1"), "fp32").position_std) == {"*": 0.1}
    one = resolve(Settings(position_std="rel=3"), "fp32")
    assert (one.std_of("relative"), one.std_of("learned_1d")) == (
        3,
        PRESETS["digits"].position_std["*"],
    )


def test_seeds_count_from_seed_and_ids_differ():
    base = resolve(Settings(seed=4, seeds=3), "fp32")
    assert base.seeds == (4, 5, 6)
    assert len({base.cell(base.run.position, seed).id for seed in base.seeds}) == 3


def test_a_position_from_a_file_is_part_of_the_run(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("class Mine: ...\n")
    first = run_of(position=f"{file}:Mine")
    assert first.position.code is not None
    file.write_text("class Mine: x = 1\n")
    assert run_of(position=f"{file}:Mine").id != first.id


@pytest.mark.parametrize(
    ("asked", "problem", "remedy"),
    [
        ({"model": "vit-tii/4"}, "Unknown model 'vit-tii/4'.", "Did you mean 'vit-ti/4'?"),
        ({"model": "r34"}, "Unknown model 'r34'.", "Choices: r+vit-ti/16, r101x1"),
        ({"model": "r50x1/16"}, "Unknown model 'r50x1/16'.", "Did you mean 'r50x1'?"),
        ({"model": "r20xvit-ti"}, "Unknown model 'r20xvit-ti'.", "Did you mean 'r20+vit-ti'?"),
        (
            {"model": "r50+vit-b/24@240"},
            "r50+vit-b/24: the maps of r50 have no stride of 24 pixels.",
            "a multiple of 16",
        ),
        ({"model": "r20x1.1"}, "a width of 17.6 channels is not a multiple of 4.", "16 channels"),
        ({"model": "r20", "depth": 3}, "--depth means nothing to a ResNet.", "--blocks"),
        ({"model": "r20", "position": "none"}, "--position means nothing to a ResNet.", "--stem"),
        ({"model": "vit-ti/4", "blocks": "2,2"}, "--blocks means nothing to a ViT", "--patch"),
        ({"model": "r20", "dropout": 0.1}, "--dropout means nothing to a ResNet.", "stochastic"),
        ({"model": "r20", "blocks": "2,0"}, "--blocks is '2,0'.", "--blocks 3,4,6,3"),
        ({"model": "r20", "trunk_width": 18}, "not a multiple of 4.", "--trunk-width 16"),
        ({"model": "r50x1", "trunk_width": 70}, "not a multiple of 32.", "--trunk-width 64"),
        (
            {"model": "r20+vit-ti@32", "patch": 3},
            "A patch of 3 cells does not divide the trunk's map of 8 cells.",
            "--patch 2",
        ),
        ({"model": "vit-b/0"}, "Unknown model 'vit-b/0'.", "Choices: "),
        ({"position": "learned1d"}, "Unknown position 'learned1d'.", "'learned_1d'?"),
        ({"position": "no.py:P"}, "There is no file 'no.py' for the position", "file.py:ClassName"),
        ({"placement": "stm"}, "Unknown --placement 'stm'.", "Did you mean 'stem'?"),
        (
            {"position": "none", "placement": "shared"},
            "Position 'none' has no placement 'shared'.",
            "stem",
        ),
        ({"dataset": "digit"}, "digit", "digits"),
        ({"recipe": "paper"}, "Unknown --recipe 'paper'.", "paper-jft"),
        (
            {"patch": 3},
            "A patch of 3 pixels does not divide images of 8 pixels.",
            "Patches that do: 1, 2, 4, 8; the nearest is --patch 2.",
        ),
        ({"model": "vit-b/16@100"}, "A patch of 16 pixels does not divide", "--patch 20"),
        (
            {"model": "vit-b/16@384", "image_size": 224},
            "--model vit-b/16@384 and --image-size 224 ask for different sizes.",
            "Leave one of them out.",
        ),
        (
            {"heads": 3},
            "3 heads do not divide a width of 64.",
            "that do: 1, 2, 4, 8, 16, 32, 64; the nearest is --heads 2.",
        ),
        (
            {"width": 65, "heads": 5, "position": "2d"},
            "Position 'learned_2d' needs a width that is a multiple of 2, not 65.",
            "Choose --width",
        ),
        (
            {"width": 66, "heads": 2, "position": "sincos_2d", "placement": "stem"},
            "Position 'sincos_2d' needs a width that is a multiple of 4, not 66.",
            "Choose --width",
        ),
        ({"epochs": 1.0, "steps": 5}, "--epochs and --steps are both given.", "Give one"),
        ({"batch": 5000}, "A batch of 5000 is larger than the train split of", "--batch 64"),
        (
            {"recipe": "paper-imagenet"},
            "A batch of 4096 is larger than the train split",
            "--batch 64",
        ),
        (
            {"recipe": "paper-imagenet", "batch": 64, "steps": 50},
            "A warm-up of 10000 steps leaves none of the 50 steps (recipe paper-imagenet).",
            "--warmup 0.1",
        ),
        ({"momentum": 0.5}, "--momentum means nothing to adamw.", "--optimizer sgd"),
        ({"lr": -1.0}, "--lr is -1.0.", "Write a number above 0."),
        ({"lr": float("nan")}, "--lr is nan.", "above 0"),
        ({"lr": float("inf")}, "--lr is inf.", "above 0"),
        ({"clip": float("inf")}, "--clip is inf.", "at least 0"),
        ({"dropout": 1.0}, "--dropout is 1.0.", "Write a number at least 0 and below 1."),
        ({"seeds": 0}, "--seeds is 0.", "at least 1"),
        ({"seed": -1}, "--seed is -1.", "at least 0"),
        ({"jobs": 0}, "--jobs is 0.", "at least 1"),
        ({"augment": "crop,flop"}, "Unknown augmentation 'flop'.", "Did you mean 'flip'?"),
        (
            {"augment": "flip"},
            "A horizontal flip changes what the images of digits show.",
            "Leave flip out",
        ),
        ({"position_std": "big"}, "--position-std is 'big'.", "*=0.5,relative=2"),
        ({"position_std": "relativ=2"}, "Unknown position 'relativ'.", "'relative'?"),
    ],
)
def test_what_does_not_fit_is_refused(asked, problem, remedy):
    with pytest.raises(VitexpError) as caught:
        run_of(**asked)
    assert problem in caught.value.problem
    assert remedy in caught.value.remedy


def test_check_model_sees_what_a_study_makes_of_a_base():
    """An odd width is fine for the base and not for the 2-D cells of a grid."""
    model = run_of(width=65, heads=5).model
    check_model(model)
    position = dataclasses.replace(model.transformer.position, kind="learned_2d")
    odd = dataclasses.replace(model, vit=dataclasses.replace(model.transformer, position=position))
    with pytest.raises(VitexpError, match="multiple of 2, not 65"):
        check_model(odd)


def test_config_keys_and_types():
    assert from_mapping({"image-size": 8, "weight_decay": 1, "keep": True}, "a.toml") == {
        "image_size": 8,
        "weight_decay": 1.0,
        "keep": True,
    }
    with pytest.raises(VitexpError) as caught:
        from_mapping({"imagesize": 8}, "a.toml")
    assert caught.value.problem == "Unknown key in a.toml: 'imagesize'."
    assert "Did you mean 'image-size'?" in caught.value.remedy
    with pytest.raises(VitexpError, match=r"a\.toml: batch = '64' is not a whole number"):
        from_mapping({"batch": "64"}, "a.toml")
    with pytest.raises(VitexpError, match=r"batch = True is not a whole number"):
        from_mapping({"batch": True}, "a.toml")


def test_listed_sizes_have_the_published_parameter_counts():
    """Counts of the authors' code for 1000 classes (models_test.py of vision_transformer)."""
    published = {
        "vit-ti/16": 5_717_416,
        "vit-s/16": 22_050_664,
        "vit-s/32": 22_878_952,
        "vit-b/16": 86_567_656,
        "vit-b/32": 88_224_232,
        "vit-l/16": 304_326_632,
        "vit-l/32": 306_535_400,
        "vit-h/14": 632_045_800,
    }
    counts = {spec.name: params(spec) for spec in listed()}
    assert {name: counts[name] for name in published} == published


def test_paper_presets_hold_table_3():
    jft = PRESETS["paper-jft"]
    assert (jft.epochs, jft.batch, jft.weight_decay, jft.dropout) == (7, 4096, 0.1, 0.0)
    assert [jft.peak_lr(f"vit-{name}") for name in ("b/16", "l/32", "l/16", "h/14")] == [
        8e-4,
        6e-4,
        4e-4,
        3e-4,
    ]
    i21k, imagenet = PRESETS["paper-i21k"], PRESETS["paper-imagenet"]
    assert (i21k.epochs, i21k.lr, i21k.weight_decay, i21k.dropout) == (90, 1e-3, 0.03, 0.1)
    assert (imagenet.epochs, imagenet.lr, imagenet.weight_decay, imagenet.clip) == (
        300,
        3e-3,
        0.3,
        1.0,
    )
    assert {i21k.schedule, jft.schedule} == {"linear"}
    assert imagenet.schedule == "cosine"
    for preset in (jft, i21k, imagenet):
        assert (preset.position_std["*"], preset.warmup) == (0.02, 10_000)
