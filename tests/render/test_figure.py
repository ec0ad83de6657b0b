"""Figures: what can be read from them, in grey, at the size of a page, whatever the numbers are."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch
from matplotlib.path import Path
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

from tests.plans import by_fraction, by_position, sorted_into
from tests.scale_grid import CROSSING, scale_grid
from tests.synthetic import PAPER_CELLS, grid, paper_grid, record, spec
from vitexp.render.figure import draw, drawn
from vitexp.render.log_axis import limits, ticks
from vitexp.reporting.report import (
    CurveFigure,
    Interval,
    IntervalFigure,
    Panel,
    Report,
    Series,
    Span,
    TraceFigure,
    TracePanel,
)
from vitexp.runs.record import Results
from vitexp.studies.compute.paper import paper_report
from vitexp.studies.data_size.study import DataSize
from vitexp.studies.pos_emb.cells import NONE
from vitexp.studies.pos_emb.study import PosEmb


@pytest.fixture(scope="module")
def positions() -> Report:
    study, made = PosEmb(), paper_grid(np.random.default_rng(3))
    return study.report(sorted_into(study, made, by_position, NONE))


@pytest.fixture(scope="module")
def sizes() -> Report:
    study, made = DataSize(), scale_grid(np.random.default_rng(3), CROSSING, seeds=3)
    return study.report(sorted_into(study, made, by_fraction))


@pytest.fixture(scope="module")
def of_positions(positions: Report) -> Figure:
    return rendered(positions)


@pytest.fixture(scope="module")
def of_sizes(sizes: Report) -> Figure:
    return rendered(sizes)


def rendered(report: Report) -> Figure:
    picture = draw(report.figures[0])
    FigureCanvasAgg(picture).draw()
    return picture


def interval_figure(*panels: Panel, rows: int = 1) -> IntervalFigure:
    return IntervalFigure("t", tuple(("", f"row {i}") for i in range(rows)), panels, "seed")


def panel(*intervals: Interval, baseline: float | None = None) -> Panel:
    bounds = (0.0, 100.0) if baseline is None else (-np.inf, np.inf)
    return Panel("x (m)", intervals, "in", "out", baseline=baseline, bounds=bounds)


def xs(line: Line2D) -> tuple[float, ...]:
    return tuple(np.asarray(line.get_xdata(), float).tolist())


def named(picture: Figure) -> dict[str, Line2D]:
    """What the legend says of each mark."""
    (legend,) = picture.legends
    handles = [h for h in legend.legend_handles if isinstance(h, Line2D)]
    return {t.get_text(): h for t, h in zip(legend.get_texts(), handles, strict=True)}


def caption(picture: Figure) -> str:
    return picture.legends[0].get_title().get_text()


def apart(boxes: Sequence[Bbox], others: Sequence[Bbox]) -> bool:
    return not any(box.overlaps(other) for box in boxes for other in others)


def test_a_family_has_one_colour_in_every_figure(of_positions: Figure, of_sizes: Figure) -> None:
    paper, own = named(draw(paper_report().figures[0])), named(of_sizes)
    for family in ("ViT", "ResNet"):
        colours = {h.get_color() for name, h in own.items() if name.startswith(f"{family} ")}
        assert colours == {paper[family].get_color()}
    assert len({h.get_marker() for name, h in own.items() if "MACs" in name}) == 3, "in grey"
    lines = tuple(Series(f"{kind} stem", ((1, 2), (2, 3))) for kind in ("2-D", "1-D"))
    families = tuple((line.name, line.name.split()[0]) for line in lines)
    curves = TraceFigure("t", "step", (TracePanel("loss", lines),), families=families)
    (axis,) = draw(curves).axes
    groups = {t.get_text(): t.get_color() for t in of_positions.axes[0].texts}
    assert [line.get_color() for line in axis.lines] == [groups["2-D"], groups["1-D"]]


def test_every_figure_says_what_it_was_measured_on(of_positions: Figure, of_sizes: Figure) -> None:
    assert caption(of_positions) == ("3 seeds; 360 test images; vit-digits; 400 steps; chance 10 %")
    assert caption(of_sizes).startswith(
        "3 seeds; 360 test images; vit-xxs/2, r11x1.75, vit-xs/2; 400 steps; chance 10 %"
    )


def test_no_two_texts_of_a_figure_overlap(of_positions: Figure) -> None:
    picture = of_positions
    # Matplotlib keeps the labels of ticks outside of the axis; they are not drawn.
    outside = [
        label
        for axis in picture.axes
        for label in axis.get_xticklabels()
        if not axis.get_xlim()[0] <= label.get_position()[0] <= axis.get_xlim()[1]
    ]
    texts = [t for t in picture.findobj(Text) if isinstance(t, Text) and t not in outside]
    texts = [text for text in texts if text.get_text() and text.get_visible()]
    boxes = [text.get_window_extent() for text in texts]
    assert len(boxes) > 20
    for index, box in enumerate(boxes):
        assert apart([box], boxes[:index]), texts[index].get_text()


def test_each_seed_and_both_intervals_are_seen() -> None:
    """The thin one's ends stand out of the thick one, where it is the shorter one, too."""
    wide = Interval(0, 3.0, inner=(2.0, 4.0), outer=(2.5, 3.5), points=(2.75, 3.25))
    (axis,) = draw(interval_figure(panel(wide))).axes
    lines = {xs(line): line for line in axis.lines}
    assert {(2.0, 4.0), (2.5, 3.5), (2.75, 3.25), (3.0,)} == set(lines)
    thick, thin = lines[2.0, 4.0], lines[2.5, 3.5]
    assert thin.get_marker() == "|" and thin.get_markersize() > 2 * thick.get_linewidth()
    assert thin.get_zorder() > thick.get_zorder()
    assert axis.get_xlabel() == "x (m)"


