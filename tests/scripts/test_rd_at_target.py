"""Bytes at one score: the peers' bracket, our own search, the tables; on made-up files where that will do."""

import math
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from rd.at_target import Hit, bytes_at, markdown, parse, write_csv
from rd.cache import Cache, Encoded
from rd.encoders import our_spec
from rd.pictures import list_pictures
from rd.qualities import bracket
from rd.report import Setting

from imgcompress.errors import UsageError
from imgcompress.perception.ssimulacra2 import ssimulacra2
from imgcompress.resources import resource_path
from imgcompress.targets import parse_target

TARGET = parse_target("ssimulacra2=80")


@pytest.mark.parametrize(
    "encoder",
    [
        lambda q: 100 - 60 * (1 - q / 100) ** 0.6,
        lambda q: 30 + 0.65 * q,
        lambda q: 97 - 700 / (q + 1),
        lambda q: 20 + 0.78 * q + (1.5 if q % 2 else 0),  # not monotone
        lambda q: 90.0 if q > 83 else 60.0,
    ],
)
@pytest.mark.parametrize("wanted", [61.0, 74.3, 80.0, 89.9])
def test_the_bracket_encloses_the_score_between_neighbors(
    encoder: Callable[[int], float], wanted: float
) -> None:
    asked: list[int] = []

    def score_of(quality: int) -> float:
        asked.append(quality)
        return encoder(quality)

    pair = bracket(score_of, wanted, (75, 92))
    assert pair is not None
    lower, upper = pair
    assert upper == lower + 1
    assert encoder(lower) < wanted <= encoder(upper)
    assert len(asked) == len(set(asked)) <= 14
    assert all(1 <= quality <= 100 for quality in asked)


@pytest.mark.parametrize("encoder", [lambda q: 40 + 0.3 * q, lambda q: 92.0, lambda q: 85 + q / 100])
def test_there_is_no_bracket_where_the_score_is_out_of_reach(encoder: Callable[[int], float]) -> None:
    assert bracket(encoder, 80, (75, 92)) is None


def test_the_ends_of_the_scale_can_be_part_of_a_bracket() -> None:
    assert bracket(lambda q: 80.0 if q == 100 else 70.0, 80, (75, 92)) == (99, 100)
    assert bracket(lambda q: 70.0 if q == 1 else 85.0, 80, (75, 92)) == (1, 2)


def test_bytes_between_two_qualities_are_geometric() -> None:
    assert bytes_at(76.25, lambda q: (100 * 2**q, float(q))) == pytest.approx(100 * 2**76.25)
    assert bytes_at(76.0, lambda q: (q * q, float(q))) == pytest.approx(76 * 76)
    assert math.isnan(bytes_at(101.0, lambda q: (q, float(q))))


def test_another_metric_is_refused() -> None:
    assert parse("ssimulacra2=80") == TARGET
    with pytest.raises(UsageError, match="not psnr"):
        parse("psnr=40")
    with pytest.raises(UsageError, match="METRIC=VALUE"):
        parse("80")


