"""Drawers: what stands on disk and on the screen is what the report says."""

from __future__ import annotations

import csv
import io
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from tests.plans import by_position, sorted_into
from tests.synthetic import paper_grid
from vitexp.errors import VitexpError
from vitexp.render import write, write_figures, write_tables
from vitexp.render.console import console
from vitexp.render.csv_table import csv_text
from vitexp.render.latex import latex
from vitexp.render.markdown import markdown
from vitexp.reporting.report import (
    Cell,
    GridTable,
    Report,
)
from vitexp.studies.pos_emb.cells import NONE
from vitexp.studies.pos_emb.study import PosEmb


@pytest.fixture(scope="module")
def report() -> Report:
    study = PosEmb()
    return study.report(sorted_into(study, paper_grid(np.random.default_rng(3)), by_position, NONE))


def nasty(text: str) -> Report:
    """A report in which every text is ``text``."""
    cell = Cell(text, (text,))
    table = GridTable(text, text, (text,), ((cell, (cell,)),))
    return Report("x", text, ((text, text),), (table,), ("a",), ({"a": text},), (), (), (text,))


def shown(report: Report, width: int, encoding: str = "utf-8") -> str:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding)
    Console(file=file, width=width, color_system=None).print(console(report))
    file.flush()
    return raw.getvalue().decode(encoding)


@pytest.fixture(scope="module")
def written(report: Report, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write(report, tmp_path_factory.mktemp("out") / "new")


def test_all_files_are_written_under_out(written: list[Path]) -> None:
    out = written[0].parents[1]
    names = {str(path.relative_to(out)) for path in written}
    assert names == {
        *("tables/pos_emb.md", "tables/pos_emb.csv", "tables/pos_emb.tex"),
        *(f"plots/pos_emb.{ending}" for ending in ("png", "svg", "pdf", "csv")),
    }
    on_disk = {p for p in out.rglob("*") if p.is_file()}
    assert on_disk == set(written)
    assert all(path.stat().st_mode & 0o444 == 0o444 for path in written)


def test_the_same_report_gives_the_same_bytes(
    report: Report, written: list[Path], tmp_path: Path
) -> None:
    again = write(report, tmp_path)
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in written]


def test_ctrl_c_ends_the_writing_of_tables_at_any_moment(report, tmp_path, monkeypatch):
    replace = os.replace

    def interrupted(*paths: Any) -> None:
        replace(*paths)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_tables(report, tmp_path)
    assert [path.name for path in (tmp_path / "tables").iterdir()] == ["pos_emb.md"]


def test_a_folder_that_cannot_be_written_is_one_error(report: Report, tmp_path: Path) -> None:
    (tmp_path / "tables").write_text("in the way")
    with pytest.raises(VitexpError, match="cannot be written") as caught:
        write_tables(report, tmp_path)
    assert "--out" in caught.value.remedy
    (tmp_path / "plots" / "pos_emb.png").mkdir(parents=True)
    with pytest.raises(VitexpError, match="cannot be written"):
        write_figures(report, tmp_path)
    assert [p.name for p in (tmp_path / "plots").iterdir()] == ["pos_emb.png"]


def test_the_csv_reads_back(report: Report) -> None:
    rows = list(csv.DictReader(io.StringIO(csv_text(report))))
    assert len(rows) == 10
    assert tuple(rows[0]) == report.columns
    assert rows[0]["delta_none"] == ""
    assert float(rows[1]["top1_mean"]) == report.rows[1]["top1_mean"]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t"])
def test_a_text_in_the_csv_is_never_a_formula(start: str) -> None:
    (row,) = csv.DictReader(io.StringIO(csv_text(nasty(f"{start}cmd|' /C calc'!A0"))))
    assert row["a"].startswith(f"'{start}")


def test_negative_numbers_in_the_csv_stay_numbers() -> None:
    report = replace(nasty("x"), rows=({"a": -1.5},))
    assert csv_text(report) == "a\n-1.5\n"


def test_markdown_has_a_line_a_row_and_equal_columns(report: Report) -> None:
    lines = [line for line in markdown(report).splitlines() if line.startswith("|")]
    grid, claims = lines[:6], lines[6:]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in grid} == {5}
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in claims} == {4}
    assert "| N/A | N/A |" in grid[2]
    assert "**PE1**" in claims[2]


