from pathlib import Path

import pytest
import torch

from imgcompress.errors import UsageError
from imgcompress.perception.vgg import TAP_CHANNELS
from train.features import SCALARS, Features
from train.model import TERMS, DistanceConfig, WeightedDistance, term_log, uniform_log_distance
from train.taps import EXPONENTS, FORMS


@pytest.fixture
def features() -> Features:
    generator = torch.Generator().manual_seed(5)

    def draw(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator) * 0.9 + 0.05

    return Features(
        {form: tuple(draw(7, len(EXPONENTS), channels) for channels in TAP_CHANNELS) for form in FORMS},
        draw(7, 108),
        {name: draw(7) for name in SCALARS},
    )


def test_runs_are_independent(features) -> None:
    config = DistanceConfig(terms={"ssimulacra2": 0.3}, scaled_l2=0.1)
    distance = WeightedDistance(config, 3)
    with torch.no_grad():
        distance.channel_logits[1][1] += torch.linspace(0, 2, 256)
    logs = distance(features)
    start = uniform_log_distance(config, features)
    torch.testing.assert_close(logs[0], start)
    torch.testing.assert_close(logs[2], start)
    assert not torch.allclose(logs[1], start, atol=1e-3)


def test_divergences_are_zero_at_the_start_and_positive_elsewhere() -> None:
    distance = WeightedDistance(DistanceConfig(terms={"cvvdp": 0.2}), 2)
    for value in distance.divergences().values():
        torch.testing.assert_close(value, torch.zeros(2), atol=1e-6, rtol=0)
    with torch.no_grad():
        distance.layer_logits[0, 0] += 1
        distance.channel_logits[0][0, 0] += 1
        distance.term_logits[0, 0] += 1
    for value in distance.divergences().values():
        assert value[0] > 1e-4 and abs(value[1]) < 1e-6


def test_a_fit_may_start_from_other_channels(features) -> None:
    logits = [torch.linspace(-1, 1, channels) for channels in TAP_CHANNELS]
    distance = WeightedDistance(DistanceConfig(), 2, logits)
    torch.testing.assert_close(distance.divergences()["channels"], torch.zeros(2), atol=1e-6, rtol=0)
    for found, expected in zip(distance.weights(0).channel_logits, logits, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    assert not torch.allclose(distance(features)[0], uniform_log_distance(DistanceConfig(), features))


@pytest.mark.parametrize("name", TERMS)
def test_every_term_is_a_distance(features, name) -> None:
    assert term_log(features, name).shape == (7,) and term_log(features, name).isfinite().all()
    if name in ("psnr", "ssim", "ms_ssim", "haarpsi", "vsi"):
        better = term_log(features, name)[features.scalars[name].argmax()]
        assert better == term_log(features, name).min()


def test_the_exported_weights_give_the_same_distance(features) -> None:
    config = DistanceConfig(scaled_l2=0.2, terms={"gmsd": 0.25})
    distance = WeightedDistance(config, 2)
    with torch.no_grad():
        for parameter in distance.parameters():
            parameter.add_(torch.linspace(-1, 1, parameter.shape[1]))
    weights = distance.weights(1)
    again = WeightedDistance(
        DistanceConfig(
            layers=tuple(weights.layers.tolist()),
            scaled_l2=weights.scaled_l2,
            terms={"gmsd": weights.terms["gmsd"]},
        ),
        1,
    )
    with torch.no_grad():
        for parameter, logits in zip(again.channel_logits, weights.channel_logits, strict=True):
            parameter.copy_(logits[None])
    torch.testing.assert_close(again(features)[0], distance(features)[1])


@pytest.mark.parametrize(
    "fields",
    [
        {"masking": 0.3},
        {"layers": (0.0, 0.0, 0.0)},
        {"scaled_l2": 1.0},
        {"terms": {"lpips": 0.1}},
        {"terms": {"ssim": 0.0}},
        {"terms": {"ssim": 0.6, "gmsd": 0.5}},
    ],
)
def test_settings_out_of_range_are_refused(fields) -> None:
    with pytest.raises(UsageError, match=rf"model\.distance\.{next(iter(fields))}"):
        DistanceConfig(**fields)


def test_nothing_in_the_package_imports_train() -> None:
    package = Path(__file__).resolve().parents[2] / "imgcompress"
    for file in package.rglob("*.py"):
        lines = file.read_text(encoding="utf-8").splitlines()
        assert not [line for line in lines if line.split()[:2] in (["import", "train"], ["from", "train"])], (
            file
        )
