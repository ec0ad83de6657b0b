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
from tests.plans import done_of
from tests.scale_grid import done, measurement
from vitexp.cli.main import main
from vitexp.experiment.plan import Grid, Plan
from vitexp.experiment.study import Study
from vitexp.models.count import params
from vitexp.runs.record import Results, RunRecord
from vitexp.settings.base import Base
from vitexp.settings.flags import Settings
from vitexp.settings.run import resolve
from vitexp.studies import STUDIES
from vitexp.studies.named import configured, study_of

COMMAND = re.compile("`vitexp ([^`]+)`")

OWN = {
    "data_size": {"--models": "vit-xxs/4,r11", "--fractions": "10%,100%", "--tune": ""},
    "bias": {"--models": "vit-xxs/4,r11", "--fractions": "10%,100%"},
    "compute": {"--models": "vit-xxs/4,r11"},
    "pretrain": {"--source": "digits", "--source-classes": "6", "--fractions": "30%,100%"},
}
"""Flags of their own that studies have."""


@pytest.fixture(scope="module")
def base() -> Base:
    return resolve(Settings(dataset="digits", seeds=3, steps=20), "fp32")


def finished(study: Study, base: Base, rng: np.random.Generator) -> tuple[Plan, Results]:
    """A study's plan and all its runs, with made-up results."""
    results = Results([])
    while True:
        plan = study.plan(base, results)
        new = [run for run in plan.runs if run.id not in results]
        if not new:
            return plan, results
        drawn = [done(run, rng.random(run.data.test) < 0.9) for run in new]
        results = Results([*results, *map(counted, drawn)])


def counted(record: RunRecord) -> RunRecord:
    size = {"params": float(params(record.spec.model) or 0)}
    return replace(record, metrics=record.metrics | size)


def printed(study: Study, grid: Grid) -> set[str]:
    """The commands in what is said of a study's grid."""
    said = study.report(grid)
    text = [*said.notes, *(f"{claim.evidence} {claim.settle}" for claim in said.claims)]
    text += [str(table) for table in said.tables]
    text += [f"{claim.evidence} {claim.settle}" for claim in study.verdicts(grid)]
    return {command for one in text for command in COMMAND.findall(one)}


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("settings", [{}, {"width": 96, "epochs": 3.0}])
@pytest.mark.parametrize("name", sorted(set(STUDIES) - {"finetune"}))
def test_what_a_report_prints_is_taken(name, settings, own, tmp_path, capsys):
    flags, rng = OWN.get(name, {}) if own else {}, np.random.default_rng(3)
    asked = Settings(dataset="digits", seeds=3, **(settings or {"steps": 20}))
    study = configured(name, flags, asked)
    plan, whole = finished(study, resolve(asked, "fp32").asked_with(flags), rng)
    lost = [replace(r, status="diverged", correct="", metrics={}) for r in whole][:1]
    few = [record for record in whole if record.spec.seed != 2]
    commands = set()
    measured = {r.id: measurement(r.spec, rng) for r in whole} if study.probe else None
    for some in (whole, Results(few), Results([*whole, *lost])):
        commands |= printed(study, done_of(study, plan, some, measured))
    assert commands or name == "resolution"
    for command in sorted(commands):
        with pytest.raises(SystemExit) as left:
            main([*shlex.split(command), "--dry-run", "--no-probe", "--out", str(tmp_path)])
        assert not left.value.code, f"{command}: {capsys.readouterr().err}"
        capsys.readouterr()


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