def test_the_thin_interval_of_a_difference_is_the_one_that_decides(positions: Report) -> None:
    figure = positions.figures[0]
    assert isinstance(figure, IntervalFigure)
    difference = figure.panels[1]
    assert difference.outer == "what decides: 96.2 %, widened for all 9 together"
    assert {interval.row for interval in difference.intervals} == set(range(1, 10))
    for interval in difference.intervals:
        row = positions.rows[interval.row]
        assert interval.inner is not None and interval.outer is not None
        assert interval.inner == pytest.approx((row["delta_low"], row["delta_high"]), abs=1e-3)
        low, high = interval.outer
        verdict = "better" if low > 0 else "worse" if high < 0 else "undecided"
        assert row["verdict"] == verdict
        assert low < interval.inner[0] and high > interval.inner[1]


def test_panels_share_their_scale_and_nothing_is_cut_at_100_percent() -> None:
    low, full = Interval(0, 62.0, (60, 64)), Interval(0, 100.0, (97, 100), points=(100.0,))
    gap = Interval(0, 5.0, (-20, 30))
    axes = draw(interval_figure(panel(low), panel(full), panel(gap, baseline=0))).axes
    one, other, difference = (axis.get_xlim() for axis in axes)
    assert one == other
    assert one[0] < 60 and 100 < one[1] < 103
    assert difference[1] - difference[0] == pytest.approx(one[1] - one[0])


def test_small_intervals_beside_large_distances_get_a_close_up() -> None:
    rows = (98.5, 97.3, 98.1, 74.8, 19.6)
    near = tuple(Interval(i, mean, (mean - 1, mean + 1)) for i, mean in enumerate(rows))
    picture = draw(interval_figure(panel(*near), rows=5))
    whole, close = picture.axes
    assert close.get_xlabel().startswith("Close-up")
    assert whole.get_xlim()[0] < 19 < 96 < close.get_xlim()[1] - 4 < 97
    assert sum(line.get_marker() == "<" for line in close.lines) == 2
    alone = tuple(Interval(i, mean, (mean - 9, mean + 1)) for i, mean in enumerate(rows))
    assert len(draw(interval_figure(panel(*alone), rows=5)).axes) == 1


@pytest.mark.parametrize("correct", [1.0, 0.1])
def test_values_all_alike_are_drawn(correct: float) -> None:
    study = PosEmb()
    cells = {key: np.arange(360) < 360 * np.full((2, 1), correct) for key in PAPER_CELLS}
    cells["relative", "stem"] = cells["relative", "stem"][:1]
    said = study.report(sorted_into(study, grid(cells), by_position, NONE))
    picture = draw(said.figures[0])
    low, high = picture.axes[0].get_xlim()
    assert low < 100 * correct < high
    assert ("chance, 10 %" in named(picture)) == (correct == 0.1)


def test_a_cell_that_diverged_says_so_in_its_row() -> None:
    study, seeds = PosEmb(), range(3)
    made = [r for r in paper_grid(np.random.default_rng(3)) if r.spec.position.kind != "relative"]
    lost = [record(spec("relative", "stem", seed), None) for seed in seeds]
    said = study.report(sorted_into(study, Results([*made, *lost]), by_position, NONE))
    (figure,) = said.figures
    assert isinstance(figure, IntervalFigure)
    assert figure.panels[0].notes == ((7, "diverged"),)
    assert figure.setting.startswith("0 to 3 seeds")
    assert "diverged" in {text.get_text() for text in draw(figure).axes[0].texts}


