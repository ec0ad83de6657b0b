"""The report page as a file: what is in it, how large it is, when it is written."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from tests.commands import call, read
from tests.page.made import records, store
from vitexp.page import html, watch
from vitexp.page.data import embedded
from vitexp.page.prose import prose
from vitexp.page.traces import thinned


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty runs of one study, and one folder that nobody can read."""
    out = store(tmp_path_factory.mktemp("report"), records(3))
    (out / "runs" / "bad").mkdir()
    (out / "runs" / "bad" / "spec.json").write_text("{}")
    return out


def kept(file: Path) -> dict[str, object]:
    """What a page's script is given."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', file.read_text())
    assert found
    value: dict[str, object] = json.loads(found[1])
    return value


def test_one_file_holds_each_run_and_what_is_behind_each_number(out, capsys, monkeypatch):
    monkeypatch.setattr(html, "plotting_scripts", list)
    said = read(capsys, "report", "--out", out)
    file = Path(said["file"])
    assert file == out / "report.html" and said["bytes"] == file.stat().st_size < 1_000_000
    text, data = file.read_text(), kept(file)
    assert "No positional embedding is clearly worse" in text
    assert 'src="data:image/svg+xml;base64,' in text
    assert not re.search(r'(src|href)="(?!data:|#)', text)
    runs, cells = data["runs"], data["cells"]
    assert isinstance(runs, dict) and isinstance(cells, list)
    assert len(runs["id"]) == 31 and "unreadable" in runs["state"]["values"]
    assert [cell["name"] for cell in cells][:3] == ["none", "1-D, stem", "1-D, every-layer"]
    third = cells[2]
    assert {runs["seed"][run] for run in third["runs"]} == {0, 1, 2}
    assert ["model.vit.position.placement", "every-layer", "stem"] in third["settings"]
    assert third["beside"] == "1-D, stem"
    confusion = third["tested"]["confusion"]
    assert confusion["seeds"] == 3 and all(
        (own + 1) % 10 == taken for own, taken, _ in confusion["pairs"]
    )
    # Its classes' shares are those of its bits.
    _, images, share = np.array(third["tested"]["classes"]).T
    top1 = [runs["numbers"]["test_top1"][run] for run in third["runs"]]
    assert np.average(share, weights=images) == pytest.approx(np.mean(top1), abs=1e-3)


def test_nothing_to_report_on_is_said(tmp_path, capsys):
    code, _, err = call(capsys, "report", "--out", tmp_path)
    assert code == 2 and "No runs in" in err and "vitexp ablate pos-emb" in err
    assert not (tmp_path / "report.html").exists()


def test_a_page_that_follows_runs_is_written_after_each_change(out, monkeypatch):
    written: list[int] = []
    monkeypatch.setattr(watch, "PERIOD", 0)

    def write() -> None:
        written.append(len(written))
        if len(written) == 2:
            # Comes while the page is written, so that the next look has to see it.
            (out / "runs" / "bad" / "another").touch()

    watch.follow(out, write, looks=3)
    assert len(written) == 1
    (out / "runs" / "bad" / "new").touch()
    watch.follow(out, write, looks=3)
    assert len(written) == 3


def test_what_people_named_ends_no_element_and_steers_no_reader():
    text = embedded({"</script><b>": ["\x1b[31m\u202e", "\u2028", 0.5, None]})
    assert "<" not in text and "\x1b" not in text
    assert json.loads(text) == {"</script><b>": ["?[31m?", "\u2028", 0.5, None]}
    assert prose("`a<b` & <i>\x1b") == "<code>a&lt;b</code> &amp; &lt;i&gt;?"


def test_a_long_course_keeps_its_ends():
    course = [{"step": float(step)} for step in range(1000)]
    steps = [point["step"] for point in thinned(course, 50)]
    assert len(steps) == 50 and (steps[0], steps[-1]) == (0, 999)
    assert np.ptp(np.diff(steps)) <= 1
    assert thinned(course[:50], 50) == course[:50]
