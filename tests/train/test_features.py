import os
from dataclasses import replace
from pathlib import Path

import piq
import pytest
import torch
from PIL import Image

from imgcompress.errors import UsageError
from imgcompress.perception.distance import PerceptualDistance
from imgcompress.perception.ssimulacra2 import Ssimulacra2Reference
from imgcompress.perception.vgg import load_trunk
from imgcompress.resources import default_trunk
from train.features import ENTRY_BYTES, FeatureCache
from train.judgments import Item, read_judgments
from train.model import DistanceConfig, WeightedDistance, uniform_log_distance
from train.ssimulacra2_terms import by_scale, ssimulacra2_terms


@pytest.fixture(scope="module")
def items(pictures: Path) -> tuple[Item, ...]:
    rows = [f"p{n}.png,p{n}_{q}.jpg,{n + q}" for n in range(2) for q in (10, 60)]
    (pictures / "few.csv").write_text("\n".join(["reference,test,score", *rows]))
    return read_judgments([pictures / "few.csv"]).items


def _rgb(path: Path) -> torch.Tensor:
    image = Image.open(path).convert("RGB")
    pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    return pixels.reshape(1, image.height, image.width, 3).permute(0, 3, 1, 2) / 255


def test_features_give_the_package_its_distance(items, tmp_path) -> None:
    features = FeatureCache(tmp_path, default_trunk()).features(items, progress=False)
    references, tests = (
        torch.cat([_rgb(getattr(item, name)) for item in items]) for name in ("reference", "test")
    )
    distance = PerceptualDistance(load_trunk(default_trunk()))(references, tests)
    torch.testing.assert_close(uniform_log_distance(DistanceConfig(), features).exp(), distance)
    torch.testing.assert_close(
        features.scalars["ssimulacra2"], Ssimulacra2Reference(references).distance(tests), rtol=1e-4, atol=0
    )
    torch.testing.assert_close(features.scalars["gmsd"], piq.gmsd(tests, references, reduction="none"))
    assert features.scalars["ms_ssim"].isnan().all()  # below 161 pixels


def test_fitted_weights_give_the_package_the_same_distance(items, tmp_path) -> None:
    features = FeatureCache(tmp_path, default_trunk()).features(items, progress=False)
    fitted = WeightedDistance(DistanceConfig(scaled_l2=0.3, terms={"ssimulacra2": 0.4}), 1)
    with torch.no_grad():
        for parameter in fitted.parameters():
            parameter.add_(torch.linspace(-1, 1, parameter.shape[1]))
    weights = fitted.weights(0)
    distance = PerceptualDistance(
        load_trunk(default_trunk()),
        weights.layers.tolist(),
        weights.channel_logits,
        scaled_l2=weights.scaled_l2,
        ssimulacra2=weights.terms["ssimulacra2"],
    )
    references, tests = (
        torch.cat([_rgb(getattr(item, name)) for item in items]) for name in ("reference", "test")
    )
    torch.testing.assert_close(fitted(features)[0].exp(), distance(references, tests))


@pytest.mark.parametrize("size", [(16, 20), (96, 112), (128, 160), (257, 265)])
def test_the_scales_of_ssimulacra2_add_up(photo, size) -> None:
    x = photo[None, :, : size[0], : size[1]] / 255
    y = (x + 0.1 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1))).clamp(0, 1)
    total = by_scale(ssimulacra2_terms(x, y)).sum()
    expected = Ssimulacra2Reference(x, aligned=True).distance(y)[0]
    torch.testing.assert_close(total, expected, rtol=1e-4, atol=0)
    published = Ssimulacra2Reference(x).distance(y)[0]
    assert torch.isclose(total, published, rtol=1e-4) == (min(size) >= 113)


def test_what_is_on_disk_is_not_computed_again(items, tmp_path, monkeypatch) -> None:
    whole = FeatureCache(tmp_path / "a", default_trunk()).features(items, progress=False)
    FeatureCache(tmp_path / "b", default_trunk()).features(items[:3], progress=False)
    damaged, *_ = sorted((tmp_path / "b").rglob("*.safetensors"))
    damaged.write_bytes(damaged.read_bytes()[:100])

    computed = []
    compute = FeatureCache._compute
    monkeypatch.setattr(
        FeatureCache, "_compute", lambda self, item: computed.append(item) or compute(self, item)
    )
    resumed = FeatureCache(tmp_path / "b", default_trunk()).features(items, progress=False)
    assert len(computed) == 2  # the fourth, and the damaged one
    assert torch.equal(resumed.taps["unit"][2], whole.taps["unit"][2])
    assert not list(tmp_path.rglob("*.part"))


def test_a_pair_of_two_studies_is_looked_at_once(items, tmp_path, monkeypatch) -> None:
    computed = []
    compute = FeatureCache._compute
    monkeypatch.setattr(
        FeatureCache, "_compute", lambda self, item: computed.append(item) or compute(self, item)
    )
    twice = (*items[:2], replace(items[0], study="another"))
    features = FeatureCache(tmp_path, default_trunk()).features(twice, progress=False)
    assert len(computed) == 2
    assert torch.equal(features.taps["unit"][0][2], features.taps["unit"][0][0])


def test_the_cache_is_bounded(items, tmp_path) -> None:
    limit = 3 * ENTRY_BYTES / 1e6
    cache = FeatureCache(tmp_path, default_trunk(), max_megabytes=limit)
    cache.features(items[:2], progress=False)
    for path in tmp_path.rglob("*.safetensors"):
        os.utime(path, (1, 1))
    cache.features(items[2:], progress=False)
    left = list(tmp_path.rglob("*.safetensors"))
    assert len(left) == 3 and sum(path.stat().st_mtime > 1 for path in left) == 2
    with pytest.raises(UsageError, match="max_megabytes"):
        cache.features(items, progress=False)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("cut off", "p0_10.jpg"),
        ("size", "20 x 20 pixels, its reference 40 x 32"),
        ("tiny", "8 x 8 pixels; 16"),
    ],
)
def test_a_picture_that_cannot_be_compared_is_named(pictures, tmp_path, content, message) -> None:
    (tmp_path / "p0.png").write_bytes((pictures / "p0.png").read_bytes())
    if content == "cut off":
        (tmp_path / "p0_10.jpg").write_bytes((pictures / "p0_10.jpg").read_bytes()[:200])
    else:
        side = 20 if content == "size" else 8
        Image.new("RGB", (side, side)).save(tmp_path / "p0_10.jpg")
    (tmp_path / "p0_60.jpg").write_bytes((pictures / "p0_60.jpg").read_bytes())
    (tmp_path / "mine.csv").write_text("reference,test,score\np0.png,p0_60.jpg,2\np0.png,p0_10.jpg,1\n")
    items = read_judgments([tmp_path / "mine.csv"]).items
    with pytest.raises(UsageError, match=rf"mine\.csv: row 3, column test: .*{message}"):
        FeatureCache(tmp_path / "cache", default_trunk()).features(items, progress=False)