def test_a_name_is_text_of_any_length() -> None:
    name = "$a_b$ \\frac{" + 40 * "long name " + "$"
    figure = IntervalFigure(name, ((name, name),), (panel(Interval(0, 3.0)),), "seed", "", name)
    svg = drawn(figure)["svg"].decode()
    assert svg.count('<g id="axes_') == 1


def test_a_curve_figure_shows_points_intervals_and_a_place_with_its_interval() -> None:
    series = Series("a", ((1, 2), (10, 4)), ((1.5, 2.5), (3.5, 4.5)), dots=((1, 2.2),))
    place = Span("here", 3.0, 2.0, None)
    nowhere = Span("no crossing", None, None, None)
    figure = CurveFigure("t", "x (n)", "y", (series,), spans=(place, nowhere))
    axis, strip = draw(figure).axes
    drawn_xs = [xs(line) for line in axis.lines]
    assert {(1.0, 10.0), (1.0, 1.0), (10.0, 10.0), (1.0,), (3.0, 3.0)} == set(drawn_xs)
    assert [t.get_text() for t in strip.texts] == ["here", "no crossing"]
    low, high = axis.get_xlim()
    assert [xs(line) for line in strip.lines] == [(2.0, high), (2.0,), (high,), (3.0,)]
    assert strip.get_xlim() == (low, high)
    assert axis.get_xscale() == "log"


def test_notes_and_legend_lie_beside_the_data(of_sizes: Figure) -> None:
    axis, strip = of_sizes.axes
    data = axis.get_window_extent()
    assert not axis.texts and axis.get_legend() is None
    assert len(strip.texts) == 2
    (legend,) = of_sizes.legends
    assert apart([data], [legend.get_window_extent(), strip.get_window_extent()])
    for above, below in pairwise(strip.texts):
        assert apart([above.get_window_extent()], [below.get_window_extent()])
    boxes = [text.get_window_extent() for text in strip.texts]
    assert apart(boxes, [_ink(strip, line) for line in strip.lines])


def _ink(axis: Axes, line: Line2D) -> Bbox:
    points = axis.transData.transform(np.asarray(line.get_xydata()))
    return Bbox([points.min(axis=0) - 1, points.max(axis=0) + 1])


def test_labels_keep_clear_of_points_and_of_one_another() -> None:
    points = ((100.0, 90.0), (104.0, 90.02), (3000.0, 95.0), (50.0, 88.0))
    names = ("one model", "another model", "a third", "a fourth")
    bands = ((89.0, 91.0), None, (94.0, 96.0), None)
    series = Series("a", points, bands, labels=names)
    picture = draw(CurveFigure("t", "x", "y", (series,), joined=False))
    FigureCanvasAgg(picture).draw()
    (axis,) = picture.axes
    boxes = [text.get_window_extent() for text in axis.texts]
    assert len(boxes) == 4
    assert apart(boxes, [_ink(axis, line) for line in axis.lines if len(xs(line)) > 0][:2])
    for index, box in enumerate(boxes):
        assert apart([box], boxes[:index])


def test_labels_of_a_crowded_figure_keep_clear_of_its_lines_and_ties() -> None:
    (axis,) = rendered(paper_report()).axes
    texts = [text for text in axis.texts if isinstance(text, Annotation)]
    drawn_lines = [line for line in axis.lines if line.get_linestyle() != "None"]
    paths = [Path(axis.transData.transform(line.get_xydata())) for line in drawn_lines]
    ties = {id(text): _tie(text.arrow_patch) for text in texts if text.arrow_patch}
    assert (len(texts), len(paths)) == (18, 3)
    assert ties
    for text in texts:
        box = Text.get_window_extent(text)
        others = [tie for owner, tie in ties.items() if owner != id(text)]
        assert not any(path.intersects_bbox(box, filled=False) for path in [*paths, *others])


def _tie(arrow: FancyArrowPatch) -> Path:
    return arrow.get_transform().transform_path(arrow.get_path())


@pytest.mark.parametrize("places", [[5], [5, 5.5], [1, 2], [39, 1293], [80, 900], [2, 4e9]])
def test_a_log_axis_has_three_labels_at_least(places: list[float]) -> None:
    ends = limits(places)
    assert ends[0] < min(places) and max(places) < ends[1]
    assert 3 <= len(ticks(ends)) <= 8
    given = [(place, f"{place} %") for place in places]
    found = ticks(ends, given)
    assert len(found) >= 3 and set(given) <= set(found)
    assert all(ends[0] <= place <= ends[1] for place, _ in found)
