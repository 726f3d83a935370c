"""Which points and which peer a BD-rate is taken from, on made-up files; the report around it."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rd.comparison import BETTER, HIGH_PEER, compare, compare_ours, thin_curves
from rd.encoders import JPEGLI, JPEGLI_444, LIBJPEG, MOZJPEG
from rd.measure import Point
from rd.pictures import PictureFile, list_pictures
from rd.report import Setting, markdown, write_points
from rd.scores import Metric

METRICS = [
    Metric("ssimulacra2", "SSIMULACRA2", "0", lambda a, b: 0.0, lambda score: score),
    Metric("distance", "a distance", "0", lambda a, b: 0.0, lambda score: -score),
]
SETTING = Setting("scripts/bench rd x", 2, "versions", ["a metric: not here"], None)


def points(encoder: str, factor: float, picture: str = "p", *, distance_factor: float = 1.0) -> list[Point]:
    """Bytes grow exponentially with SSIMULACRA2 from 50 to 96; the distance falls with the bytes."""
    made = []
    for step, score in enumerate(np.arange(50.0, 96.5, 2.0)):
        size = round(1e6 * factor * math.exp(0.04 * score))
        distance = distance_factor * (100 - score) / 20
        scores = {"ssimulacra2": float(score), "distance": distance}
        made.append(Point(picture, encoder, 40 + step, size, 0.4, 0.1, scores))
    return made


def rates(made: list[Point]) -> dict[tuple[str, str], float]:
    return {(rate.peer, rate.metric): rate.percent for rate in compare(made, METRICS)}


def test_the_better_peer_is_the_one_nearest_to_ours() -> None:
    made = points("ours: x", 0.9) + points(LIBJPEG, 1.2) + points(MOZJPEG, 1.0) + points(JPEGLI, 0.95)
    found = rates(made)
    assert found[LIBJPEG, "ssimulacra2"] == pytest.approx(-25, abs=0.01)
    assert found[MOZJPEG, "ssimulacra2"] == pytest.approx(-10, abs=0.01)
    assert found[BETTER, "ssimulacra2"] == found[JPEGLI, "ssimulacra2"] == pytest.approx(-5.263, abs=0.01)
    assert math.isnan(found[HIGH_PEER, "ssimulacra2"])


def test_the_better_peer_is_chosen_metric_by_metric() -> None:
    made = [
        *points("ours: x", 1.0),
        *points(LIBJPEG, 1.5),
        *points(MOZJPEG, 1.1),
        *points(JPEGLI, 1.2, distance_factor=0.8),
    ]
    found = rates(made)
    assert found[BETTER, "ssimulacra2"] == found[MOZJPEG, "ssimulacra2"]
    assert found[BETTER, "distance"] == found[JPEGLI, "distance"] > 0


def test_only_files_within_the_range_count() -> None:
    made = points("ours: x", 0.9) + points(LIBJPEG, 1.0) + points(MOZJPEG, 1.0) + points(JPEGLI, 1.0)
    outside = [
        Point(p.picture, p.encoder, p.quality, 3 * p.size, p.megapixels, p.seconds, p.scores)
        if not 60 <= p.scores["ssimulacra2"] <= 90
        else p
        for p in made
    ]
    assert rates(outside) == pytest.approx(rates(made), nan_ok=True)


def test_jpegli_444_is_compared_above_85_only() -> None:
    others = [*points(LIBJPEG, 1.0), *points(MOZJPEG, 1.0), *points(JPEGLI, 1.0)]
    low = [p for p in points(JPEGLI_444, 0.5) if p.scores["ssimulacra2"] < 85]
    high = [p for p in points(JPEGLI_444, 1.25) if p.scores["ssimulacra2"] >= 85]
    found = rates([*points("ours: x", 1.0), *others, *low, *high])
    assert found[HIGH_PEER, "ssimulacra2"] == pytest.approx(-20, abs=0.01)
    assert found[BETTER, "ssimulacra2"] == pytest.approx(0, abs=0.01)


def test_thin_curves_are_named() -> None:
    made = points("ours: x", 1.0) + points(MOZJPEG, 1.0)[:8]
    assert thin_curves(made) == [f"p, {MOZJPEG}: 3 points"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    noise = np.random.default_rng(0).integers(0, 256, (2, 40, 60, 3), dtype=np.uint8)
    for name, pixels in zip(("one", "two"), noise, strict=True):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    (tmp_path / "readme.md").write_text("not a picture")
    Image.fromarray(noise[0]).save(tmp_path / "lossy.jpg")
    return tmp_path


def test_lossless_pictures_only_cut_from_the_middle(folder: Path) -> None:
    pictures = list_pictures(folder, (20, 10), None)
    assert [picture.name for picture in pictures] == ["one", "two"]
    whole = list_pictures(folder, None, 1)[0].pixels
    assert np.array_equal(pictures[0].pixels, whole[15:25, 20:40])


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no lossless pictures"):
        list_pictures(tmp_path, None, None)


def report(folder: Path, fitted_on: list[PictureFile] | None) -> str:
    made = [
        point
        for name in ("one", "two")
        for encoder, factor in (("ours: x", 0.9), (LIBJPEG, 1.2), (MOZJPEG, 1.0), (JPEGLI, 1.0))
        for point in points(encoder, factor, name)
    ]
    pictures = list_pictures(folder, None, None)
    return markdown(pictures, made, compare(made, METRICS), METRICS, replace(SETTING, fitted_on=fitted_on))


def test_the_report_says_what_was_measured_and_what_was_not(folder: Path) -> None:
    text = report(folder, None)
    assert "-25.0 [-25.0, -25.0] (0/2; -25.0)" in text
    assert "- a metric: not here" in text
    assert "Fitted on: not stated" in text


def test_a_fitted_picture_is_in_sample_whatever_its_name(folder: Path) -> None:
    other = folder / "elsewhere"
    other.mkdir()
    (folder / "two.png").rename(other / "copy.png")
    fitted = list_pictures(other, None, None)
    assert "share no picture" in report(folder, fitted)
    (folder / "two.png").write_bytes((other / "copy.png").read_bytes())
    assert "In-sample: two" in report(folder, fitted)


def test_ours_are_compared_with_the_first_of_them(folder: Path) -> None:
    made = [
        *points("ours: x", 1.0),
        *points("ours: y", 1.1),
        *points("ours: z", 1.0, distance_factor=1.2),
        *points(MOZJPEG, 0.5),
    ]
    found = compare_ours(made, METRICS)
    assert {(rate.encoder, rate.peer) for rate in found} == {("ours: y", "ours: x"), ("ours: z", "ours: x")}
    percents = {(rate.encoder, rate.metric): rate.percent for rate in found}
    assert percents["ours: y", "ssimulacra2"] == pytest.approx(10, abs=0.01)
    assert percents["ours: y", "distance"] == pytest.approx(10, abs=0.01)
    assert (
        percents["ours: z", "ssimulacra2"] == pytest.approx(0, abs=0.01)
        and percents["ours: z", "distance"] > 1
    )
    assert compare_ours(points("ours: x", 1.0), METRICS) == []
    text = markdown(list_pictures(folder, None, None), made, found, METRICS, SETTING)
    assert "| ours: y | +10.0 [+10.0, +10.0] (1/1; +10.0)" in text and BETTER not in text


def test_the_csv_has_a_line_a_file(tmp_path: Path) -> None:
    made = points(MOZJPEG, 1.0)
    write_points(tmp_path / "points.csv", made, METRICS)
    lines = (tmp_path / "points.csv").read_text().splitlines()
    assert lines[0].endswith("seconds,ssimulacra2,distance")
    assert len(lines) == 1 + len(made)
    assert lines[1].split(",")[:4] == ["p", MOZJPEG, "40", str(made[0].size)]
