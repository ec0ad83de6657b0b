"""Crossings and compute ratios hold what they state: both runs' and images' luck simulated."""

from __future__ import annotations

import numpy as np
import pytest

from tests.synthetic import draw
from vitexp.analysis.along_data import Curve, crossing, families_cross
from vitexp.analysis.compute_ratio import ComputeRatio, compute_ratio, ratio_within
from vitexp.analysis.decide import ALPHA, LOOK_ALPHA, LOOKS
from vitexp.analysis.findings import all_equivalent, all_exceed
from vitexp.analysis.two_way import estimate
from vitexp.catalog.paper import table6

GRIDS = 1000
SIZES = np.array([39, 129, 388, 1293])
NAMES = ["3 %", "10 %", "30 %", "100 %"]


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def slack(rate, grids=GRIDS):
    """Three standard errors of a simulated rate."""
    return 3 * float(np.sqrt(rate * (1 - rate) / grids))


def differences(rng, a, b, seeds, images=300, luck=(0.25, 0.15, 0.1, 0.05)):
    """d of two models with accuracies a and b at each amount, shape (F, n, N); the luck with
    seeds falls with the amount of data."""
    pairs = [
        draw(rng, pair, seeds, images, image_luck=0.5, seed_luck=spread).astype(np.int8)
        for *pair, spread in zip(a, b, luck, strict=True)
    ]
    return np.stack([first - second for first, second in pairs])


# Crossings


def test_three_seeds_of_a_known_difference_cross_where_it_does():
    d = np.zeros((3, 3, 400))
    for f, hits in enumerate((-40, 0, 40)):
        d[f, :, : abs(hits)] = np.sign(hits)
    found = crossing(Curve.of(d, np.array([100, 1000, 10_000])))
    assert found and found.low and found.high
    assert found.at == pytest.approx(1000)
    assert found.low < 1000 < found.high


def test_open_ends_and_no_crossing(rng):
    b = [0.8] * 4
    never = crossing(Curve.of(differences(rng, [0.4] * 4, b, 5), SIZES))
    assert never is None
    late = crossing(Curve.of(differences(rng, [0.4, 0.5, 0.6, 0.8], b, 5), SIZES))
    assert late is not None
    assert late.low is not None
    assert late.high is None
    same = crossing(Curve.of(np.zeros((4, 5, 300)), SIZES))
    assert same is not None
    assert (same.at, same.low, same.high) == (None, None, None)


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_the_interval_of_a_crossing_covers_the_true_one(rng, seeds):
    """The true difference is linear in log size, from -14 to +6 points."""
    d = np.interp(np.log(SIZES), np.log(SIZES[[0, -1]]), [-0.14, 0.06])
    truth = np.exp(np.interp(0, d, np.log(SIZES)))
    covered = bounded = 0
    for _ in range(GRIDS):
        found = crossing(Curve.of(differences(rng, 0.85 + d, [0.85] * 4, seeds), SIZES))
        assert found is not None
        covered += (found.low or 0) <= truth <= (found.high or np.inf)
        bounded += found.low is not None and found.high is not None
    assert covered / GRIDS >= 0.95 - slack(0.05)
    assert bounded > 0


@pytest.mark.parametrize(
    "gap",
    [(0.0, 0.0, 0.0, 0.0), (-0.3, -0.3, 0.0, 0.0), (0.0, 0.0, 0.08, 0.08)],
    ids=["equal", "only worse", "only better"],
)
def test_families_that_do_not_cross_are_seldom_said_to_over_all_looks(rng, gap):
    false = 0
    for _ in range(GRIDS):
        d = differences(rng, 0.85 + np.array(gap), [0.85] * 4, LOOKS[-1], 200)
        false += any(families_cross(d[:, :n], NAMES).standing != "INCONCLUSIVE" for n in LOOKS)
    assert false / GRIDS <= ALPHA + slack(ALPHA)


