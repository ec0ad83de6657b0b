"""The report page in a real browser: what people do with it, and what it must never do."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.page.made import records, store
from vitexp.cli.main import main
from vitexp.datasets.load import at_hand
from vitexp.page import html, tested

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here")
sync = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

ATTACK = "<img src=x onerror=document.title='owned'>"
NAMED = f"digits {ATTACK}</script><script>document.title='owned'</script>\x1b[31m"


class Seen:
    """A page, and what it asked for and complained about."""

    def __init__(self, page: Any, file: Path) -> None:
        self.page, self.file = page, file
        self.asked: list[str] = []
        self.errors: list[str] = []
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", self._said)
        page.goto(file.as_uri())

    def _said(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(message.text)

    def rows(self, column: int) -> list[str]:
        texts: list[str] = self.page.locator(
            f"#run-rows tr > :nth-child({column})"
        ).all_inner_texts()
        return texts


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync.sync_playwright() as playwright:
        # As root, in a container, Chromium starts without its sandbox only.
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Pages of thirty runs on digits whose name, and whose first class's, are attacks: as it is,
    and as it is without the library."""
    out = store(tmp_path_factory.mktemp("page"), records(3, name=NAMED))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tested, "at_hand", attacked)
        whole = written(out, "report.html")
        patch.setattr(html, "plotting_scripts", list)
        return {"whole": whole, "plain": written(out, "plain.html")}


def attacked(data: Any) -> Any:
    images = at_hand(data)
    assert images is not None
    return dataclasses.replace(images, names=(ATTACK, *images.names[1:]))


def written(out: Path, name: str) -> Path:
    with pytest.raises(SystemExit) as left:
        main(["report", "--out", str(out), "-o", str(out / name)])
    assert not left.value.code
    return out / name


@contextmanager
def opened(browser: Any, file: Path, **options: Any) -> Iterator[Seen]:
    """A page without a network; it must ask for none, fail nowhere and keep its own title."""
    context = browser.new_context(offline=True, **options)
    seen = Seen(context.new_page(), file)
    yield seen
    assert [url[:60] for url in seen.asked if not url.startswith(("file:", "data:"))] == []
    assert seen.errors == []
    assert "owned" not in seen.page.title()
    context.close()


@pytest.fixture
def seen(browser: Any, files: dict[str, Path]) -> Iterator[Seen]:
    with opened(browser, files["whole"]) as seen:
        yield seen


def read_off(page: Any, canvas: Any) -> str:
    """What is said of a curve where the pointer, on its way down, meets one."""
    canvas.wait_for()
    canvas.scroll_into_view_if_needed()
    box, said = canvas.bounding_box(), page.locator(".bk-tooltip-content:visible")
    for share in range(20, 100, 2):
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] * share / 100)
        page.wait_for_timeout(30)
        if said.count():
            break
    found: str = said.first.inner_text()
    return found


def test_a_cell_opens_what_is_behind_it_and_its_curves_can_be_read(seen):
    page = seen.page
    assert "\x1b" not in page.content()
    field = page.get_by_role("button", name="n 3").nth(2)
    field.click()
    panel = page.locator(".panel:visible")
    assert field.get_attribute("aria-expanded") == "true"
    assert panel.locator("h3").inner_text() == "1-D, every-layer"
    assert "model.vit.position.placement" in panel.inner_text()
    assert "vitexp ablate pos-emb --dataset digits --seeds 3" in panel.inner_text()
    assert panel.get_by_text(ATTACK).first.is_visible()
    assert panel.locator(".tiles img").count() > 3
    assert panel.locator(".matrix tbody tr").count() == 10
    assert panel.get_by_role("region", name="Seeds").locator("tbody tr").count() == 3
    panel.get_by_label("Lay another cell over it").select_option(label="none")
    assert panel.locator(".legend li").all_inner_texts() == ["1-D, every-layer", "none"]
    assert "step:" in read_off(page, panel.locator(".curves canvas").first)
    assert page.evaluate("location.hash").startswith("#pos_emb-")


def test_runs_are_sorted_filtered_and_chosen(seen):
    page = seen.page
    assert len(seen.rows(1)) == 30
    page.get_by_label("Filter").fill("learned_1d SHARED")
    assert len(seen.rows(1)) == 3
    assert page.locator("#run-count").inner_text() == "3 of 30 runs"
    page.get_by_label("Filter").fill("")
    page.get_by_role("button", name="test top-1").click()
    # The last column but one, before the time.
    top1 = [float(text) for text in seen.rows(page.locator("#run-list thead th").count())]
    assert top1 == sorted(top1, reverse=True)
    assert page.locator('[aria-sort="descending"]').inner_text().startswith("test top-1")
    page.locator("#run-rows input").first.check()
    assert page.locator("#run-curves .legend li").count() == 1
    page.locator("[data-runs]").first.click()
    assert "runs behind PE" in page.locator("#run-only").inner_text()


def test_the_keyboard_is_enough(seen):
    page = seen.page
    page.locator("[data-cell]").first.focus()
    page.keyboard.press("Enter")
    panel = page.locator(".panel:visible")
    assert page.evaluate("document.activeElement.closest('.panel') !== null")
    page.keyboard.press("Escape")
    assert panel.count() == 0
    assert page.evaluate("document.activeElement.matches('[data-cell]')")


def test_it_turns_dark_prints_and_fits_a_narrow_window(seen):
    page = seen.page

    def paper() -> str:
        colour: str = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return colour

    light = paper()
    page.get_by_role("button", name="Show in dark colours").click()
    assert paper() != light
    page.locator("[data-cell]").first.click()
    page.locator(".curves canvas").first.wait_for()
    page.set_viewport_size({"width": 360, "height": 740})
    page.wait_for_function("document.documentElement.scrollWidth <= 360")
    assert page.pdf().startswith(b"%PDF")
    page.emulate_media(media="print")
    assert paper() == light
    assert not page.locator("nav").is_visible()


def test_without_the_library_curves_are_drawn_as_svg(browser, files):
    with opened(browser, files["plain"], color_scheme="dark") as seen:
        seen.page.locator("[data-cell]").nth(1).click()
        assert seen.page.locator(".curves svg").count() == 3
        assert seen.page.locator(".curves polyline").count() == 9
