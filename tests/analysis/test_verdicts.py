"""The statistics hold what they state, on grids where both seeds and test images bring luck."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.stats

from tests.synthetic import draw, record, spec
from vitexp.analysis.decide import (
    ALPHA,
    CLAIM_LEVELS,
    LEVELS,
    LOOKS,
    claim_level,
    decide,
    level,
    look,
    outlook,
)
from vitexp.analysis.findings import all_equivalent, all_exceed
from vitexp.analysis.groups import Group, compare
from vitexp.analysis.seeds import correlations, sample
from vitexp.analysis.together import together
from vitexp.analysis.two_way import (
    LENT,
    Estimate,
    MeanSquares,
    estimate,
    lent_contrast,
    mean_squares,
    resolution,
)
from vitexp.reporting.cells import mean_words

GRIDS = 400
"""Simulated grids a test; a rate of 0.05 is then known to +- 0.033 (three standard errors)."""

KINDS = np.repeat(np.eye(3), 3, axis=1) / 3
"""Weights that average the nine cells to three kinds."""


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20)


def slack(rate: float, grids: int = GRIDS) -> float:
    """Three standard errors of a simulated rate."""
    return 3 * float(np.sqrt(rate * (1 - rate) / grids))


def luck(rng, accuracy, seeds, images=360, **changes):
    return draw(rng, accuracy, seeds, images, **changes).astype(np.int8)


# Over seeds


def test_the_interval_over_seeds_is_students_on_the_scale_of_log_odds():
    values = [0.70, 0.66, 0.65, 0.71]
    got, error = sample(values), float(scipy.stats.sem(values))
    half = scipy.stats.t.ppf(0.975, 3) * error
    assert got.n == 4
    assert got.mean == pytest.approx(0.68)
    assert got.sd == pytest.approx(np.std(values, ddof=1))
    reach = half / (0.68 * 0.32)
    assert scipy.special.logit([got.low, got.high]) == pytest.approx(
        scipy.special.logit(0.68) + np.array([-reach, reach])
    )
    assert got.half_width == pytest.approx(half, rel=0.01)


def test_the_interval_of_an_accuracy_ends_below_100_percent():
    few = sample([0.997, 0.997, 1.0])
    assert few.mean and few.low and few.high
    assert few.low < few.mean < few.high < 1
    assert few.mean - few.low > few.high - few.mean
    every = sample([1.0, 1.0, 1.0])
    assert (every.low, every.high) == (1, 1)
    assert (mean_words(few, 1), mean_words(sample([0.92, 0.97]), 1)) == (
        "99.8 [98.3, 100.0]",
        "94.5 [3.7, 100.0]",
    )


def test_seeds_that_agree_on_few_images_have_the_length_of_rounding():
    same, half = sample([0.68, 0.68], images=50), 12.706 / 50 / np.sqrt(12 * 2)
    assert same.sd == 0
    assert same.half_width == pytest.approx(half, rel=0.01)
    assert mean_words(same, 1) == "68.0 ± 5.2"
    every = sample([1.0, 1.0], images=50)
    assert every.low == pytest.approx(1 - half, abs=1e-4)
    assert every.high == 1
    apart = [0.60, 0.68, 0.72]
    assert sample(apart, images=50) == sample(apart)


def test_one_seed_has_no_interval_and_none_has_no_mean():
    one, no = sample([0.7]), sample([])
    assert (one.mean, one.sd, one.low, one.high, one.half_width) == (0.7, None, None, None, None)
    assert (no.n, no.mean) == (0, None)


def test_the_interval_over_seeds_covers_as_often_as_it_says(rng):
    # The test set is fixed, so the truth is its own accuracy over ever more seeds.
    many = luck(rng, [0.9], 20_000, 60)[0].mean(axis=1)
    truth = many.mean()
    for n in (3, 5, 10):
        seeds = many[: 1000 * n].reshape(1000, n)
        covered = np.mean([s.low <= truth <= s.high for s in map(sample, seeds)])
        assert covered == pytest.approx(0.95, abs=0.025), n


def test_correlations_skip_cells_that_do_not_vary():
    rising = np.array([0.1, 0.2, 0.3])
    found = correlations(np.stack([rising, rising[::-1], [0.5, 0.5, 0.5]]))
    assert found == pytest.approx([-1.0])


# Over seeds and images


def test_mean_squares_are_those_of_a_two_way_analysis_of_variance(rng):
    d = rng.integers(-1, 2, size=(4, 7)).astype(float)
    seeds, images = d.shape
    rows, columns, mean = d.mean(axis=1), d.mean(axis=0), d.mean()
    ss_rows = sum((rows[s] - mean) ** 2 for s in range(seeds) for _ in range(images))
    ss_columns = sum((columns[i] - mean) ** 2 for _ in range(seeds) for i in range(images))
    ss_rest = sum(
        (d[s, i] - rows[s] - columns[i] + mean) ** 2
        for s, i in itertools.product(range(seeds), range(images))
    )
    expected = MeanSquares(ss_rows / 3, ss_columns / 6, ss_rest / 18)
    got = mean_squares(d)
    assert (got.seeds, got.images, got.residual) == pytest.approx(
        (expected.seeds, expected.images, expected.residual)
    )


def test_the_estimate_is_hillis_form(rng):
    d = np.subtract(*luck(rng, [0.9, 0.8], 5, seed_luck=0.5, image_luck=1))
    squares, (n, images) = mean_squares(d), d.shape
    assert squares.seeds > squares.residual < squares.images, "else the floors decide"
    extra = squares.images - squares.residual
    df = (squares.seeds + extra) ** 2 / (squares.seeds**2 / (n - 1))
    got = estimate(d)
    assert got.value == pytest.approx(d.mean())
    assert got.se**2 == pytest.approx((squares.seeds + extra) / (n * images))
    assert got.df == pytest.approx(df)
    half = scipy.stats.t.ppf(0.975, df) * got.se
    assert got.interval() == pytest.approx((d.mean() - half, d.mean() + half))
    assert got.lower(0.025) == pytest.approx(got.interval()[0])
    assert got.p == pytest.approx(2 * scipy.stats.t.sf(d.mean() / got.se, df))
    assert got.p_above == pytest.approx(got.p / 2)
    assert estimate(-d).p == pytest.approx(got.p)
    assert estimate(-d).p_above == pytest.approx(1 - got.p / 2)


def test_identical_cells_differ_by_nothing_but_a_test_image_or_so():
    got = estimate(np.zeros((3, 360)))
    low, high = got.interval()
    assert (got.value, got.p) == (0, 1)
    assert low == pytest.approx(-high)
    assert 1 / 360 < high < 6 / 360


def test_seeds_that_agree_by_chance_do_not_decide():
    # Each seed wins 3 images more, but others each time: MS_s is 0.
    d = np.zeros((3, 60))
    for seed in range(3):
        d[seed, 8 * seed : 8 * seed + 7] = 1
        d[seed, 30 + 8 * seed : 30 + 8 * seed + 4] = -1
    assert mean_squares(d).seeds == pytest.approx(0, abs=1e-12)
    assert estimate(d).p > 0.05


def test_all_cells_lend_a_contrast_their_interaction(rng):
    cells = luck(rng, [0.9] * 9, 4, seed_luck=0.6)
    weights = KINDS[0] - KINDS[1]
    accuracy = cells.mean(axis=2)
    interaction = accuracy - accuracy.mean(1)[:, None] - accuracy.mean(0) + accuracy.mean()
    pool = (interaction**2).sum() / 24 * 2 / 3
    got, own = lent_contrast(cells, weights), estimate(np.einsum("c,csi->si", weights, cells))
    assert got.value == pytest.approx(accuracy[:3].mean() - accuracy[3:6].mean())
    assert got.seed_df == LENT + 3
    assert got.seed_variance == pytest.approx((LENT * pool + 3 * own.seed_variance) / (LENT + 3))
    assert got.image_variance == pytest.approx(own.image_variance)


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_differences_hold_their_error_where_a_test_over_seeds_does_not(rng, seeds):
    """On a test set like digits, where the luck with images is as large as that with seeds."""
    false, false_over_seeds = 0, 0
    for _ in range(2 * GRIDS):
        first, second = luck(rng, [0.8, 0.8], seeds, image_luck=1, seed_luck=0.03)
        d = first - second
        false += estimate(d).p < ALPHA
        each = d.mean(axis=1)
        t = abs(each.mean()) * seeds**0.5 / max(each.std(ddof=1), 1e-9)
        false_over_seeds += t > scipy.stats.t.ppf(1 - ALPHA / 2, seeds - 1)
    assert false / (2 * GRIDS) <= ALPHA + slack(ALPHA, 2 * GRIDS)
    assert false_over_seeds / (2 * GRIDS) > {3: 0.07, 5: 0.12, 10: 0.25}[seeds]


def test_the_interval_of_a_difference_covers_the_true_one(rng):
    covered = 0
    for _ in range(GRIDS):
        low, high = estimate(np.subtract(*luck(rng, [0.9, 0.7], 5))).interval()
        covered += low <= 0.2 <= high
    assert covered / GRIDS >= 0.95 - slack(0.05)


def test_more_images_rank_finer_and_more_seeds_do_not_go_below_that(rng):
    small = resolution(luck(rng, [0.9] * 6, 5, 300, image_luck=1))
    large = resolution(luck(rng, [0.9] * 6, 5, 3000, image_luck=1))
    seeds = resolution(luck(rng, [0.9] * 6, 20, 300, image_luck=1))
    assert large.at_best < small.at_best / 2
    assert small.at_best < seeds.now < small.now
    # Two standard errors of a difference whose image term is known.
    assert seeds.at_best == pytest.approx(small.at_best, rel=0.3)


# Verdicts


def test_a_bound_is_the_wider_of_the_own_and_the_lent_one(rng):
    none, *others = luck(rng, [0.8] * 9 + [0.9], 3, 2000, seed_luck=0.1)
    differences = {k: estimate(other - none) for k, other in enumerate(others)}
    for key, joint in together(differences).items():
        each = [
            joint.value - scipy.stats.t.isf(tail, one.df) * one.se
            for one, tail in ((joint.own, 0.01), (joint.lent, 0.01 / 9))
        ]
        assert joint.lower(0.01) == pytest.approx(min(each))
        assert joint.value - joint.lower(0.01) == pytest.approx(joint.upper(0.01) - joint.value)
        assert joint.p == pytest.approx(max(joint.own.p, min(9 * joint.lent.p, 1)))
        assert joint.lent.seed_df == 2 + LENT
        assert joint.own.seed_variance >= differences[key].seed_variance


def test_the_lent_variance_is_a_mean_of_the_own_and_the_pooled_one(rng):
    cells = luck(rng, [0.8] * 4, 5, 3000, seed_luck=0.5)
    accuracy = cells.mean(axis=2)
    differences = {k: estimate(cells[k] - cells[0]) for k in (1, 2, 3)}
    own = np.var(accuracy[1:] - accuracy[0], axis=1, ddof=1)
    apart = accuracy - accuracy.mean(axis=0)
    alike = 2 * apart.var(axis=1, ddof=1).sum() / 3
    pool = max(own.mean(), alike)
    lent = [joint.lent.seed_variance for joint in together(differences).values()]
    assert lent == pytest.approx((LENT * pool + 4 * own) / (LENT + 4))


def test_one_difference_alone_is_judged_by_its_own_seeds(rng):
    one = estimate(np.subtract(*luck(rng, [0.9, 0.8], 3)))
    alone = together({"x": one})["x"]
    assert alone.p == pytest.approx(one.p)
    assert alone.interval(0.95) == pytest.approx(one.interval())


def test_only_kin_lend_to_one_another(rng):
    cells = luck(rng, [0.8] * 5, 3, seed_luck=0.3)
    wild = luck(rng, [0.8] * 5, 3, seed_luck=2)
    differences = {("a", k): estimate(cells[k] - cells[0]) for k in range(1, 5)}
    more = {("b", k): estimate(wild[k] - wild[0]) for k in range(1, 5)}
    apart = together(differences | more, kin={key: key[0] for key in differences | more})
    alone, mixed = together(differences), together(differences | more)
    for key in differences:
        assert apart[key].lent == alone[key].lent
        assert apart[key].among == 8
        assert mixed[key].lent.seed_variance > alone[key].lent.seed_variance


def test_a_verdict_is_what_its_interval_says(rng):
    none, *others = luck(rng, [0.8, 0.8, 0.82, 0.85, 0.9, 0.6], 3, 2000, seed_luck=0.1)
    decisions = decide({k: estimate(other - none) for k, other in enumerate(others)})
    for decision in decisions.values():
        outside = decision.low > 0 or decision.high < 0
        assert (decision.verdict != "undecided") == outside == (decision.p < ALPHA)
    assert {decision.verdict for decision in decisions.values()} > {"better", "worse"}


def test_looks_are_at_3_5_10_and_20_seeds():
    assert [look(n) for n in (1, 2, 3, 4, 5, 9, 10, 19, 20, 50)] == [
        *(None, None, 3, 3, 5, 5, 10, 10, 20, 20)
    ]


def test_the_looks_share_alpha():
    assert sum(LEVELS.values()) == pytest.approx(ALPHA)
    assert sum(CLAIM_LEVELS.values()) == pytest.approx(ALPHA)
    assert level(4) == LEVELS[3]


@pytest.mark.parametrize(
    ("accuracy", "seed_luck", "image_luck"),
    [(0.965, 0.15, 0.5), (0.965, 0.0, 1.0), (0.66, 0.1, 0.5)],
)
def test_all_looks_together_give_few_tables_a_false_verdict(rng, accuracy, seed_luck, image_luck):
    """Ten cells that are equal in truth, looked at with 3, 5, 10 and 20 seeds."""
    false = 0
    for _ in range(GRIDS):
        none, *others = luck(
            rng, [accuracy] * 10, LOOKS[-1], seed_luck=seed_luck, image_luck=image_luck
        )
        differences = [other - none for other in others]
        false += any(_decides([estimate(d[:n]) for d in differences]) for n in LOOKS)
    assert false / GRIDS <= ALPHA


def _decides(differences: list[Estimate]) -> bool:
    decisions = decide(dict(enumerate(differences)))
    return any(decision.verdict != "undecided" for decision in decisions.values())


def test_large_differences_are_decided_with_their_sign(rng):
    none, better, worse, same = luck(rng, [0.66, 0.965, 0.3, 0.66], 5, seed_luck=0.05)
    cells = {"b": better, "w": worse, "s": same}
    decisions = decide({name: estimate(cell - none) for name, cell in cells.items()})
    assert {name: d.verdict for name, d in decisions.items()} == {
        "b": "better",
        "w": "worse",
        "s": "undecided",
    }
    assert decisions["b"].outlook is None
    assert decisions["s"].outlook is not None


def undecided(seed_variance: float, image_variance: float, n: int = 3) -> Estimate:
    return Estimate(0.02, n, 1000, seed_variance, image_variance, n - 1)


def test_an_open_question_says_what_would_settle_it():
    near = outlook(undecided(0.01**2, 0.0), 0.02, claim_level(3) / 2)
    assert near.possible
    assert near.first in LOOKS
    assert near.last is None or near.last >= near.first > 3
    assert f"{near.first}" in str(near)

    never = outlook(undecided(0.01**2, 0.01**2), 0.02, claim_level(3) / 2)
    assert str(never) == "more seeds cannot settle it on 1000 test images"

    assert outlook(undecided(0.001**2, 0.0, n=10), 0.02, claim_level(10) / 2).first == 20
    far = [
        str(outlook(undecided(sd**2, 0.0), 0.02, claim_level(3) / 2)) for sd in (0.02, 0.03, 0.2)
    ]
    assert far[0].endswith("20 may not be enough")
    assert far[1].endswith("may or may not settle it")
    assert far[2].endswith("would probably not settle it")

    late = outlook(undecided(0.01**2, 0.0, n=20), 0.004, claim_level(20) / 2)
    assert "last look" in str(late)


def test_a_smaller_gap_needs_no_fewer_seeds():
    firsts = [
        outlook(undecided(0.005**2, 0.0), gap, claim_level(3) / 2).first or 99
        for gap in (0.05, 0.02, 0.01, 0.005, 0.001)
    ]
    assert firsts == sorted(firsts)
    assert len(set(firsts)) > 2


# Groups of runs


def group(cell, kind="learned_1d", first_seed=0):
    return Group(
        record(spec(kind, seed=seed, images=cell.shape[1]), row)
        for seed, row in enumerate(cell, first_seed)
    )


def test_runs_are_paired_by_seed(rng):
    none, other = draw(rng, [0.7, 0.9], 6, 200)
    compared = compare({"x": group(other[2:], first_seed=2)}, group(none[:5], "none"))["x"]
    assert compared.n == 3
    assert compared.delta == pytest.approx(other[2:5].mean() - none[2:5].mean())
    assert compared.decision is not None
    assert compared.decision.estimate == estimate(
        other[2:5].astype(np.int8) - none[2:5].astype(np.int8)
    )


def test_a_seed_between_two_looks_moves_the_difference_but_not_the_verdict(rng):
    none, other = draw(rng, [0.7, 0.9], 4, 200)
    three = compare({"x": group(other[:3])}, group(none[:3], "none"))["x"]
    four = compare({"x": group(other)}, group(none, "none"))["x"]
    assert four.decision == three.decision
    assert four.delta != three.delta
    assert four.estimate is not None
    assert four.estimate.n == 4


def test_two_seeds_get_an_interval_and_no_verdict_and_one_gets_neither(rng):
    none, other = draw(rng, [0.7, 0.9], 2, 200)
    two = compare({"x": group(other)}, group(none, "none"))["x"]
    one = compare({"x": group(other[:1])}, group(none, "none"))["x"]
    assert (two.estimate is not None, two.decision) == (True, None)
    assert (one.estimate, one.decision, one.n) == (None, None, 1)


def test_the_interval_beside_a_verdict_is_the_one_that_decides(rng):
    none, *others = luck(rng, [0.7, 0.9, 0.72], 4, 2000, seed_luck=0.05)
    cells = dict(zip("xy", map(group, others), strict=True))
    for compared in compare(cells, group(none, "none")).values():
        value, ends = compared.shown
        assert compared.decision
        assert compared.interval
        assert ends == (compared.decision.low, compared.decision.high)
        assert value == compared.decision.estimate.value != compared.delta
        assert (ends[0] > 0 or ends[1] < 0) == (compared.decision.verdict != "undecided")
    two = compare({"x": group(others[0][:2])}, group(none[:2], "none"))["x"]
    assert two.shown == (two.delta, two.interval)


def test_no_difference_is_said_to_exceed_100_points(rng):
    none, other = np.zeros((2, 40), np.int8), np.ones((2, 40), np.int8)
    other[0, :15] = 0
    compared = compare({"x": group(other)}, group(none, "none"))["x"]
    assert compared.estimate
    assert compared.estimate.interval()[1] > 1
    assert compared.interval
    assert compared.interval[1] == 1


def test_a_diverged_run_is_not_averaged_and_stops_the_verdict(rng):
    none, other = draw(rng, [0.7, 0.9], 4, 200)
    runs = [record(spec("learned_1d", seed=s, images=200), row) for s, row in enumerate(other)]
    runs[1] = record(runs[1].spec, None)
    broken = Group(runs)
    compared = compare({"x": broken}, group(none, "none"))["x"]
    assert broken.diverged == 1
    assert broken.metric("test_top1").mean == pytest.approx(other[[0, 2, 3]].mean())
    assert (compared.n, compared.decision, compared.diverged) == (3, None, True)


# Claims


def test_all_exceed_is_supported_refuted_or_open(rng):
    none, good, bad, close = luck(rng, [0.7, 0.9, 0.4, 0.715], 10, 2000, seed_luck=0.03)
    better, worse, open_ = (estimate(cell - none) for cell in (good, bad, close))
    assert all_exceed({"a": better, "b": better}, 0.01).standing == "SUPPORTED"
    refuted = all_exceed({"a": better, "b": worse}, 0.01)
    assert (refuted.standing, refuted.key) == ("REFUTED", "b")
    unsure = all_exceed({"a": better, "b": open_}, 0.01)
    assert (unsure.standing, unsure.key) == ("INCONCLUSIVE", "b")
    assert unsure.outlook is not None


def test_none_is_worse_is_seldom_claimed_of_a_cell_at_the_margin(rng):
    """One position is better than none by just the margin: the claim is not true of it."""
    for seeds in (3, 5):
        supported = refuted = 0
        for _ in range(GRIDS):
            none, *others = luck(rng, [0.7] + [0.95] * 8 + [0.71], seeds, 1000, seed_luck=0.02)
            differences = {str(k): estimate(other - none) for k, other in enumerate(others)}
            standing = all_exceed(differences, 0.01).standing
            supported += standing == "SUPPORTED"
            refuted += standing == "REFUTED"
        assert supported / GRIDS <= claim_level(seeds) + slack(claim_level(seeds))
        assert refuted / GRIDS <= claim_level(seeds) + slack(claim_level(seeds))


def kinds(cells: np.ndarray) -> dict[str, Estimate]:
    return {
        f"{a}{b}": lent_contrast(cells, KINDS[a] - KINDS[b])
        for a, b in itertools.combinations(range(3), 2)
    }


def test_equivalence_is_seldom_claimed_at_the_margin(rng):
    """One kind is worse than the others by just the margin."""
    for seeds in (3, 10):
        supported = refuted = 0
        for _ in range(GRIDS // 2):
            accuracy = [0.97] * 6 + [0.965] * 3
            cells = luck(rng, accuracy, seeds, 2000, image_luck=0.2, seed_luck=0.02)
            standing = all_equivalent(kinds(cells), 0.005).standing
            supported += standing == "SUPPORTED"
            refuted += standing == "REFUTED"
        assert supported / (GRIDS // 2) <= claim_level(seeds) + slack(
            claim_level(seeds), GRIDS // 2
        )
        assert refuted / (GRIDS // 2) <= claim_level(seeds) + slack(claim_level(seeds), GRIDS // 2)


def test_equivalence_can_be_supported_refuted_and_left_open(rng):
    equal = luck(rng, [0.97] * 9, 10, 5000, image_luck=0.2, seed_luck=0.02)
    assert all_equivalent(kinds(equal), 0.005).standing == "SUPPORTED"
    apart = luck(rng, [0.97] * 6 + [0.94] * 3, 10, 5000, image_luck=0.2, seed_luck=0.02)
    refuted = all_equivalent(kinds(apart), 0.005)
    assert refuted.standing == "REFUTED"
    assert refuted.key in ("02", "12")
    few = luck(rng, [0.97] * 9, 3, 200)
    unsure = all_equivalent(kinds(few), 0.005)
    assert unsure.standing == "INCONCLUSIVE"
    assert "settle" in str(unsure.outlook)
