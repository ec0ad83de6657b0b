"""Data sets of the Hugging Face hub, by a hub that stands in for the network."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.pictures import hub_features, image_rows, pixels, refusal
from tests.processes import HANG_SECONDS
from vitexp.catalog.datasets import HUB_SETS
from vitexp.datasets import hub
from vitexp.datasets.load import describe, load


def test_without_a_network_a_hub_set_is_one_clear_error_without_retries(tmp_path):
    code = (
        "from vitexp.datasets.load import load\n"
        "from vitexp.errors import VitexpError\n"
        "try: load('cifar10')\n"
        "except VitexpError as error: print(error)"
    )
    nowhere = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path / "hf")}
    # A proxy would answer for the hub that is not there.
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("HF_") and not name.lower().endswith("_proxy")
    }
    environment = {**kept, **nowhere, "VITEXP_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=HANG_SECONDS,
    )
    assert done.stdout.startswith("The Hugging Face hub cannot be reached, and 'uoft-cs/cifar10'")
    assert "Retrying" not in done.stderr
    assert not (tmp_path / "cache").exists()


@pytest.fixture
def fake_hub(monkeypatch):
    """Stands for the network: `load_dataset` gives local data sets of the hub's form."""
    import datasets

    asked = []

    def load_dataset(name, config):
        asked.append((name, config))
        facts = hub.facts_of(name) or HUB_SETS["mnist"]
        features = hub_features(facts.image, facts.label)
        splits = {}
        for split, count in {"train": 40, "validation": 10, "test": 6}.items():
            rows = image_rows(count, split, [0, 1])
            columns = {facts.image: rows["image"], facts.label: rows["label"]}
            if split == "test" and facts.test != "test":
                columns[facts.label] = [-1] * count
            if split != "validation" or facts.test != "test":
                splits[split] = datasets.Dataset.from_dict(columns, features=features)
        return datasets.DatasetDict(splits)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.setattr(hub, "_reachable", lambda: True)
    return asked


@pytest.mark.parametrize("name", HUB_SETS)
def test_hub_sets_are_read_by_the_columns_and_splits_of_the_catalog(fake_hub, cache, name):
    images = load(name, cache=cache)
    facts = HUB_SETS[name]
    assert fake_hub == [(facts.hub, facts.config)]
    assert len(images.test) == (10 if name == "imagenet-1k" else 6)
    assert [len(images.train), len(images.val)] == [36, 4]
    assert images.names == ("dog", "cat")
    assert images.flips == (name not in ("mnist", "svhn"))
    assert (images.test.images[1] == pixels([1, *facts.test.encode()])).all()
    load(name.upper().replace("_", "-"), cache=cache)
    assert len(fake_hub) == 1, "a cached hub set needs no network"


def test_a_hub_id_with_a_configuration(fake_hub, cache):
    spec, images = describe("someone/letters:large", cache=cache)
    assert fake_hub == [("someone/letters", "large")]
    assert (spec.source, spec.name, images.flips) == ("someone/letters:large", "letters", True)
    assert not load("ylecun/mnist", cache=cache).flips


@pytest.mark.parametrize(
    ("reason", "expected"),
    [("Dataset 'x' is a gated dataset on the Hub.", "hf auth login"), ("not found", "no data set")],
)
def test_a_hub_set_that_is_refused(monkeypatch, cache, reason, expected):
    import datasets

    def load_dataset(name, config):
        raise datasets.exceptions.DatasetNotFoundError(reason)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.setattr(hub, "_reachable", lambda: True)
    assert expected in refusal("someone/letters", cache)
