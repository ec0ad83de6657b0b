"""Ids are for good: what was run once is found again by every later version."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest

from vitexp.cli.report import study_of
from vitexp.runs.record import Results
from vitexp.studies import STUDIES
from vitexp.studies.resolve import resolve
from vitexp.studies.settings import Settings

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
    "pos_emb": (20, "43f7f1c9222a6d51"),
    "data_size": (40, "85d469e94262ca40"),
    "compute": (18, "2c94901e348c8418"),
    "shape": (22, "b8ad78e32c06fef7"),
    "patch": (12, "9c902bd94e578f5e"),
    "pool": (12, "04950e8e86483ede"),
    "optimizer": (24, "a051653a31c277a5"),
    "resolution": (72, "95ee6b4fe4eaab52"),
    "pretrain": (38, "ca06e91c0694ef6b"),
}


@pytest.mark.parametrize(("settings", "run"), RUNS)
def test_a_run_keeps_its_id(settings, run):
    assert resolve(Settings(dataset="digits", seeds=1, **settings), "bf16").run.id == run


def test_every_study_plans_the_runs_that_it_always_has():
    base = resolve(Settings(dataset="digits", seeds=2), "fp32")
    assert set(PLANS) == set(STUDIES) - {"finetune"}, "which starts from a stored run"
    for name, (count, digest) in PLANS.items():
        ids = [run.id for run in study_of(name).plan(base, Results([]))]
        assert (len(ids), sha256(" ".join(ids).encode()).hexdigest()[:16]) == (count, digest), name
