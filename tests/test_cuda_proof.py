"""The way through ``make cuda``, tiny and on the CPU."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from PIL import Image

from tools import cuda_proof
from vitexp.launch import devices
from vitexp.runs import archive
from vitexp.runs.store import Store

PARTS = "tests,bench,grid"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Small pictures of three kinds of noise."""
    made, random = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for split, count in (("train", 24), ("test", 4)):
        for label in range(3):
            (made / split / f"kind{label}").mkdir(parents=True)
            for index in range(count):
                pixels = random.integers(80 * label, 80 * label + 90, (8, 8, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(made / split / f"kind{label}" / f"{index}.png")
    return made


@pytest.mark.skipif(bool(devices.cuda_devices()), reason="there is a CUDA device")
def test_without_cuda_it_says_so_and_runs_nothing(folder, tmp_path, capsys):
    out = tmp_path / "proof"
    assert cuda_proof.main(["--data", str(folder), "--out", str(out)]) == 2
    assert "There is no CUDA device here" in capsys.readouterr().out
    assert not out.exists()


def test_it_goes_on_where_it_stopped_and_leaves_an_archive(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("VITEXP_CACHE", str(tmp_path / "cache"))
    out = tmp_path / "proof"
    words = ["--data", str(folder), "--out", str(out), "--device", "cpu", "--parts", PARTS]
    assert cuda_proof.main([*words, "--minutes", "0"]) == 0
    assert "Stopped when the time was up: some tests, bench small" in capsys.readouterr().out

    assert cuda_proof.main([*words, "--minutes", "600"]) == 0
    parts = json.loads((out / "proof.json").read_text())["parts"]
    assert {part["state"] for part in parts.values()} == {"done"}, parts
    assert parts["some tests"]["tests"] == 1
    assert parts["bench small"]["value"]["utilisation"] > 0
    added, _ = archive.unpacked(Store(tmp_path / "elsewhere"), out / "runs.tar.gz")
    assert len(added) == 10 * 2
    assert (out / "runs.tar.gz").stat().st_size < 2e6

    capsys.readouterr()
    assert cuda_proof.main([*words, "--minutes", "600"]) == 0
    assert capsys.readouterr().out.count("done before") == len(parts)


def test_a_part_whose_time_is_up_is_ended(tmp_path):
    proof = cuda_proof.Proof(tmp_path, 600, "cpu")
    code = "import time; time.sleep(600)"
    proof.part("sleep", [sys.executable, "-c", code], 1e-5)
    assert proof.parts["sleep"]["state"] == "stopped"
    proof.part("wrong", [sys.executable, "-c", "raise SystemExit(3)"], 1.0)
    assert proof.parts["wrong"] | {"seconds": 0} == {"state": "failed", "code": 3, "seconds": 0}


def test_a_package_that_is_not_there_is_said_and_is_no_failure(tmp_path):
    case = '<testcase classname="t" name="{}">{}</testcase>'
    absent = '<error message="No module named &apos;not_here.at_all&apos;"/>'
    cases = [case.format("a", ""), case.format("b", absent), case.format("c", "<skipped/>")]
    report = tmp_path / "report.xml"

    def judged():
        report.write_text(f"<testsuites><testsuite>{''.join(cases)}</testsuite></testsuites>")
        return cuda_proof._judged(report)

    assert judged() == {
        **{"state": "done", "tests": 3, "skipped": 1, "failed": []},
        "not_installed": ["not_here"],
    }
    cases.append(case.format("d", "<failure>assert 1 == 2</failure>"))
    assert (judged()["state"], judged()["failed"]) == ("failed", ["t::d"])
    # What is installed and cannot be imported is a failure.
    cases[3] = case.format("e", '<error message="No module named &apos;torch.nothing&apos;"/>')
    assert judged()["failed"] == ["t::e"]