def test_markdown_markup_in_a_name_is_text() -> None:
    said = markdown(nasty("a|b *c* <script> `d|e`"))
    table = [line for line in said.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in table} == {3}
    assert r"a\|b \*c\* \<script\>" in said
    assert "<script>" not in said.replace(r"\<script\>", "")


def test_latex_is_a_booktabs_table_with_even_rows(report: Report) -> None:
    said = latex(report)
    for rule in (r"\toprule", r"\midrule", r"\bottomrule", "booktabs"):
        assert rule in said
    body = said[said.index(r"\midrule") : said.index(r"\bottomrule")]
    rows = [line for line in body.splitlines() if line.endswith(r"\\")]
    assert {line.count("&") for line in rows} == {3}
    assert r"$\pm$" in body
    assert not re.search(r"[±−×]", said)
    assert re.findall(r"\\begin\{(\w+)\}", said) == ["table", "tabular", "minipage"]


def test_latex_specials_in_a_name_are_text() -> None:
    said = latex(nasty(r"50% & a_b #1 $x$ {y} \input z~ ^ [2]"))
    wanted = (
        r"50\% \& a\_b \#1 \$x\$ \{y\} \textbackslash{}input"
        r" z\textasciitilde{} \textasciicircum{} {[}2]"
    )
    assert wanted in said
    assert r"\input" not in said


def test_the_grid_fits_80_columns(report: Report) -> None:
    said = shown(report, 80)
    assert max(map(len, said.splitlines())) <= 80
    for text in ("every-layer", "N/A", "better", "PE2 INCONCLUSIVE", "paper 64.2 (+2.8)"):
        assert text in said
    header = next(line for line in said.splitlines() if "every-layer" in line)
    assert "shared" in header
    assert "…" not in said


def test_a_narrow_terminal_gets_every_number_in_a_list(report: Report) -> None:
    wide, narrow = shown(report, 80), shown(report, 40)
    assert max(map(len, narrow.splitlines())) <= 40
    assert "…" not in narrow
    numbers = re.findall(r"[+−]\d+\.\d \[.*?\]", wide)
    assert len(numbers) == 9
    assert all(number in narrow for number in numbers)


def test_a_terminal_without_unicode_gets_ascii(report: Report) -> None:
    said = shown(report, 80, encoding="ascii")
    assert "+/-" in said
    assert "8x8" in said
    assert r"\u" not in said
    assert "\\xe9" in shown(nasty("café"), 80, encoding="ascii")


def test_square_brackets_are_no_markup_on_the_terminal() -> None:
    assert "[red]x[/red]" in shown(nasty("[red]x[/red]"), 80)


def test_the_pictures_are_whole(written: list[Path]) -> None:
    png, svg, pdf, _ = written[-4:]
    pixels = np.asarray(Image.open(png).convert("L"))
    assert pixels.shape[1] > 1200
    # Ink keeps clear of the borders, so nothing is cut off.
    for border in (pixels[:4], pixels[-4:], pixels[:, :4], pixels[:, -4:]):
        assert border.min() == 255
    assert 0.005 < (pixels < 128).mean() < 0.3
    assert ElementTree.parse(svg).getroot().tag.endswith("svg")
    assert b"<dc:date>" not in svg.read_bytes()
    assert pdf.read_bytes().startswith(b"%PDF-")


def test_a_hostile_data_set_name_stays_text() -> None:
    name = '=HYPERLINK("x")\\input{/etc/passwd}<script>|$a_b%`../\n'
    records = [
        replace(record, spec=replace(record.spec, data=replace(record.spec.data, name=name)))
        for record in paper_grid(np.random.default_rng(3))
    ]
    study = PosEmb()
    hostile = study.report(sorted_into(study, records, by_position, NONE))
    assert "/" not in hostile.stem
    assert "\\input" not in latex(hostile)
    assert "<script>" not in markdown(hostile).replace("\\<script\\>", "")
    fields = [field for row in csv.reader(io.StringIO(csv_text(hostile))) for field in row]
    assert not any(field.startswith(("=", "@")) for field in fields)
    assert "HYPERLINK" in shown(hostile, 80)
