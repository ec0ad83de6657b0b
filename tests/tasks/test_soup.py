"""Soups: the mean is the mean, greedy never loses on validation, and the file is a checkpoint."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from safetensors.torch import save

from tests.commands import TINY, call, read
from tests.tasks.test_probe import folder_of
from vitexp.cli.main import main
from vitexp.datasets.image_set import ImageSet
from vitexp.datasets.load import describe
from vitexp.evaluation.accuracy import accuracy
from vitexp.launch.orders import Average, Resources
from vitexp.models.build import build
from vitexp.runs.record import RunRecord, pack_correct
from vitexp.runs.soup import Soup, Soups
from vitexp.runs.store import Store
from vitexp.tasks.soup import soup_of
from vitexp.training.soup import average
from vitexp.worker.worker import Worker

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run on the digits and what it became at four learning rates."""
    out = tmp_path_factory.mktemp("soup")
    same = ["--jobs", "1", "--precision", "fp32", "--out", str(out)]
    run(["train", *TINY, "--steps", "150", "--lr", "3e-3", *same])
    (parent,) = Store(out).results()
    tune = ["finetune", "--from", parent.id, "--steps", "25", "--batch", "32", *same]
    run([*tune, "--rates", "0.01,0.1,0.3"])
    run([*tune, "--lr", "3"])
    return out


