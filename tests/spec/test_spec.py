"""What a run is: its id, which is for good, and the file that it is read from."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

import pytest

from vitexp.errors import VitexpError
from vitexp.runs.record import Results
from vitexp.settings.flags import Settings
from vitexp.settings.run import resolve
from vitexp.spec import FromFile, FromRun, RunSpec, from_json, to_json
from vitexp.studies import STUDIES
from vitexp.studies.named import study_of

RUNS: list[tuple[dict[str, Any], str]] = [
    ({}, "12c767259290e5de"),
    ({"model": "vit-xs/4", "heads": 2, "fraction": 0.1}, "bd69185e857300d7"),
    ({"model": "r8x2.5", "stem": "small", "optimizer": "sgd", "momentum": 0.8}, "8b3424a170e5e9c4"),
    ({"model": "r11x0.75+vit-xxs", "pool": "gap", "gelu": "tanh"}, "ec1247f5cbf2282f"),
    (
        {
            "model": "vit-xxs/2",
            "position": "relative",
            "placement": "shared",
            "early_stopping": True,
            "averaging": 0.99,
        },
        "74071ba8a5d6234d",
    ),
]

# How many runs two seeds of a study are on digits before any is done, and a hash of their ids.
PLANS = {
    "pos_emb": (20, "f1c2fbe2a3efb4bb"),
    "data_size": (40, "4905eb9fe672228b"),
    "compute": (18, "c211a5efc6d9fc3b"),
    "shape": (22, "c331913ae061f744"),
    "patch": (12, "070d2a8711501b5a"),
    "pool": (12, "b0c3e4667718a1f5"),
    "optimizer": (24, "3a254acc79547f37"),
    "resolution": (72, "2ac98a65de38eab4"),
    "pretrain": (38, "88464a431c1cb3f0"),
    "bias": (24, "bbfa69d6d0b29c8e"),
}


@pytest.mark.parametrize(("settings", "run"), RUNS)
def test_a_run_keeps_its_id(settings, run):
    assert resolve(Settings(dataset="digits", seeds=1, **settings), "bf16").run.id == run


def test_every_study_plans_the_runs_that_it_always_has():
    base = resolve(Settings(dataset="digits", seeds=2), "fp32")
    assert set(PLANS) == set(STUDIES) - {"finetune"}, "which starts from a stored run"
    for name, (count, digest) in PLANS.items():
        ids = sorted(run.id for run in study_of(name).plan(base, Results([])).runs)
        assert (len(ids), sha256(" ".join(ids).encode()).hexdigest()[:16]) == (count, digest), name


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("seed", "x"),
        ("seed", True),
        ("seed", 1.0),
        ("seed", None),
        ("asked", 5),
        ("precision", "fp16"),
        ("init", "a run"),
        ("init", {"run": 5, "tables": None, "head": None}),
        ("recipe", 5),
        ("recipe.steps", "many"),
        ("recipe.lr", "0.1"),
        ("recipe.lr", True),
        ("recipe.lr", float("nan")),
        ("recipe.crop", 1),
        ("recipe.early_stopping", 2.5),
        ("recipe.optimizer", ["sgd"]),
        ("data.name", None),
        ("data.source", 5),
        ("data.classes", 5),
        ("data.classes", [0, "1"]),
        ("model.vit.position.placement", "everywhere"),
        ("model.vit.position.std", [0.02]),
    ],
)
def test_a_value_of_another_type_is_refused(run_spec, place, value):
    written = json.loads(json.dumps(to_json(run_spec())))
    *parts, name = place.split(".")
    part = written
    for each in parts:
        part = part[each]
    part[name] = value
    with pytest.raises(VitexpError):
        from_json(RunSpec, written)


def test_what_is_wrong_is_named(run_spec):
    written = to_json(run_spec()) | {"seed": "x"}
    with pytest.raises(VitexpError, match="A RunSpec cannot have 'x' as its seed"):
        from_json(RunSpec, written)


def test_a_whole_number_may_stand_for_a_float_and_keeps_the_id(run_spec):
    for spec in (run_spec(lr=1, clip=None), run_spec(lr=0.5, mixup=1, early_stopping=3)):
        read = from_json(RunSpec, json.loads(json.dumps(to_json(spec))))
        assert (read, read.id) == (spec, spec.id)


def test_of_two_ways_to_begin_each_is_read_as_itself(run_spec):
    for init in (None, FromRun("a", "fresh", "kept"), FromFile("b", "here")):
        written = to_json(run_spec()) | {"init": init and to_json(init)}
        assert from_json(RunSpec, written).init == init