@pytest.fixture
def settings_file(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "mine.yaml"
        path.write_text(text)
        return path

    return write


@pytest.mark.parametrize(
    ("text", "target", "expected"),
    [
        ("quality: 75", None, ("420", 1, None)),
        ("quality: 75", "ssimulacra2=80", ("auto", 8, "ssimulacra2=80")),
        ("max_encodes: 1", "ssimulacra2=80", ("auto", 8, "ssimulacra2=80")),
        ("max_encodes: 4", "ssimulacra2=80", ("auto", 4, "ssimulacra2=80")),
        ("subsampling: '444'", None, ("444", 1, None)),
        ("subsampling: '444'", "ssimulacra2=80", ("444", 8, "ssimulacra2=80")),
        ("target: psnr=40", None, ("420", 1, None)),
    ],
)
def test_what_the_benchmark_leaves_of_a_settings_file(
    text: str,
    target: str | None,
    expected: tuple[str, int, str | None],
    settings_file: Callable[[str], Path],
) -> None:
    config = our_spec(settings_file(text), "cpu", target).config
    assert config is not None
    assert (config.subsampling, config.max_encodes, config.target) == expected


def test_files_with_and_without_a_target_are_not_taken_for_each_other(
    settings_file: Callable[[str], Path],
) -> None:
    path = settings_file("quality: 75")
    targets = (None, "ssimulacra2=80", "ssimulacra2=70")
    identities = [our_spec(path, "cpu", target).identity for target in targets]
    assert len({str(identity) for identity in identities}) == len(targets)


def test_fitted_weights_count_where_the_loop_looks_at_the_distance(
    settings_file: Callable[[str], Path], tmp_path: Path
) -> None:
    weights = tmp_path / "mine.safetensors"
    found = []
    for objective in ("objective: {vgg: 0.1}\n", ""):
        path = settings_file(f"{objective}perception: {{weights: {weights}}}")
        for content in (b"one", b"two"):
            weights.write_bytes(content)
            found.append(our_spec(path, "cpu").identity)
    assert found[0] != found[1]
    assert found[2] == found[3]


def test_the_tools_own_search_hits_what_the_file_shows(photo: torch.Tensor) -> None:
    spec = our_spec(resource_path("configs/presets/instant.yaml"), "cpu", "ssimulacra2=80")
    pixels = photo[:, 100:228, 200:360].permute(1, 2, 0).numpy()
    encoded = spec.build()(np.ascontiguousarray(pixels), 1)
    assert 1 <= encoded.encodes <= 8
    with Image.open(BytesIO(encoded.data)) as image:
        result = np.array(image.convert("RGB"))
    pair = (torch.from_numpy(each.copy()).permute(2, 0, 1)[None] / 255 for each in (pixels, result))
    assert float(ssimulacra2(*pair)) == pytest.approx(80, abs=0.5)


def test_a_target_out_of_reach_leaves_no_file_and_says_how_often_it_was_tried() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    spec = our_spec(resource_path("configs/presets/instant.yaml"), "cpu", "ssimulacra2=94")
    assert spec.config is not None
    encoded = replace(spec, config=replace(spec.config, subsampling="420")).build()(noise, 1)
    assert encoded.data == b""
    assert encoded.encodes > 1


def test_the_cache_keeps_how_many_encodings_a_search_took(tmp_path: Path) -> None:
    made = Encoded(b"jpeg", 0.5, 3)
    assert [Cache(tmp_path).encoded("0a", lambda: made) for _ in range(2)] == [made, made]
    next(tmp_path.rglob("*.json")).write_text('{"seconds": 0.5}')  # as older caches say it
    assert Cache(tmp_path).encoded("0a", lambda: made) == Encoded(b"jpeg", 0.5, 1)


def hit(picture: str, port: float, size: float = 900, peers: tuple[float, float] = (1000, 1200)) -> Hit:
    by_name = dict(zip(("mozjpeg", "jpegli"), peers, strict=True))
    return Hit(picture, "ours: x", size, port, port - 0.3, 3, "420", by_name)


UNREACHED = Hit("four", "ours: x", math.nan, math.nan, math.nan, 8, "", dict.fromkeys(("mozjpeg", "jpegli"), math.nan))  # fmt: skip  # noqa: E501
HITS = [
    hit("one", 80.5),
    hit("two", 79.2),
    hit("three", 80.0, 1100, (1000, math.nan)),
    UNREACHED,
]


def report(folder: Path) -> str:
    Image.new("RGB", (8, 8)).save(folder / "one.png")
    setting = Setting("scripts/bench rd x", 1, "versions", [], None)
    return markdown(list_pictures(folder, None, None), HITS, TARGET, setting)


def test_the_report_counts_hits_errors_and_encodes(tmp_path: Path) -> None:
    lines = report(tmp_path).splitlines()
    # Four pictures, of which one missed by 0.8 and one was given up; errors of the three that were reached.
    assert "| ours: x | 2/4 (50 %) | 0.43 | 0.80 | 0.53 | 1.10 | 4.25 | 8 | 1 |" in lines


def test_the_report_compares_bytes_with_each_peer_over_the_pictures_both_reach(tmp_path: Path) -> None:
    row = next(line for line in report(tmp_path).splitlines() if line.startswith("| ours: x | 2,900"))
    mozjpeg, jpegli = row.strip("| ").split(" | ")[2:]
    assert mozjpeg.startswith("3,000 (-3.3); -3.3 [")
    assert mozjpeg.endswith("(1/3; +10.0)")
    assert jpegli == "2,400 (-25.0); -25.0 [-25.0, -25.0] (0/2; -25.0)"


def test_the_report_has_a_line_a_picture(tmp_path: Path) -> None:
    lines = report(tmp_path).splitlines()
    assert "| one | 900 | 80.50 | 80.20 | 3 | 420 | 1,000 (-10.0) | 1,200 (-25.0) |" in lines
    assert "| three | 1,100 | 80.00 | 79.70 | 3 | 420 | 1,000 (+10.0) | not reached |" in lines
    assert "| four | out of reach |  |  | 8 |  |  |  |" in lines


def test_the_csv_has_a_line_a_picture_and_no_nan(tmp_path: Path) -> None:
    write_csv(tmp_path / "target.csv", HITS)
    lines = (tmp_path / "target.csv").read_text().splitlines()
    assert lines[0] == "picture,encoder,bytes,port,judge,encodes,sampling,mozjpeg,jpegli"
    assert lines[1] == "one,ours: x,900,80.5000,80.2000,3,420,1000.0,1200.0"
    assert lines[4] == "four,ours: x,,,,8,,,"
