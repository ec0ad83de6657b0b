"""Every command that the program prints is one that it takes."""

from __future__ import annotations

import ast
import re
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import vitexp
from tests.scale_grid import done
from vitexp.cli.main import main
from vitexp.cli.report import study_of
from vitexp.experiment.study import Study
from vitexp.models.count import params
from vitexp.runs.record import Results, RunRecord
from vitexp.settings.base import Base
from vitexp.settings.flags import Settings
from vitexp.settings.run import resolve
from vitexp.spec import RunSpec
from vitexp.studies import STUDIES

COMMAND = re.compile("`vitexp ([^`]+)`")

SCALED = "--dataset digits --models vit-xxs/4,r11 --fractions 10%,100% --tune"
TRANSFERRED = "--dataset digits --source digits --source-classes 6 --fractions 30%,100%"
# What else may have asked for a run that is in a study's table.
ASKED = {
    "pos_emb": ("--dataset digits --position 2d --placement shared",),
    "data_size": (
        "--dataset digits --model vit-xxs/3 --patch 2 --fraction 0.1 --epochs 3 --early-stopping",
        "--dataset digits --model r8x2.5 --blocks 1,1 --fraction 0.1",
        f"{SCALED} --epochs 3",
    ),
    "compute": ("--dataset digits --model r8x2.5 --trunk-width 32", "--dataset digits --width 96"),
    "shape": ("--dataset digits --depth 4 --epochs 3",),
    "patch": ("--dataset digits --patch 4 --position none --placement stem",),
    "pool": ("--dataset digits --pool gap --lr 0.001",),
    "optimizer": ("--dataset digits --model r8x2.5 --stem small --optimizer sgd --momentum 0.8",),
    "resolution": ("--dataset digits --position 2d --placement stem",),
    "pretrain": ("--dataset digits --model vit-xxs/2 --fraction 0.1 --early-stopping",),
}


@pytest.fixture(scope="module")
def base() -> Base:
    return resolve(Settings(dataset="digits", seeds=3, steps=20), "fp32")


def finished(study: Study, base: Base, rng: np.random.Generator) -> Results:
    """All runs of a study, with made-up results."""
    found: dict[str, RunSpec] = {}
    results = Results([])
    while new := {r.id: r for r in study.plan(base, results) if r.id not in found}:
        found |= new
        drawn = [done(run, rng.random(run.data.test) < 0.9) for run in new.values()]
        results = Results([*results, *map(counted, drawn)])
    return results


def counted(record: RunRecord) -> RunRecord:
    size = {"params": float(params(record.spec.model) or 0)}
    return replace(record, metrics=record.metrics | size)


def printed(study: Study, results: Results) -> set[str]:
    """The commands in what is said of a study's grids."""
    text = []
    for grid in study.grids(results):
        said = study.report(grid)
        text += [*said.notes, *(f"{claim.evidence} {claim.settle}" for claim in said.claims)]
        text += [str(table) for table in said.tables]
        text += [f"{claim.evidence} {claim.settle}" for claim in study.verdicts(grid)]
    return {command for one in text for command in COMMAND.findall(one)}


@pytest.mark.parametrize("name", sorted(ASKED))
def test_what_a_report_prints_is_taken(name, base, tmp_path, capsys):
    study, rng = study_of(name), np.random.default_rng(3)
    whole = finished(study, base, rng)
    commands = set()
    for asked in ("", *ASKED[name], SCALED, TRANSFERRED):
        records = [replace(r, spec=replace(r.spec, asked=asked or r.spec.asked)) for r in whole]
        lost = [replace(r, status="diverged", correct="", metrics={}) for r in records[:1]]
        for some in (records, [r for r in records if r.spec.seed != 2], [*lost, *records[1:]]):
            commands |= printed(study, Results(some))
    assert commands or name == "resolution"
    for command in sorted(commands):
        with pytest.raises(SystemExit) as left:
            main([*shlex.split(command), "--dry-run", "--no-probe", "--out", str(tmp_path)])
        assert not left.value.code, f"{command}: {capsys.readouterr().err}"
        capsys.readouterr()


def test_every_study_is_among_them():
    assert set(ASKED) == set(STUDIES) - {"finetune"}


def texts(path: Path) -> list[str]:
    """The texts in a source file, X for what is filled in."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.JoinedStr):
            parts = (part.value if isinstance(part, ast.Constant) else "X" for part in node.values)
            found.append("".join(map(str, parts)))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.append(node.value)
    return found


def written() -> list[str]:
    """The commands in errors and hints; those that begin with what is filled in are not known."""
    files = sorted(Path(vitexp.__file__).parent.rglob("*.py"))
    found = {c for path in files for text in texts(path) for c in COMMAND.findall(text)}
    own = {study_of(name).command for name in STUDIES}
    return sorted({command for command in found if not command.startswith("X")} | own)


@pytest.mark.parametrize("command", [*written(), "ablate --nonsense", "nonsense"])
def test_what_a_hint_prints_is_parsed(command, capsys):
    with pytest.raises(SystemExit) as left:
        main([*shlex.split(command), "--help"])
    assert bool(left.value.code) == ("nonsense" in command), capsys.readouterr().err