def run(command: list[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(command)
    assert not left.value.code


def tuned(out: Path) -> list[RunRecord]:
    return sorted((r for r in Store(out).results() if r.spec.init), key=lambda run: run.id)


def mean(out: Path, runs: list[str]) -> dict[str, np.ndarray]:
    files = [load_file(Store(out).weights(run)) for run in runs]
    return {n: np.asarray(sum(f[n].astype(float) for f in files)) / len(files) for n in files[0]}


def top1(run: RunRecord, state: dict[str, np.ndarray], images: ImageSet, split: str) -> float:
    model = build(run.spec.model, 0)
    model.load_state_dict({name: torch.from_numpy(v) for name, v in state.items()})
    return accuracy(model, getattr(images, split), CPU, torch.float32).top1


def test_a_soup_is_the_mean_and_greedy_agrees_with_brute_force(out, digits, capsys):
    runs = tuned(out)
    assert len(runs) >= 4
    said = read(capsys, "soup", *(run.id for run in runs), "--out", out)
    greedy, uniform = said["soups"]
    assert (greedy["kind"], uniform["kind"]) == ("greedy", "uniform")
    for soup in (greedy, uniform):
        found, expected = load_file(soup["file"]), mean(out, soup["kept"])
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            assert np.abs(found[name] - value).max() <= 2e-7 * max(1, np.abs(value).max()), name
        for split in ("val", "test"):
            assert soup[f"{split}_top1"] == pytest.approx(top1(runs[0], found, digits, split))
    assert uniform["kept"] == [run.id for run in runs]
    order = sorted(runs, key=lambda run: (-run.metrics["val_top1"], run.id))
    kept, val = [order[0].id], order[0].metrics["val_top1"]
    for run in order[1:]:
        tried = top1(run, mean(out, [*kept, run.id]), digits, "val")
        if tried >= val:
            kept, val = [*kept, run.id], tried
    assert greedy["kept"] == kept
    assert greedy["val_top1"] == pytest.approx(val)
    assert greedy["val_top1"] >= max(run.metrics["val_top1"] for run in runs)
    assert said["best_run"] == order[0].id
    # A rate of 3 ruins a run: with it the mean is worse, and greedy leaves it out.
    ruined = min(runs, key=lambda run: run.metrics["val_top1"])
    assert ruined.id not in greedy["kept"]
    assert uniform["val_top1"] < greedy["val_top1"]


def test_a_soup_is_made_once_and_reads_test_once(out, capsys):
    runs = [run.id for run in tuned(out)]
    said = read(capsys, "soup", *runs, "--out", out)
    files = {p: p.stat().st_mtime_ns for p in (out / "soups").rglob("*") if p.is_file()}
    code, printed, err = call(capsys, "soup", *reversed(runs), "--out", out)
    assert code == 0, err
    assert {path: path.stat().st_mtime_ns for path in files} == files
    assert "greedy soup" in printed
    assert "best single" in printed
    kept = json.loads(Path(said["soups"][0]["file"]).with_name("soup.json").read_text())
    assert kept["execution"]["test_reads"] == 1
    (alone,) = read(capsys, "soup", *runs, "--kind", "uniform", "--out", out)["soups"]
    assert alone == said["soups"][1]


def test_two_that_make_the_same_soup_make_it_once(tmp_path, run_spec, monkeypatch):
    data, images = describe("digits")
    store = Store(tmp_path)
    for seed in (0, 1):
        spec = replace(run_spec(seed=seed), data=data)
        weights = save(build(spec.model, seed).state_dict())
        record = RunRecord(spec, "done", {}, pack_correct(images.test.labels > 4), [], {})
        lease = store.lease(spec)
        assert lease is not None
        lease.publish(record.with_weights(hashlib.sha256(weights).hexdigest()), weights)
        lease.release()
    soup = soup_of("uniform", store.results())
    together, made = threading.Barrier(2), []

    def counted(*arguments: Any) -> tuple[Soup, bytes]:
        made.append(arguments)
        with contextlib.suppress(threading.BrokenBarrierError):
            together.wait(timeout=1)
        return average(*arguments)

    monkeypatch.setattr("vitexp.worker.worker.average", counted)
    workers = [Worker(tmp_path, "cpu", 60, io.StringIO()) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda worker: worker.carry_out(Average(soup, Resources(1))), workers))
    assert len(made) == 1
    done = Soups(tmp_path).find(soup)
    assert done is not None
    assert done.execution["test_reads"] == 1


def test_a_soup_is_a_checkpoint_for_every_command(out, capsys, digits, tmp_path):
    runs = tuned(out)
    file = read(capsys, "soup", *(run.id for run in runs), "--out", out)["soups"][0]["file"]
    shown = read(capsys, "weights", "show", file)
    assert (shown["layout"], shown["classes"]) == ("vitexp", 10)
    assert shown["model"] == runs[0].spec.model.name
    (probed,) = read(capsys, "probe", file, "--dataset", "digits", "--out", out)
    assert probed["few_shot_5_top1"] > 0.3
    data = folder_of(digits, tmp_path / "some", {0: 20, 1: 20, 7: 20})
    command = ["finetune", "--from", file, "--dataset", data, "--lr", "0.03", "--steps", "5"]
    command += ["--device", "cpu", "--precision", "fp32", "--image-size", "8", "--out", tmp_path]
    (row,) = read(capsys, *command)["rows"]
    assert row["stage"] == "fine-tuned"
    (child,) = Store(tmp_path).results()
    assert child.spec.model.vit == runs[0].spec.model.vit
    code, _, err = call(capsys, *command, "--depth", "3")
    assert (code, "which is that of" in err) == (2, True)


def test_what_cannot_be_averaged_is_refused_in_two_lines(out, capsys, tmp_path_factory):
    store, runs = Store(out), tuned(out)
    other = ["train", *TINY, "--depth", "1", "--seed", "7", "--jobs", "1", "--out", out]
    call(capsys, *other)
    by_depth = {r.spec.model.transformer.depth: r for r in store.results() if not r.spec.init}
    parent, small = by_depth[2], by_depth[1]
    for words, problem in (
        ([runs[0].id], "The mean of one run is that run."),
        ([runs[0].id, runs[0].id], "The mean of one run is that run."),
        ([runs[0].id, small.id], "differ in their model"),
        ([runs[0].id, runs[1].id, "--kind", "tasty"], "Unknown --kind 'tasty'."),
    ):
        code, _, err = call(capsys, "soup", *words, "--out", out)
        assert code == 2
        assert problem in err.splitlines()[0]
        assert len(err.splitlines()) == 2
    code, _, err = call(capsys, "soup", runs[0].id, parent.id, "--kind", "uniform", "--out", out)
    assert code == 0
    assert "do not all start from the same weights" in err
    weights = store.weights(runs[0].id)
    whole = weights.read_bytes()
    weights.unlink()
    code, _, err = call(capsys, "soup", runs[0].id, runs[1].id, "--out", out)
    weights.write_bytes(whole)
    assert code == 2
    assert "is damaged" in err


def test_runs_that_diverged_or_kept_no_weights_are_refused(out, capsys, tmp_path):
    quick = ["train", *TINY, "--jobs", "1", "--precision", "fp32", "--out", tmp_path]
    call(capsys, *quick, "--no-keep")
    call(capsys, *quick, "--seed", "1")
    lost = ["--lr", "1e9", "--clip", "0", "--steps", "30", "--seed", "2", "--optimizer", "sgd"]
    call(capsys, *quick, *lost)
    by_seed = {record.spec.seed: record.id for record in Store(tmp_path).results()}
    for seed, problem in ((0, "did not keep its weights"), (2, "diverged: it has no weights")):
        code, _, err = call(capsys, "soup", by_seed[1], by_seed[seed], "--out", tmp_path)
        assert code == 2
        assert problem in err.splitlines()[0]
