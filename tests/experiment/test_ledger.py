"""The ledger, comparisons, and runs taken elsewhere."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet

from tests.plans import by_fraction, by_position, sorted_into
from tests.scale_grid import CROSSING, cell, done, scale_grid
from tests.synthetic import draw, grid, paper_grid
from vitexp import load
from vitexp.datasets.load import describe
from vitexp.errors import VitexpError
from vitexp.experiment import ledger
from vitexp.experiment.plan import Grid
from vitexp.reporting.report import Claim
from vitexp.runs import archive, frame
from vitexp.runs.measurement import Measurement
from vitexp.runs.plans import Asked, keep
from vitexp.runs.record import Results, RunRecord
from vitexp.runs.removal import remove
from vitexp.runs.store import Store
from vitexp.spec import ProbeSpec
from vitexp.studies import STUDIES
from vitexp.studies.data_size.study import DataSize
from vitexp.studies.named import study_of
from vitexp.studies.pos_emb.study import PosEmb
from vitexp.tasks import compare

KEYS = ["id", "claim", "verdict", "effect", "low", "high", "n", "dataset", "grid", "runs", "next"]


@pytest.fixture
def rng():
    return np.random.default_rng(2)


def no_grids(results: Results) -> list[Grid]:
    return []


def of_positions(results: Results) -> list[Grid]:
    """A grid a learning rate."""
    own = [
        record
        for record in results
        if record.spec.data.fraction is None and record.spec.recipe.early_stopping is None
    ]
    rates = dict.fromkeys(record.spec.recipe.lr for record in own)
    by_rate = ([record for record in own if record.spec.recipe.lr == rate] for rate in rates)
    return [sorted_into(PosEmb(), runs, by_position, ("none", "stem")) for runs in by_rate]


def of_fractions(results: Results) -> list[Grid]:
    own = [record for record in results if record.spec.recipe.early_stopping]
    return [sorted_into(DataSize(), own, by_fraction)] if own else []


GRIDS = {"pos_emb": of_positions, "data_size": of_fractions}


def judged(results: Results) -> dict[str, list[Claim]]:
    found: dict[str, list[Claim]] = {}
    answers = [(study_of(name), GRIDS.get(name, no_grids)(results)) for name in STUDIES]
    for claim in ledger.ledger(answers):
        found.setdefault(claim.id, []).append(claim)
    return found


def stored(results: Results, out: Path, weights: bytes | None = None) -> Store:
    store = Store(out)
    for record in results:
        lease = store.lease(record.spec)
        assert lease is not None
        lease.publish(record, weights)
        lease.release()
    return store


def vitexp(*arguments, out):
    code = "from vitexp.cli.main import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments, "--out", str(out)], capture_output=True, text=True
    )


# The ledger


def test_every_claim_of_the_paper_has_an_entry_and_a_next_step_where_there_is_a_study():
    found = judged(Results([]))
    assert len(found) > 40
    assert {claim.standing for claims in found.values() for claim in claims} == {"NOT RUN"}
    assert found["PE1"][0].settle == "Run `vitexp ablate pos-emb`."
    assert found["DS4"][0].settle == "Run `vitexp scale`."
    assert found["CA1"][0].settle == "Run `vitexp ablate compute`."
    assert found["AX2"][0].settle == ""


def test_verdicts_of_all_studies_stand_together_with_their_effects(rng):
    found = judged(Results([*paper_grid(rng, 5), *scale_grid(rng, CROSSING, 5)]))
    (pe1,), (ds4,) = found["PE1"], found["DS4"]
    assert (pe1.standing, ds4.standing) == ("SUPPORTED", "SUPPORTED")
    for claim in (pe1, ds4):
        assert claim.effect is not None and claim.low is not None and claim.high is not None
        assert claim.low < claim.effect < claim.high
        assert (claim.n, claim.dataset) == (5, "digits")
    assert 15 < (pe1.effect or 0) < 45, "in points"
    (pe2,) = found["PE2"]
    assert pe2.standing == "INCONCLUSIVE"
    assert pe2.settle


def test_two_settings_have_an_entry_each_and_are_not_pooled(rng):
    one = list(paper_grid(rng, 3))
    other = [replace(r, spec=replace(r.spec, recipe=replace(r.spec.recipe, lr=3e-3))) for r in one]
    claims = judged(Results([*one, *other]))["PE1"]
    assert len(claims) == 2
    assert not set(claims[0].runs) & set(claims[1].runs)
    rates = [claim.where.rpartition(", grid ")[0] for claim in claims]
    assert rates == ["digits, adamw lr 0.001", "digits, adamw lr 0.003"]
    whole, short = judged(Results([*one, *other[1:]]))["PE1"]
    assert (whole.standing, short.standing) == ("SUPPORTED", "NOT RUN")
    assert short.where == claims[1].where, "what is removed does not go unsaid"


def test_the_command_writes_and_prints_the_ledger(rng, tmp_path):
    (grid,) = of_positions(results := paper_grid(rng, 3))
    stored(results, tmp_path)
    cells = {key: tuple(record.id for record in group.records) for key, group in grid.items()}
    keep(tmp_path, Asked("pos_emb", "pos_emb-0", grid.flags, cells, grid.reference))
    ran = vitexp("claims", "--json", out=tmp_path)
    rows = json.loads(ran.stdout)
    assert [list(row) for row in rows] == [KEYS] * len(rows)
    pe1 = next(row for row in rows if row["id"] == "PE1")
    assert pe1["verdict"] == "SUPPORTED"
    assert len(pe1["runs"]) == 30
    table = list(csv.DictReader((tmp_path / "tables" / "claims.csv").open()))
    assert list(table[0]) == KEYS
    assert len(table) == len(rows)
    assert r"\begin{tabular}" in (tmp_path / "tables" / "claims.tex").read_text()
    assert "PE1 SUPPORTED" in vitexp("claims", out=tmp_path).stdout


@pytest.mark.parametrize("command", ["claims", "table"])
def test_a_folder_without_finished_runs_is_refused_and_nothing_is_written(command, tmp_path):
    (tmp_path / "runs").mkdir()
    for out in (tmp_path, tmp_path / "absent", Path("/proc/nowhere")):
        ran = vitexp(command, out=out)
        assert ran.returncode == 2
        assert f"in {out / 'runs'}." in ran.stderr.splitlines()[0]
        assert "`vitexp ablate pos-emb`" in ran.stderr
    assert list(tmp_path.iterdir()) == [tmp_path / "runs"]


# Comparing


def real(results: Results) -> Results:
    """The same runs, on the digits that are at hand."""
    data, _ = describe("digits")
    return Results(replace(r, spec=replace(r.spec, data=data)) for r in results)


def test_positions_compare_like_the_table_does(rng):
    results = paper_grid(rng, 5)
    a, b = compare.side("learned_1d/stem", results), compare.side("none", results)
    found = compare.differences(a, b, {})[compare.ALL]
    assert found.decision is not None and found.decision.verdict == "better"
    assert found.delta == pytest.approx(
        np.mean([r.metrics["test_top1"] for g in a.groups for r in g.records])
        - np.mean([r.metrics["test_top1"] for g in b.groups for r in g.records])
    )


def test_a_run_stands_for_its_cell_and_a_family_for_the_mean_of_its_models(rng):
    results = scale_grid(rng, CROSSING, 3, fractions=(1.0,))
    one = next(iter(results))
    assert len(compare.side(one.id[:10], results).groups[0].records) == 3
    vits = compare.side("vit", results)
    assert len(vits.groups) == 2
    both = vits.correct([0, 1, 2])
    assert set(np.unique(both)) <= {0.0, 0.5, 1.0}
    found = compare.differences(vits, compare.side("resnet", results), {})
    assert found[compare.ALL].decision is not None


def test_per_class_differences_are_of_that_class_alone(rng, tmp_path):
    cells = draw(rng, [0.95, 0.95], 3, 360)
    results = real(grid({("none", "stem"): cells[0], ("learned_1d", "stem"): cells[1]}))
    stored(results, tmp_path)
    ran = vitexp("compare", "learned_1d", "none", "--json", out=tmp_path)
    rows = {row["images"]: row for row in json.loads(ran.stdout)["rows"]}
    assert len(rows) == 11
    classes = [row for name, row in rows.items() if name != compare.ALL]
    assert sum(row["number"] for row in classes) == rows[compare.ALL]["number"] == 360
    mean = sum(row["difference"] * row["number"] for row in classes) / 360
    assert mean == pytest.approx(rows[compare.ALL]["difference"], abs=0.01)


def test_the_placements_that_a_position_stands_for_are_named(rng):
    with pytest.raises(VitexpError) as caught:
        compare.side("learned_2d", paper_grid(rng, 3))
    for placement in ("stem", "every-layer", "shared"):
        assert f"learned_2d/{placement})" in caught.value.remedy
    for name in ("learned_2d/shared", "2-D shared", "2-d/shared"):
        assert compare.side(name, paper_grid(rng, 3)).label.endswith("learned_2d/shared")


def test_what_cannot_be_compared_is_said(rng):
    results = Results([*scale_grid(rng, CROSSING, 2)])
    with pytest.raises(VitexpError, match="not pooled"):
        compare.side("vit-xxs/2", results)
    other = replace(cell("vit-xxs/2"), recipe=replace(cell("vit-xxs/2").recipe, lr=0.1))
    renamed = replace(other, model=replace(other.model, name="vit-xxs/2 heads=4"))
    twice = Results(done(run, np.ones(360, bool)) for run in (cell("vit-xxs/2"), renamed))
    for name in ("vit", "vit-xxs/2"):
        with pytest.raises(VitexpError, match="stands for 2 settings"):
            compare.side(name, twice)
    with pytest.raises(VitexpError, match="No finished run"):
        compare.side("nothing", results)
    first, second = (Results([done(cell("r11", 1.0, seed), np.ones(360, bool))]) for seed in (0, 1))
    with pytest.raises(VitexpError, match="no seed in common"):
        compare.differences(compare.side("r11", first), compare.side("r11", second), {})
    elsewhere = Results(
        replace(r, spec=replace(r.spec, data=replace(r.spec.data, fingerprint="e" * 16)))
        for r in first
    )
    with pytest.raises(VitexpError, match="different images"):
        compare.differences(compare.side("r11", first), compare.side("r11", elsewhere), {})


def on(data: str, models: tuple[str, ...], seeds: int = 3) -> list[RunRecord]:
    """Runs on a data set of this name."""
    runs = [cell(model, seed=seed) for model in models for seed in range(seeds)]
    named = [replace(r, data=replace(r.data, name=data, fingerprint=data)) for r in runs]
    return [done(run, np.arange(360) % 7 != run.seed) for run in named]


def test_names_on_several_data_sets_are_compared_on_each():
    results = Results([*on("one", ("r11", "vit-xxs/2")), *on("two", ("r11", "vit-xxs/2", "r20"))])
    found = compare.pairs("r11", "vit", results)
    assert [(a.data, b.data) for a, b in found] == [
        ("one at 8 px", "one at 8 px"),
        ("two at 8 px", "two at 8 px"),
    ]
    assert all(len(side.groups[0].records) == 3 for pair in found for side in pair)
    assert [a.data for a, _ in compare.pairs("vit", "R20", results)] == ["two at 8 px"]


def test_of_runs_on_other_images_those_on_the_same_ones_are_named():
    results = Results([*on("one", ("r11", "vit-xxs/2")), *on("two", ("vit-xxs/2", "r20"))])
    ids = {r.id[:8] for r in results if r.spec.data.name == "two" and r.spec.model.vit}
    first = next(r.id for r in results if r.spec.data.name == "one" and r.spec.model.vit)
    with pytest.raises(VitexpError, match=r"r20 on two at 8 px and \w+ on one") as caught:
        compare.pairs("r20", first, results)
    assert any(f"`vitexp compare r20 {run}`" in caught.value.remedy for run in ids)
    with pytest.raises(VitexpError, match="different images") as caught:
        compare.pairs("r20", "r11", results)
    assert "Only runs on the same data set" in caught.value.remedy


# Runs in one file


def two(rng: np.random.Generator) -> Results:
    return grid({("none", "stem"): draw(rng, [0.7], 2, 90)[0]})


def test_an_archive_gives_the_same_runs_elsewhere(rng, tmp_path):
    weights = b"weights"
    sha = hashlib.sha256(weights).hexdigest()
    results = Results(record.with_weights(sha) for record in two(rng))
    store = stored(results, tmp_path / "a", weights)
    packed = archive.packed(store, [r.id for r in results])
    assert packed == archive.packed(store, [r.id for r in results])
    file = tmp_path / "runs.tar.gz"
    file.write_bytes(packed)
    other = Store(tmp_path / "b")
    added, known = archive.unpacked(other, file)
    assert (sorted(added), known) == (sorted(r.id for r in results), [])
    assert {r.id: r for r in other.results()} == {r.id: r for r in results}
    assert (other.folder(added[0]) / "weights.safetensors").read_bytes() == weights
    assert archive.unpacked(other, file) == ([], added)


def test_an_archive_of_a_run_that_is_removed_meanwhile_is_refused(rng, tmp_path, monkeypatch):
    sha = hashlib.sha256(b"weights").hexdigest()
    results = Results(record.with_weights(sha) for record in two(rng))
    store, read = stored(results, tmp_path, b"weights"), Path.read_bytes
    run = next(iter(results)).id

    def removed(path: Path) -> bytes:
        content = read(path)
        if store.folder(run).exists():
            remove(store, run)
        return content

    monkeypatch.setattr(Path, "read_bytes", removed)
    with pytest.raises(VitexpError, match=f"Run {run} was removed"):
        archive.packed(store, [r.id for r in results])


def test_an_import_that_was_stopped_goes_on(rng, tmp_path, monkeypatch):
    results = two(rng)
    store, first = stored(results, tmp_path / "a"), next(iter(results))
    probe = ProbeSpec("few_shot", replace(first.spec.data, name="other"))
    found = Measurement(first.id, probe, {}, {}, {})
    store.keep(first.spec, found)
    file = tmp_path / "runs.tar.gz"
    file.write_bytes(archive.packed(store, [first.id]))
    other = Store(tmp_path / "b")

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Store, "keep", stopped)
        with pytest.raises(KeyboardInterrupt):
            archive.unpacked(other, file)
    assert archive.unpacked(other, file) == ([], [first.id])
    assert other.measurement(first.spec, probe) == found


def test_an_archive_and_the_frame_hold_what_probes_found(rng, tmp_path):
    results = two(rng)
    store, first = stored(results, tmp_path / "a"), next(iter(results))
    run = first.id
    probe = ProbeSpec("few_shot", replace(next(iter(results)).spec.data, name="other"))
    found = Measurement(run, probe, {"few_shot_5_top1": 0.5}, {}, {})
    store.keep(first.spec, found)
    file = tmp_path / "runs.tar.gz"
    file.write_bytes(archive.packed(store, [r.id for r in results]))
    other = Store(tmp_path / "b")
    archive.unpacked(other, file)
    assert other.measurement(first.spec, probe) == found
    assert other.measurements(run) == [found]
    table = frame.frame(results, other.measurements(run)).set_index("id")
    assert table.loc[run, "probe.other.few_shot_5_top1"] == 0.5
    name = f"runs/{run}/measurement-{found.id}.json"
    files = entries(file.read_bytes())
    moved = {n.replace(found.id, "0" * 16): content for n, content in files.items()}
    for wrong in (files | {name: b"{}"}, moved):
        with pytest.raises(VitexpError, match="is damaged"):
            archive.unpacked(Store(tmp_path / "c"), rewritten(tmp_path / "m.tar.gz", wrong))
    assert not (tmp_path / "c").exists()


def entries(packed: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        return {e.name: file.read() for e in tar if (file := tar.extractfile(e))}


def rewritten(path: Path, files: dict[str, bytes], link: str | None = None) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
        if link:
            entry = tarfile.TarInfo(link)
            entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
            tar.addfile(entry)
    return path


@pytest.mark.parametrize(
    "name", ["../evil", "/tmp/evil", "runs/../../evil", "runs/0123456789abcdef/lock", "runs/x/y"]
)
def test_an_archive_with_a_strange_name_is_refused_whole(rng, tmp_path, name):
    store = stored(two(rng), tmp_path / "a")
    files = entries(archive.packed(store, [r.id for r in store.results()]))
    file = rewritten(tmp_path / "x.tar.gz", files | {name: b"x"})
    with pytest.raises(VitexpError, match="no plain file of a run"):
        archive.unpacked(Store(tmp_path / "b"), file)
    assert not (tmp_path / "b").exists()


def test_links_edited_records_and_other_files_are_refused(rng, tmp_path):
    store = stored(two(rng), tmp_path / "a")
    files = entries(archive.packed(store, [r.id for r in store.results()]))
    run = next(name for name in files if name.endswith("result.json"))
    link = run.replace("result.json", "log.jsonl")
    linked = rewritten(tmp_path / "l.tar.gz", files, link)
    with pytest.raises(VitexpError, match="no plain file"):
        archive.unpacked(Store(tmp_path / "b"), linked)
    edited = json.loads(files[run])
    edited["spec"]["seed"] = 77
    changed = rewritten(tmp_path / "e.tar.gz", files | {run: json.dumps(edited).encode()})
    with pytest.raises(VitexpError, match="does not belong to its spec"):
        archive.unpacked(Store(tmp_path / "b"), changed)
    for content in (b"", b"no archive", archive.packed(store, [])[:20]):
        (tmp_path / "n.tar.gz").write_bytes(content)
        with pytest.raises(VitexpError, match="cannot be read"):
            archive.unpacked(Store(tmp_path / "b"), tmp_path / "n.tar.gz")
    assert not (tmp_path / "b").exists()


def test_the_frame_has_a_row_a_run_in_csv_and_parquet(rng, tmp_path):
    mixed: list[RunRecord] = [*two(rng), *scale_grid(rng, CROSSING, 1)]
    table = frame.frame(mixed)
    assert list(table["id"]) == [record.id for record in mixed]
    back = list(csv.DictReader(io.StringIO(frame.csv_bytes(table).decode())))
    assert [float(row["test_top1"]) for row in back] == [r.metrics["test_top1"] for r in mixed]
    read = parquet.read_table(io.BytesIO(frame.parquet_bytes(table))).to_pylist()
    assert [row["id"] for row in read] == [r.id for r in mixed]
    assert read[0]["recipe.lr"] == 1e-3
    stored(Results(mixed), tmp_path)
    loaded = load(tmp_path).set_index("id")
    assert loaded.shape == (len(mixed), table.shape[1] - 1)
    means = loaded.groupby("model.name")["test_top1"].mean()
    own = [r.metrics["test_top1"] for r in mixed if r.spec.model.name == "r11x1.75"]
    assert means["r11x1.75"] == pytest.approx(np.mean(own))
    assert loaded["model.vit.heads"].dtype == "Int64", "whole also where a ResNet has none"
    assert not load(tmp_path / "nothing").shape[0]
    ran = vitexp("runs", "export", str(tmp_path / "x.doc"), out=tmp_path)
    assert ran.returncode == 2
    assert ".parquet" in ran.stderr
