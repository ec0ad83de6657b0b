"""A run as a folder for the hub: what transformers and the hub's own code make of it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save

from tests.commands import call
from tests.models.test_families import images_for, randomised
from vitexp.analysis.seeds import sample
from vitexp.models.build import build
from vitexp.models.weights.files import load_weights
from vitexp.models.weights.header import header, model_in
from vitexp.runs.record import RunRecord, pack_correct
from vitexp.runs.store import Store
from vitexp.spec import ModelSpec, PositionSpec, RunSpec

NAME = "<b>x|y</b>\x1b[31m`z`"
HOME = "/home/somebody"
RIGHT = (45, 48, 42)
"""Of 60 test images, a seed each."""


def stored(out: Path, spec: RunSpec) -> tuple[str, torch.nn.Module]:
    """Three finished seeds of a run, of which the first has weights; its id and model."""
    store, model = Store(out), randomised(spec.model)
    weights = save(
        {k: v.contiguous() for k, v in model.state_dict().items()}, metadata=header(spec.model)
    )
    for seed, right in enumerate(RIGHT):
        correct = torch.arange(spec.data.test).numpy() < right
        metrics = {"test_top1": right / spec.data.test, "test_top5": 0.9, "params": 1e4}
        record = RunRecord(spec.seeded(seed), "done", metrics, pack_correct(correct), [], {})
        content = None if seed else weights
        if content is not None:
            record = record.with_weights(hashlib.sha256(content).hexdigest())
        lease = store.lease(record.spec)
        assert lease is not None
        lease.publish(record, content)
        lease.release()
    return spec.seeded(0).id, model


def named(spec: RunSpec, **vit: Any) -> RunSpec:
    """On data of an ugly name, its model with some sizes changed."""
    shape = dataclasses.replace(spec.model.transformer, **vit)
    data = dataclasses.replace(spec.data, name=NAME, source=f"{HOME}/x", remarks=(f"{HOME}/x",))
    model = dataclasses.replace(spec.model, vit=shape, name="vit")
    return dataclasses.replace(spec, data=data, model=model)


def exported(out: Path, run: str, capsys: pytest.CaptureFixture[str]) -> str:
    """The card in the folder that the command writes."""
    words = ["weights", "export", run, out / "hub", "--card", "--license", "mit", "--out", out]
    code, _, err = call(capsys, *words)
    assert code == 0, err
    assert call(capsys, *words)[0] == 2
    assert not list(out.glob(".tmp*"))
    return (out / "hub/README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("kind", "gelu"), [("learned_1d", "tanh"), ("learned_2d", "exact"), ("none", "exact")]
)
def test_transformers_loads_it_to_equal_logits(kind, gelu, run_spec, tmp_path, capsys):
    """Whatever is a table at the stem, to this class."""
    transformers = pytest.importorskip("transformers")
    spec = named(run_spec(PositionSpec(kind)), gelu=gelu)
    run, ours = stored(tmp_path, spec)
    card = exported(tmp_path, run, capsys)
    assert "ViTForImageClassification.from_pretrained" in card
    theirs, loading = transformers.AutoModelForImageClassification.from_pretrained(
        tmp_path / "hub", output_loading_info=True
    )
    assert not any(loading[name] for name in ("missing_keys", "unexpected_keys"))
    images = images_for(spec.model)
    with torch.no_grad():
        expected, found = ours(images), theirs.eval()(images).logits
    assert (found - expected).norm() < 1e-5 * expected.norm()


@pytest.mark.parametrize(
    ("vit", "why"),
    [
        ({"pool": "gap"}, "it pools by the mean of its tokens"),
        ({"pre_logits": 8}, "it has a layer before its head"),
        ({"position": PositionSpec("relative")}, "relative (stem)"),
        ({"position": PositionSpec("learned_1d", "shared")}, r"learned\_1d (shared)"),
    ],
)
def test_what_transformers_cannot_express_is_said_and_has_no_config(
    vit, why, run_spec, tmp_path, capsys
):
    spec = named(run_spec(), **vit)
    run, ours = stored(tmp_path, spec)
    card = exported(tmp_path, run, capsys)
    assert why in card
    assert "from_pretrained" not in card
    assert not (tmp_path / "hub/config.json").exists()
    file = tmp_path / "hub/model.safetensors"
    model = model_in(file)
    assert isinstance(model, ModelSpec)
    fresh: Any = build(model, seed=3)
    load_weights(fresh, model, file)
    images = images_for(spec.model)
    with torch.no_grad():
        assert torch.equal(fresh.eval()(images), ours(images))


def test_the_hub_reads_the_card_and_no_name_is_markup_in_it(run_spec, tmp_path, capsys):
    hub = pytest.importorskip("huggingface_hub")
    run, _ = stored(tmp_path, named(run_spec()))
    card = exported(tmp_path, run, capsys)
    read = hub.ModelCard.load(tmp_path / "hub/README.md", ignore_metadata_errors=False).data
    said = read.to_dict()
    assert (said["license"], said["library_name"]) == ("mit", "transformers")
    top1, top5 = read.eval_results
    assert (top1.metric_type, top1.metric_value, top5.metric_value) == ("accuracy", 0.75, 0.9)
    assert top1.dataset_name == NAME.replace("\x1b", "?")
    body = card.split("---\n", 2)[2]
    assert "<b>" not in body.replace("\\<", "") and "\x1b" not in card
    assert "somebody" not in card and "~/x" in card
    seeds = sample([right / 60 for right in RIGHT])
    assert seeds.low is not None and seeds.high is not None
    ends = f"{100 * seeds.low:.1f}, {100 * seeds.high:.1f}"
    assert f"| top-1 | 75.0 | 75.0 | \\[{ends}\\] |" in card
    assert "over seeds and test images together: [" in card
    config = json.loads((tmp_path / "hub/config.json").read_text())
    assert (config["hidden_act"], config["num_channels"], config["image_size"]) == ("gelu", 1, 8)


def test_a_card_is_about_a_run(tmp_path, capsys):
    words = ["weights", "export", "x.npz", tmp_path / "hub", "--card"]
    assert "--card is about a run" in call(capsys, *words)[2]
    assert not (tmp_path / "hub").exists()
