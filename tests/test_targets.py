import math
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgcompress.errors import UsageError
from imgcompress.quantization.scale import HIGHEST, LOWEST
from imgcompress.targets import METRICS, Search, Target, parse_target

Curve = Callable[[float], float]
FEW = 8


def run(search: Search, curve: Curve, most: int = 500) -> list[float]:
    """Proposals until the search is over."""
    proposals = []
    while (nominal := search.proposal()) is not None:
        assert LOWEST <= nominal <= HIGHEST
        proposals.append(nominal)
        assert len(proposals) <= most, "endless"
        search.add(nominal, curve(nominal))
    return proposals


def score_target(value: float, tolerance: float = 0.5) -> Target:
    return Target(METRICS["ssimulacra2"], value, tolerance)


# Parsing


@pytest.mark.parametrize(
    ("text", "value", "tolerance"),
    [
        ("ssimulacra2=80", 80, 0.5),
        (" ssimulacra2 = 80.5 ", 80.5, 0.5),
        ("ssimulacra2=-20", -20, 0.5),
        ("vgg=0.2", 0.2, 0.006),
        ("ssim=0.97", 0.97, 0.002),
        ("psnr=40", 40, 0.1),
        ("bpp=0.5", 0.5, 0.005),
        ("bytes=2e4", 20000, 200),
    ],
)
def test_targets_and_their_tolerances(text: str, value: float, tolerance: float) -> None:
    target = parse_target(text)
    assert target.metric is METRICS[text.partition("=")[0].strip()]
    assert (target.value, target.tolerance) == (value, pytest.approx(tolerance))


