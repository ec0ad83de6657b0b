"""The study of inductive bias: its plan, its claims on made-up measurements, and one real run of it
whose tables need no weights afterwards."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from tests.commands import call, read
from tests.plans import by_fraction, done_of
from tests.scale_grid import cell, done, measurement
from vitexp.errors import VitexpError
from vitexp.experiment.plan import Grid, Plan
from vitexp.render.figure import draw
from vitexp.reporting.more_images import foldable
from vitexp.reporting.report import Claim
from vitexp.runs.measurement import Measurement
from vitexp.runs.record import Results
from vitexp.runs.store import Store
from vitexp.settings.flags import Settings
from vitexp.settings.run import resolve
from vitexp.spec import RunSpec
from vitexp.studies.bias.study import Bias
from vitexp.studies.data_size.study import DataSize

RESNET, HYBRID, VIT = "r8x2.5", "r8x0.75+vit-xxs/2", "vit-xxs/2"
SHIFT = {RESNET: (0.6, 0.7), HYBRID: (0.4, 0.6), VIT: (0.3, 0.68)}
EMPTY = Results([])


def judged(
    shift: dict[str, tuple[float, float]], p: float = 0.001, seeds: int = 3
) -> dict[str, Claim]:
    return {claim.id: claim for claim in Bias().verdicts(made_up(shift, p, seeds))}


def made_up(shift: dict[str, tuple[float, float]], p: float = 0.001, seeds: int = 3) -> Grid:
    """Runs where these are the shares of images that keep their class, by data."""
    rng = np.random.default_rng(3)
    measured: dict[str, Measurement] = {}
    cells: dict[tuple[str, float], list[RunSpec]] = {}
    for model, shares in shift.items():
        for fraction, share in zip((0.1, 1.0), shares, strict=True):
            runs = [cell(model, fraction, seed) for seed in range(seeds)]
            measured |= {run.id: measurement(run, rng, share, p) for run in runs}
            cells[by_fraction(runs[0])] = runs
    records = (done(run, rng.random(360) < 0.9) for runs in cells.values() for run in runs)
    return done_of(Bias(), Plan(cells), Results(records), measured)


def test_claims_follow_what_was_measured():
    found = judged(SHIFT)
    assert {claim.standing for claim in found.values()} == {"SUPPORTED"}
    assert found["IB1"].effect == pytest.approx(30, abs=3)
    assert found["IB2"].effect == pytest.approx(28, abs=4)
    assert found["IB4"].effect == pytest.approx(40, abs=3)
    assert found["IB3"].effect == pytest.approx(20, abs=2)
    assert found["IB5"].effect == pytest.approx(40)
    assert len(found["IB2"].runs) == 12
    turned = judged({RESNET: SHIFT[VIT], HYBRID: SHIFT[HYBRID], VIT: SHIFT[RESNET]})
    assert [turned[name].standing for name in ("IB1", "IB2")] == ["REFUTED", "REFUTED"]
    assert not foldable(list(made_up(SHIFT).values())), "the study refuses --folds"


def test_similarity_that_a_random_order_has_too_is_no_plane():
    found = judged(SHIFT, p=0.2)["IB5"]
    assert found.standing == "INCONCLUSIVE"
    assert "0.2" in found.evidence


def test_claims_without_their_models_or_seeds_say_what_to_run():
    found = judged({VIT: SHIFT[VIT]})
    assert [found[name].standing for name in ("IB1", "IB2", "IB4")] == ["NOT RUN"] * 3
    assert "ablate bias --dataset" in found["IB1"].settle
    assert {c.standing for c in judged(SHIFT, seeds=2).values()} == {"NOT RUN"}


def test_the_runs_are_those_of_the_data_size_study():
    base = resolve(Settings(dataset="digits", seeds=2), "fp32")
    ours, theirs = (study.plan(base, EMPTY) for study in (Bias(), DataSize()))
    assert set(ours.keys) < set(theirs.keys)
    assert {model for model, _ in ours.cells} == {RESNET, HYBRID, VIT}


def test_what_leaves_nothing_to_measure_is_refused(tmp_path, capsys):
    for flag, problem in ((("--no-keep",), "--no-keep leaves none"), (("--folds", 3), "--folds")):
        code, _, err = call(capsys, "ablate", "bias", *flag, "--out", tmp_path)
        assert (code, problem in err, len(err.splitlines())) == (2, True, 2)
    with pytest.raises(VitexpError, match="--source"):
        Bias.configured({"--source": "digits"}, Settings())


def test_measured_once_and_reported_elsewhere_without_weights(tmp_path, capsys, monkeypatch):
    # Figures are laid out, and not written three times.
    monkeypatch.setattr(
        "vitexp.render.figure.drawn", lambda figure: {"png": bytes(bool(draw(figure)))}
    )
    out, there = tmp_path / "here", tmp_path / "there"
    words = ["--models", "vit-xxs/2,r8x0.5", "--fractions", "50%,100%", "--seeds", 1]
    words += ["--steps", 2, "--batch", 16, "--device", "cpu", "--precision", "fp32", "--jobs", 1]
    made = read(capsys, "ablate", "bias", *words, "--out", out)
    measures = {row["measure"] for row in made["rows"] if row["family"] == "vit"}
    assert {"shift_1", "shift_top1", "map_shuffle", "within_8", "attention_4_far"} <= measures
    assert {row["n"] for row in made["rows"]} == {1}
    kept = {path: path.stat().st_mtime_ns for path in out.glob("runs/*/measurement-*.json")}
    assert len(kept) == 4
    run = next(iter(Store(out).results())).id
    (probed,) = read(capsys, "probe", run, "--kind", "bias", "--out", out)
    (shown,) = (row for row in made["rows"] if row["run_ids"] == run and row["measure"] == "shift")
    assert probed["shift"] == pytest.approx(shown["mean"], rel=1e-4)
    for weights in out.glob("runs/*/weights.safetensors"):
        weights.unlink()
    archive = tmp_path / "runs.tar.gz"
    assert call(capsys, "runs", "export", archive, "--out", out)[0] == 0
    assert call(capsys, "runs", "import", archive, "--out", there)[0] == 0
    # Of all studies: `scale` would plan the same runs, and was not asked for.
    assert read(capsys, "table", "--out", there)["rows"] == made["rows"]
    with (there / "tables/bias.csv").open(encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == len(made["rows"])
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    rm_one(out, run)
    left = read(capsys, "table", "bias", "--out", out)
    assert len({(row["model"], row["fraction"]) for row in left["rows"]}) == 3


def rm_one(out: Path, run: str) -> None:
    """A run that was not measured is no part of the table."""
    (measurement,) = (out / "runs" / run).glob("measurement-*.json")
    measurement.unlink()