def test_families_that_cross_are_found(rng):
    a, b = [0.55, 0.70, 0.88, 0.96], [0.80, 0.85, 0.86, 0.86]
    power = {
        n: np.mean(
            [
                families_cross(differences(rng, a, b, n), NAMES).standing == "SUPPORTED"
                for _ in range(GRIDS // 10)
            ]
        )
        for n in (3, 5, 10)
    }
    print("power of 'cross' at -25 and +10 points:", power)
    assert power[10] > 0.9
    back = families_cross(-differences(rng, a, b, 10), NAMES)
    assert back.standing == "REFUTED"


# "Is worse" and "are equivalent", over all looks


@pytest.mark.parametrize("truth", [0.0, 0.01])
def test_one_difference_is_seldom_misjudged_over_all_looks(rng, truth):
    """ "Is worse" at its boundary, and "are equivalent" within a margin that is just not met."""
    worse = same = 0
    for _ in range(GRIDS):
        a, b = draw(rng, [0.9, 0.9 - truth], LOOKS[-1], 400, seed_luck=0.05).astype(np.int8)
        looks = [{"x": estimate(a[:n] - b[:n])} for n in LOOKS]
        worse += any(all_exceed(look, truth).standing == "SUPPORTED" for look in looks)
        same += truth > 0 and any(
            all_equivalent(look, truth).standing == "SUPPORTED" for look in looks
        )
    assert worse / GRIDS <= ALPHA + slack(ALPHA)
    assert same / GRIDS <= ALPHA + slack(ALPHA)


# Compute ratios


def families(rng, ratio, sizes=(5, 5), scatter=0.08, slopes=(-0.2, -0.2)):
    """(compute, error) of a reference and of a family that needs ``ratio`` times less."""
    computes = [np.geomspace(1e12, 1e14, count) for count in sizes]
    shifts = (0.0, np.log(ratio) * slopes[1])
    return [
        list(
            zip(
                compute,
                np.exp(slope * np.log(compute / 1e12) + shift)
                * 0.3
                * np.exp(scatter * rng.normal(size=len(compute))),
                strict=True,
            )
        )
        for compute, slope, shift in zip(computes, slopes, shifts, strict=True)
    ]


def test_the_paper_s_table_6_gives_an_honest_open_interval():
    resnet, vit = (
        [(row.exaflops, 1 - row.average) for row in table6() if row.family == family]
        for family in ("resnet", "vit")
    )
    fit = compute_ratio(resnet, vit)
    assert isinstance(fit, ComputeRatio)
    assert fit.ratio == pytest.approx(4.07, abs=0.01)
    assert fit.interval() == pytest.approx((2.29, 8.25), abs=0.01)
    assert fit.p_parallel == pytest.approx(0.10, abs=0.01)
    assert ratio_within(fit, 2, 4)[0] == "INCONCLUSIVE"


def test_without_scatter_the_ratio_is_exact(rng):
    fit = compute_ratio(*families(rng, 3.0, scatter=1e-6))
    assert isinstance(fit, ComputeRatio)
    assert fit.ratio == pytest.approx(3.0, rel=1e-3)
    assert ratio_within(fit, 2, 4)[0] == "SUPPORTED"
    assert ratio_within(fit, 4, 5)[0] == "REFUTED"


def test_what_stands_against_one_ratio(rng):
    reference, family = families(rng, 3.0)
    assert compute_ratio(reference[:2], family) == "few sizes"
    assert compute_ratio(reference[:1] * 3, family) == "few sizes"
    assert compute_ratio(*families(rng, 3, scatter=0.01, slopes=(-0.1, -0.4))) == "not parallel"
    assert compute_ratio(*families(rng, 1, scatter=0.1, slopes=(0.0, 0.0))) == "flat"


@pytest.mark.parametrize("sizes", [(3, 3), (5, 5), (7, 6)])
def test_the_interval_of_a_ratio_covers_the_true_one(rng, sizes):
    fits = [compute_ratio(*families(rng, 3.0, sizes, 0.05)) for _ in range(GRIDS)]
    intervals = [fit.interval() for fit in fits if isinstance(fit, ComputeRatio)]
    covered = np.mean([i[0] <= 3.0 <= i[1] for i in intervals if i is not None])
    assert len(intervals) > 0.5 * GRIDS
    assert covered >= 0.95 - slack(0.05, len(intervals))


@pytest.mark.parametrize("truth", [2.0, 4.0, 3.0])
def test_a_ratio_is_seldom_misjudged_over_all_looks(rng, truth):
    """Each size has its own place off the line, which more seeds do not change, and each seed
    its luck; at 2 and 4 the claim is just true, so "REFUTED" is wrong, and just not beyond."""
    refuted = supported = 0
    for _ in range(GRIDS):
        lines = families(rng, truth, scatter=0.04)
        seeds = [0.08 * rng.normal(size=(len(line), LOOKS[-1])) for line in lines]
        standings = []
        for n in LOOKS:
            seen = [
                [(c, e * np.exp(luck[:n].mean())) for (c, e), luck in zip(line, own, strict=True)]
                for line, own in zip(lines, seeds, strict=True)
            ]
            fit = compute_ratio(*seen)
            if isinstance(fit, ComputeRatio):
                standings.append(ratio_within(fit, 2, 4, LOOK_ALPHA)[0])
        refuted += "REFUTED" in standings
        supported += "SUPPORTED" in standings
    assert refuted / GRIDS <= ALPHA + slack(ALPHA)
    if truth != 3.0:
        assert supported / GRIDS <= ALPHA + slack(ALPHA)
    print(f"true ratio {truth:g}: supported {supported / GRIDS:.3f}, refuted {refuted / GRIDS:.3f}")