def test_a_tolerance_is_a_share_where_the_metric_says_so() -> None:
    assert parse_target("psnr=40", 0.02).tolerance == 0.02
    assert parse_target("bytes=5000", 0.02).tolerance == 100


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "METRIC=VALUE"),
        ("80", "ssimulacra2, vgg, ssim, psnr, bpp, bytes"),
        ("butteraugli=1", "'butteraugli=1'"),
        ("=80", "'=80'"),
        ("ssimulacra2=", "'' is not a number"),
        ("ssimulacra2=good", "'good' is not a number"),
        ("ssimulacra2=101", "ssimulacra2 lies between -1000 and 100, got 101"),
        ("ssim=1", "ssim lies between 0 and 0.99999"),
        ("psnr=nan", "psnr lies between"),
        ("psnr=inf", "psnr lies between"),
        ("bytes=0", "bytes lies between 1 and"),
        ("vgg=-1", "vgg lies between"),
        ("bpp=1=2", "'1=2' is not a number"),
    ],
)
def test_what_is_no_target_is_said(text: str, named: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_target(text)
    assert named in str(caught.value) and str(caught.value).startswith("target: ")


@pytest.mark.parametrize("name", METRICS)
def test_an_axis_rises_from_the_worst_value(name: str) -> None:
    metric = METRICS[name]
    ends = metric.lowest, metric.highest
    assert metric.axis(metric.worst) == min(map(metric.axis, ends)) < max(map(metric.axis, ends))
    assert all(math.isfinite(metric.axis(end)) for end in ends)


@pytest.mark.parametrize(
    ("text", "short", "more_than_asked"),
    [
        ("ssimulacra2=80", 79.4, 80.6),
        ("vgg=0.2", 0.21, 0.19),
        ("ssim=0.97", 0.96, 0.98),
        ("psnr=40", 39.8, 40.2),
        ("bytes=1000", 1011.0, 989.0),
        ("bpp=1", 1.02, 0.98),
    ],
)
def test_only_worse_looks_or_larger_files_fall_short(text: str, short: float, more_than_asked: float) -> None:
    target = parse_target(text)
    assert not target.is_hit(short) and not target.is_hit(more_than_asked)
    assert target.falls_short(short)
    assert not target.falls_short(more_than_asked) and not target.falls_short(target.value)


# Searching


@settings(max_examples=300)
@given(
    goal=st.floats(30, 90),
    offset=st.floats(-15, 15),
    slope=st.floats(0.5, 2.0),
    bend=st.floats(-0.006, 0.006),
)
def test_smooth_curves_are_hit_within_few_steps(
    goal: float, offset: float, slope: float, bend: float
) -> None:
    def curve(nominal: float) -> float:
        away = nominal - 75
        return 75 + offset + slope * (away + bend * away * abs(away) / 2)

    reachable = curve(LOWEST) < goal < curve(HIGHEST)
    search = Search(score_target(goal), goal)
    proposals = run(search, curve)
    if reachable:
        assert len(proposals) <= FEW
        assert abs(search.tried[search.best][1] - goal) <= 0.5


@pytest.mark.parametrize(
    ("text", "curve"),
    [
        ("psnr=38", lambda nominal: 20 + 0.3 * max(0.0, nominal)),
        ("ssim=0.98", lambda nominal: 1 - 0.5 * math.exp(-0.05 * max(0.0, nominal))),
        ("vgg=0.1", lambda nominal: 5 * math.exp(-0.06 * nominal)),
        ("bytes=30000", lambda nominal: 800 * math.exp(0.05 * nominal)),
        ("bpp=1.5", lambda nominal: 0.05 * math.exp(0.045 * nominal)),
        ("ssimulacra2=70", lambda nominal: 95 - 60 * math.exp(-nominal / 60)),
        ("ssimulacra2=85", lambda nominal: 100 - 0.5 * (100 - nominal) ** 1.2),
    ],
)
def test_curves_of_every_metric_are_hit_within_few_steps(text: str, curve: Curve) -> None:
    search = Search(parse_target(text), 60.0)
    assert len(run(search, curve)) <= FEW
    assert search.target.is_hit(search.tried[search.best][1])


def test_the_first_proposal_is_the_start_and_a_hit_ends_the_search() -> None:
    assert run(Search(score_target(70.0), 64.0), lambda _: 70.4) == [64.0]
    for start, first in ((1000.0, HIGHEST), (-1000.0, LOWEST)):
        assert Search(score_target(70.0), start).proposal() == first


@pytest.mark.parametrize(("level", "end"), [(40.0, HIGHEST), (99.0, LOWEST), (69.4, HIGHEST), (70.6, LOWEST)])
def test_a_flat_curve_leads_to_its_end_and_stops(level: float, end: float) -> None:
    search = Search(score_target(70.0), 70.0)
    assert run(search, lambda _: level, most=10)[-1] == end


@pytest.mark.parametrize("nothing", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("text", ["ssimulacra2=70", "vgg=0.1", "bytes=1000"])
def test_what_is_not_a_number_counts_as_coarse(text: str, nothing: float) -> None:
    search = Search(parse_target(text), 60.0)
    assert run(search, lambda _: nothing)[-1] == HIGHEST
    assert not search.target.is_hit(search.tried[search.best][1])


def test_a_jump_over_the_target_is_seen_from_above() -> None:
    search = Search(score_target(70.0), 60.0)
    for nominal, value in ((60.0, 64.0), (70.0, 76.0), (66.0, 74.0)):
        assert search.cliff is None
        search.add(nominal, value)
    assert search.cliff is None  # 2.5 points a point: steep, no more
    search.add(64.5, 73.5)
    search.add(64.0, 66.0)
    assert search.cliff == 3
    search.add(64.25, 70.2)
    assert search.cliff is None


def test_one_value_that_is_not_a_number_does_not_hurt() -> None:
    search = Search(score_target(70.0), 60.0)
    run(search, lambda nominal: math.nan if nominal == 60.0 else nominal)
    assert search.target.is_hit(search.tried[search.best][1])


@given(
    values=st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=12),
    start=st.floats(-200, 200),
    goal=st.floats(-50, 100),
)
def test_it_ends_whatever_comes_out_and_the_best_is_the_nearest(
    values: list[float], start: float, goal: float
) -> None:
    given_out = iter(range(10_000))
    search = Search(score_target(goal), start)
    run(search, lambda _: values[next(given_out) % len(values)])
    distances = [abs(value - goal) for _, value in search.tried]
    assert distances[search.best] == min(distances)


@pytest.mark.parametrize("name", METRICS)
@given(data=st.data())
def test_it_ends_for_every_metric(name: str, data: st.DataObject) -> None:
    metric = METRICS[name]
    inside = st.floats(metric.lowest, metric.highest)
    values = data.draw(st.lists(inside, min_size=1, max_size=8))
    given_out = iter(range(10_000))
    run(
        Search(parse_target(f"{name}={data.draw(inside)}"), 70.0),
        lambda _: values[next(given_out) % len(values)],
    )


def test_bounds_are_kept_on_their_side_only() -> None:
    for name, better, worse in (("ssimulacra2", 81.0, 79.0), ("vgg", 0.1, 0.9), ("bytes", 10.0, 1000.0)):
        metric, bound = METRICS[name], (better + worse) / 2
        assert metric.is_ceiling == (better < worse)
        assert metric.keeps(better, bound) and metric.keeps(bound, bound) and not metric.keeps(worse, bound)
        assert not metric.keeps(math.nan, bound, slack=1e9)


def test_the_bound_of_a_target_is_the_worst_hit() -> None:
    for text in ("ssimulacra2=80", "vgg=0.5", "psnr=40", "bytes=5000"):
        target = parse_target(text)
        inside, outside = (0.999, 1.001) if target.metric.is_ceiling else (1.001, 0.999)
        assert target.is_hit(target.bound * inside) and target.falls_short(target.bound * outside)
