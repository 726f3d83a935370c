"""Bounds, and the profiles that hold them."""

from itertools import pairwise
from math import inf, nan
from pathlib import Path

import pytest

from imgcompress.comparison.criteria import METRICS, merged, metric_named, parse_criterion
from imgcompress.comparison.profiles import load_profile
from imgcompress.errors import UsageError
from imgcompress.perception.windows import Window

PROFILES = ("lossless", "visually-lossless", "high", "medium", "legacy")


def test_what_is_not_a_number_never_passes() -> None:
    for item in METRICS.values():
        for bound in (item.lowest, item.highest):
            assert not item.passes(nan, bound)


def test_bounds_pass_themselves() -> None:
    for metric in METRICS.values():
        better, worse = (-1e-3, 1e-3) if metric.lower_is_better else (1e-3, -1e-3)
        assert metric.passes(5.0, 5.0)
        assert metric.passes(5.0 + better, 5.0)
        assert not metric.passes(5.0 + worse, 5.0)


def test_complaints_name_metric_value_place_and_bound() -> None:
    window = Window(64, 32, 64, 64, 12.25)
    whole, local = (
        parse_criterion("ssimulacra2=70", "o"),
        parse_criterion("ssimulacra2=45", "o", in_windows=True),
    )
    assert whole.complaint(70.0) is None
    assert whole.complaint(61.2) == "ssimulacra2 is 61.20, below 70"
    assert local.complaint(12.25, window) == "ssimulacra2 is 12.25 in the window at (64, 32), below 45"
    assert parse_criterion("phash=31", "o").complaint(40.0) == "phash is 40, above 31"
    assert "nan" in (whole.complaint(nan) or "")


def test_the_last_bound_counts() -> None:
    given = [parse_criterion(text, "o") for text in ("ssim=.5", "psnr=30", "ssim=.9")]
    local = parse_criterion("ssim=.1", "o", in_windows=True)
    assert [(c.metric.name, c.bound) for c in merged([*given, local])] == [
        ("ssim", 0.9),
        ("psnr", 30),
        ("ssim", 0.1),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ssim", "expected METRIC=VALUE"),
        ("lpips=1", "expected one of ssimulacra2"),
        ("ssim=high", "'high' is not a number"),
        ("ssim=nan", "between -1 and 1"),
        ("psnr=101", "between 0 and 100"),
        (f"ssimulacra2={-inf}", "between"),
    ],
)
def test_absurd_thresholds(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=f"--threshold: .*{message}"):
        parse_criterion(text, "--threshold")


def test_not_every_metric_has_windows() -> None:
    with pytest.raises(UsageError, match="phash is not taken in windows"):
        parse_criterion("phash=3", "--worst-window", in_windows=True)
    with pytest.raises(UsageError, match="--metrics: expected one of"):
        metric_named("lpips", "--metrics")


def test_profiles_from_strict_to_loose() -> None:
    scores = [
        [criterion.bound for criterion in load_profile(name) if criterion.metric.name == "ssimulacra2"]
        for name in PROFILES[1:4]
    ]
    assert all(len(bounds) == 2 and bounds[0] > bounds[1] for bounds in scores)
    assert all(strict > loose for a, b in pairwise(scores) for strict, loose in zip(a, b, strict=True))
    assert {item.metric.name: item.bound for item in load_profile("legacy")}["ssim"] == 0.85
    assert [(item.metric.name, item.bound) for item in load_profile("lossless")] == [("max_error", 0)]


def test_own_profile(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("thresholds: {psnr: 40}\nworst_windows: {ssim: .8}\n")
    assert [(c.metric.name, c.bound, c.in_windows) for c in load_profile(str(path))] == [
        ("psnr", 40, False),
        ("ssim", 0.8, True),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected the keys"),
        ("[1]", "expected the keys"),
        ("limits: {ssim: 1}", "got 'limits'"),
        ("thresholds: 3", "expected metrics with numbers"),
        ("thresholds: {}", "no criteria"),
        ("thresholds: {ssim: yes}", "True is not a number"),
        ("thresholds: {ssim: .nan}", "lies between"),
        ("thresholds: {lpips: 1}", "expected one of"),
        ("worst_windows: {phash: 1}", "not taken in windows"),
        ("{", "no YAML file"),
    ],
)
def test_profiles_that_make_no_sense(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=message) as error:
        load_profile(str(path))
    assert "--profile" in str(error.value)


def test_unknown_profiles(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected one of high, legacy, lossless, medium, visually-lossless"):
        load_profile("higher")
    with pytest.raises(UsageError, match="No such file"):
        load_profile(str(tmp_path / "none.yaml"))
