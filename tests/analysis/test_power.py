"""What seeds and images will find: against made-up tables, and as the command says it."""

from __future__ import annotations

import numpy as np
import pytest

from tests.commands import call, read
from tests.plans import by_position, sorted_into
from tests.synthetic import PAPER_CELLS, draw, grid
from tools.honesty.conditions import APART, SOME
from tools.honesty.rules import differences, ours
from tools.honesty.tables import draw as tables
from tools.honesty.tables import generator
from vitexp.analysis.decide import LOOKS
from vitexp.analysis.power import CHANCE, Power, Variances, variances
from vitexp.studies.pos_emb.study import PosEmb
from vitexp.tasks import power


@pytest.mark.parametrize("c", [APART[0], APART[4], SOME[1]], ids=lambda c: c.name)
def test_the_chance_is_how_often_the_bench_finds_it(c):
    many = tables(c, generator(c.name, 7), 150, LOOKS[-1])
    seen = variances((t[1].astype(np.int8) - t[0]) for t in many[:40])
    able, effect = Power(seen, c.cells - 1), float(abs(c.accuracy[1] - c.accuracy[0]))
    for n in LOOKS:
        found = ours(differences(many, n))[:, 0].mean()
        error = 2 * np.sqrt(found * (1 - found) / len(many))
        assert able.chance(effect, n, c.images) == pytest.approx(found, abs=0.15 + error)


def test_more_seeds_and_more_images_find_smaller_differences():
    able = Power(Variances(seed=1e-4, image=0.05, both=0.05), among=9)
    by_seeds = [able.smallest(n, 2000) for n in LOOKS]
    assert by_seeds == sorted(by_seeds, reverse=True)
    assert able.smallest(5, 8000) < able.smallest(5, 500)
    for n in LOOKS:
        assert able.chance(able.smallest(n, 2000), n, 2000) == pytest.approx(CHANCE, abs=1e-3)
        images = able.images(0.03, n)
        if images is not None:
            assert able.chance(0.03, n, images) >= CHANCE > able.chance(0.03, n, images - 1)
    assert Power(able.variances, 1).smallest(3, 2000) < able.smallest(3, 2000)


def test_no_number_of_images_helps_where_seeds_decide():
    able = Power(Variances(seed=1e-2, image=0.01, both=0.01), among=1)
    assert able.images(0.05, 3) is None
    assert able.smallest(3, 10**6) > 0.05


def test_variances_are_those_of_cells_that_differ_by_about_the_effect(tmp_path, monkeypatch):
    """Nine cells are alike; the tenth is far off, and varies over images by that alone."""
    drawn = draw(np.random.default_rng(3), [0.5, *[0.9] * 9], 4, 2000, image_luck=0.1)
    done = grid(dict(zip(PAPER_CELLS, drawn, strict=True)))
    whole = sorted_into(PosEmb(), done, by_position, ("none", "stem"))
    monkeypatch.setattr(
        power, "grids", lambda study, *_: [whole] if study.stem == "pos_emb" else []
    )
    small, large = (power.seen(tmp_path, done, "digits", effect) for effect in (0.001, 0.4))
    assert small.pairs == large.pairs == 15
    assert small.variances.image < 0.3 * large.variances.image
    assert "there are no runs on other here" in power.seen(tmp_path, done, "other", 0.01).where


def test_the_command_says_what_it_takes(capsys, tmp_path):
    value = read(capsys, "power", "--effect", 3, "--images", 10_000, "--out", tmp_path)
    assert [look["seeds"] for look in value["looks"]] == list(LOOKS)
    assert value["test_images"] == 10_000
    able = Power(next(c for c in power.catalogue() if c.where == "digits").variances, 9)
    for look in value["looks"]:
        assert look["chance"] == pytest.approx(able.chance(0.03, look["seeds"], 10_000), abs=1e-3)
    code, out, _ = call(capsys, "power", "--effect", 3, "--images", 10_000, "--out", tmp_path)
    assert code == 0
    assert "find 3 points." in out
    code, _, said = call(capsys, "power", "--effect", 0, "--out", tmp_path)
    assert (code, "--effect is 0" in said) == (2, True)
