"""The bench of made-up tables: it judges as the program does, and it can tell rules apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tools.honesty import folds
from tools.honesty.claims import ASKED, answer
from tools.honesty.conditions import APART, SAME, SOME
from tools.honesty.measure import measure
from tools.honesty.page import page
from tools.honesty.rules import BEFORE, OURS, RULES, differences, ours
from tools.honesty.tables import Condition, draw, generator
from tools.honesty.until import until_decided
from vitexp.analysis.decide import LOOKS, decide
from vitexp.analysis.together import joint, together
from vitexp.analysis.two_way import estimate
from vitexp.experiment.looks import state

TABLES = 200
"""A rate of 0.05 is then known to +- 0.03 (two standard errors)."""


def named(part: str) -> Condition:
    return next(c for c in (*SAME, *SOME, *APART) if c.name == part)


@pytest.mark.parametrize(
    "name", ["sd 0.5", "72 images, 95 %", "one in twenty collapses", "2 cells"]
)
def test_many_tables_at_once_are_judged_as_the_program_judges_one(name):
    c = named(name)
    correct = draw(c, generator(c.name, 1), 6, LOOKS[-1])
    for n in LOOKS:
        d = differences(correct, n)
        verdicts, joints = ours(d), joint(d, c.cells - 1)
        for t, table in enumerate(correct.astype(np.int8)):
            one = {k: estimate(cell[:n] - table[0, :n]) for k, cell in enumerate(table[1:])}
            both, decisions = together(one), decide(one)
            for k in one:
                assert joints.p[t, k] == pytest.approx(both[k].p)  # type: ignore[index]
                assert joints.lower(0.01)[t, k] == pytest.approx(both[k].lower(0.01))  # type: ignore[index]
                assert verdicts[t, k] == (decisions[k].verdict != "undecided")


@pytest.mark.parametrize("name", ["sd 0.5", "gap 0.8, sd 0.3", "72 images"])
def test_seeds_for_what_is_open_are_added_as_the_program_adds_them(name):
    c = named(name)
    correct = draw(c, generator(c.name, 6), 4, LOOKS[-1])
    settled = until_decided([differences(correct, n) for n in LOOKS])
    for t, table in enumerate(correct.astype(np.int8)):
        cells, ended = list(range(c.cells - 1)), dict[int, tuple[int, str]]()
        for n in LOOKS:
            there = {k: estimate(table[k + 1, :n] - table[0, :n]) for k in cells}
            decisions = decide(there, among=c.cells - 1)
            ended |= {k: (n, decisions[k].verdict) for k in cells}
            cells = [k for k in cells if state(decisions[k].outlook) == "open"]
        signs = [{"better": 1, "worse": -1, "undecided": 0}[said] for _, said in ended.values()]
        assert settled.signs[t].tolist() == signs
        assert settled.seeds[t].tolist() == [n for n, _ in ended.values()]


@pytest.mark.parametrize(
    "name",
    ["the reference 5 times the sd", "heavy tails (t, 3 degrees)", "gap 1.6, sd 0.5"],
)
def test_a_made_up_cell_has_the_accuracy_that_it_should(name):
    c = named(name)
    correct = draw(c, generator(c.name, 2), 400, 10)
    tables = correct.mean(axis=(2, 3))
    error = tables.std(axis=0) / 20
    assert np.all(np.abs(tables.mean(axis=0) - c.accuracy) < 4 * error)


def test_few_tables_are_false_and_three_times_as_many_differences_found():
    for c in (
        named("sd 0.5"),
        named("the reference 5 times the sd"),
        named("half of the cells 5 times"),
    ):
        measured = measure(c, RULES, TABLES, 3)
        assert measured.rates[OURS].honest, c.name
        assert measured.covered[0] > 0.93
    rates = measure(APART[0], RULES, TABLES, 3).rates
    assert rates[OURS].found[0] > 2 * rates[BEFORE].found[0] > 0


def test_the_bench_finds_rules_that_are_not_honest():
    """Ten cells of which one varies ten times as much: one variance for all does not do."""
    c = Condition("one", (0.0,) * 10, (0.1,) * 9 + (1.0,), images=1000)
    rates = measure(c, RULES, TABLES, 4).rates
    assert rates["one variance for all, Holm, quarters"].ever > 0.2
    assert rates["empirical Bayes (limma), Holm, quarters"].ever > 0.1
    assert rates[OURS].honest


def test_cross_validated_tables_are_judged_honestly():
    several = [folds.SAME[6], folds.SAME[10], folds.UNCOUNTED[2]]
    rules = {OURS: RULES[OURS]}
    same, few, uncounted = (measure(c, rules, TABLES, 7, folds.draw) for c in several)
    for m in (same, few):
        assert m.rates[OURS].honest, m.condition.name
        assert m.covered[0] > 0.93
    # What no repetition on the same images can count.
    assert uncounted.rates[OURS].ever > 0.5
    text = folds.page([same, few], [same], [uncounted])
    assert all(f"| {m.condition.name} |" in text for m in (same, few, uncounted))


def test_folds_share_the_luck_of_their_model_and_no_more():
    """All the luck in one seed's folds: their accuracies vary, and the accuracy is as it should."""
    c = folds.Folds("luck", (0.0, 0.0), (1.0, 1.0), images=500, alike=0.0)
    correct = folds.draw(c, generator(c.name, 8), 200, 4)
    tables = correct.mean(axis=(2, 3))
    assert np.all(np.abs(tables.mean(axis=0) - c.accuracy) < 4 * tables.std(axis=0) / 200**0.5)
    alike = folds.draw(replace(c, alike=1.0), generator(c.name, 8), 200, 4)
    spread, whole = (d.mean(axis=3).var(axis=2, ddof=1).mean() for d in (correct, alike))
    assert 0.1 < spread / whole < 0.4, "five independent models vary a fifth as much"


def test_the_record_has_a_row_for_each_condition_rule_and_claim():
    found = {
        kind: [measure(c, RULES, 4, 5) for c in several]
        for kind, several in (("same", SAME[:1]), ("some", SOME[:1]), ("apart", APART[:3]))
    }
    text = "\n".join(page(found, [answer(ASKED[0], 4, 5)], 4))
    assert all(f"| {m.condition.name} |" in text for several in found.values() for m in several)
    assert all(f"| {rule} |" in text for rule in RULES)
    assert f"| {ASKED[0].name} |" in text
