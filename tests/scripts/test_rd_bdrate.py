"""BD-rates against closed forms and against the original cubic fit; intervals against a normal law."""

import math

import numpy as np
import pytest
from rd.bdrate import Curve, bd_rate, summarize

SCORES = (61.0, 66.0, 71.0, 76.0, 81.0, 86.0, 89.0)


def log_linear(intercept: float, slope: float, scores: tuple[float, ...] = SCORES) -> Curve:
    return Curve([math.exp(intercept + slope * score) for score in scores], scores)


def test_a_curve_against_itself_is_zero() -> None:
    assert bd_rate(log_linear(7, 0.04), log_linear(7, 0.04)) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("factor", [0.5, 0.88, 1.0, 1.3])
def test_scaled_bytes_are_found(factor: float) -> None:
    peer = Curve([10_000, 15_000, 21_000, 34_000, 60_000, 90_000], [60.5, 66, 71, 79, 86, 89.5])
    ours = Curve([factor * size for size in peer.sizes], peer.scores)
    assert bd_rate(ours, peer) == pytest.approx(100 * (factor - 1))


def test_different_slopes_give_the_ratio_in_the_middle_of_the_shared_range() -> None:
    ours = log_linear(6.5, 0.05, (55.0, 60.0, 70.0, 80.0))
    peer = log_linear(7.0, 0.04, (64.0, 71.0, 78.0, 90.0))
    middle = (64 + 80) / 2
    assert bd_rate(ours, peer) == pytest.approx(100 * (math.exp(-0.5 + 0.01 * middle) - 1))


def test_swapping_the_curves_inverts_the_ratio() -> None:
    ours = Curve([10, 14, 22, 40, 61, 99], [60, 66, 73, 80, 85, 90])
    peer = Curve([11, 17, 20, 44, 60, 120], [61, 69, 71, 81, 84, 89])
    assert (1 + bd_rate(ours, peer) / 100) * (1 + bd_rate(peer, ours) / 100) == pytest.approx(1)


def test_the_order_of_the_points_does_not_count() -> None:
    peer = log_linear(7, 0.04)
    shuffled = Curve(peer.sizes[::-1], peer.scores[::-1])
    assert bd_rate(log_linear(6.9, 0.04), shuffled) == pytest.approx(bd_rate(log_linear(6.9, 0.04), peer))


def test_agrees_with_the_cubic_fit_of_the_first_definition() -> None:
    rates = np.array([85.95, 157.11, 309.58, 686.76]), np.array([112.75, 204.93, 407.8, 893.34])
    scores = np.array([31.42, 34.24, 37.18, 40.28]), np.array([31.24, 34.17, 37.21, 40.39])
    low, high = max(s.min() for s in scores), min(s.max() for s in scores)
    integrals = [np.polyint(np.polyfit(s, np.log(r), 3)) for s, r in zip(scores, rates, strict=True)]
    areas = [np.polyval(integral, high) - np.polyval(integral, low) for integral in integrals]
    expected = 100 * (math.exp((areas[1] - areas[0]) / (high - low)) - 1)
    found = bd_rate(Curve(list(rates[1]), list(scores[1])), Curve(list(rates[0]), list(scores[0])))
    assert found == pytest.approx(expected, abs=0.5)


def test_without_a_shared_range_there_is_no_rate() -> None:
    assert math.isnan(bd_rate(log_linear(7, 0.04, (60, 65)), log_linear(7, 0.04, (70, 80))))
    assert math.isnan(bd_rate(log_linear(7, 0.04, (60,)), log_linear(7, 0.04)))
    assert math.isnan(bd_rate(Curve([], []), log_linear(7, 0.04)))


def test_points_of_one_score_are_averaged() -> None:
    peer = Curve([100, 200], [60, 80])
    ours = Curve([100, 150, 200 * 200 / 150], [60, 80, 80])
    assert bd_rate(ours, peer) == pytest.approx(0, abs=1e-9)


def test_the_interval_is_that_of_a_normal_law() -> None:
    rates = np.random.default_rng(1).normal(-12, 3, 400)
    summary = summarize(list(rates))
    error = 1.96 * rates.std() / math.sqrt(400)
    assert summary.mean == pytest.approx(rates.mean())
    assert summary.low == pytest.approx(rates.mean() - error, abs=0.04)
    assert summary.high == pytest.approx(rates.mean() + error, abs=0.04)


def test_a_summary_counts_and_can_be_printed_again() -> None:
    summary = summarize([-3.0, math.nan, 2.0, 0.0, -7.0])
    assert (summary.count, summary.larger, summary.worst) == (4, 1, 2.0)
    assert summary.low <= summary.mean <= summary.high
    assert summary == summarize([-3.0, 2.0, 0.0, -7.0])


def test_no_pictures_have_no_mean() -> None:
    summary = summarize([math.nan])
    assert summary.count == 0
    assert math.isnan(summary.mean)
