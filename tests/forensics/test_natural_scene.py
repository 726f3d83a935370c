from importlib import import_module

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from scipy.ndimage import correlate1d
from scipy.special import gamma
from skimage import data

from imgcompress.forensics.natural_scene import (
    NATURAL_SCENE_NAMES,
    fit_aggd,
    local_contrast,
    natural_scene_features,
)
from imgcompress.image.color import rgb_to_gray


@pytest.fixture(scope="module")
def luma(photo: torch.Tensor) -> torch.Tensor:
    return rgb_to_gray(photo[None, :, :201, :300].float())


def _feature(values: torch.Tensor, name: str) -> float:
    return float(values[0, NATURAL_SCENE_NAMES.index(name)])


def _contrast(plane: np.ndarray) -> np.ndarray:
    taps = np.exp(-(np.arange(-3, 4) ** 2) / (2 * (7 / 6) ** 2))
    taps /= taps.sum()

    def blur(values: np.ndarray) -> np.ndarray:
        return correlate1d(correlate1d(values, taps, 0, mode="nearest"), taps, 1, mode="nearest")

    mean = blur(plane)
    return (plane - mean) / (np.sqrt(np.abs(blur(plane**2) - mean**2)) + 1)


def _aggd(values: np.ndarray) -> tuple[float, float, float]:
    """As the paper writes it: the ratio of the spreads, a search of the table."""
    shapes = np.arange(0.2, 10, 0.001)
    table = gamma(2 / shapes) ** 2 / (gamma(1 / shapes) * gamma(3 / shapes))
    left, right = np.mean(values[values < 0] ** 2), np.mean(values[values > 0] ** 2)
    ratio = np.sqrt(left / right)
    moment = np.mean(np.abs(values)) ** 2 / np.mean(values**2)
    wanted = moment * (ratio**3 + 1) * (ratio + 1) / (ratio**2 + 1) ** 2
    return float(shapes[np.argmin((table - wanted) ** 2)]), float(left), float(right)


def test_scipy_agrees(luma: torch.Tensor) -> None:
    found = natural_scene_features(luma)
    plane = luma[0].double().numpy()
    contrast = _contrast(plane)
    np.testing.assert_allclose(local_contrast(luma.double())[0].numpy(), contrast, atol=1e-9)
    halved = np.pad(plane, ((0, 1), (0, 0)), mode="edge").reshape(101, 2, 150, 2).mean((1, 3))
    for scale, values in ((1, contrast), (2, _contrast(halved))):
        pairs = {
            "across": values[:, :-1] * values[:, 1:],
            "down": values[:-1] * values[1:],
            "diagonal": values[:-1, :-1] * values[1:, 1:],
            "antidiagonal": values[:-1, 1:] * values[1:, :-1],
        }
        assert _feature(found, f"natural_variance_{scale}") == pytest.approx(np.mean(values**2), rel=1e-5)
        for name, product in pairs.items():
            shape, left, right = _aggd(product)
            mean = (right**0.5 - left**0.5) * gamma(2 / shape) / np.sqrt(gamma(1 / shape) * gamma(3 / shape))
            for value, wanted, within in (
                ("shape", shape, 1e-3),
                ("mean", mean, 1e-3),
                ("left", left, 1e-6),
                ("right", right, 1e-6),
            ):
                got = _feature(found, f"natural_{name}_{value}_{scale}")
                assert got == pytest.approx(wanted, abs=within), (name, value, scale)


def test_piq_nearly_agrees() -> None:
    """It lets pictures end in zeros and multiplies the last column by the first; the rest is the same."""
    brisque = import_module("piq.brisque")
    luma = rgb_to_gray(torch.from_numpy(data.coffee()).permute(2, 0, 1)[None].float())
    ours = natural_scene_features(luma)[0]
    for half, plane in zip(ours.split(18), (luma, F.avg_pool2d(luma, 2)), strict=True):
        theirs = brisque._natural_scene_statistics(plane[:, None])[0]
        torch.testing.assert_close(half, theirs, rtol=0.02, atol=0.01)


@pytest.mark.parametrize("shape", [0.7, 1.0, 2.0])
def test_a_known_distribution_is_found(shape: float, device: torch.device) -> None:
    """Signed gamma variates to the power 1 / shape are generalized Gaussian."""
    generator = np.random.default_rng(1)
    magnitudes = generator.gamma(1 / shape, size=200_000) ** (1 / shape)
    below = generator.random(200_000) < 0.25
    # A side's share of the mass is in proportion to its width.
    values = torch.from_numpy(np.where(below, -magnitudes, 3 * magnitudes)).to(device)
    found, left, right = fit_aggd(values[None])
    assert float(found) == pytest.approx(shape, rel=0.03)
    assert float((right / left).sqrt()) == pytest.approx(3, rel=0.02)


def test_a_batch_is_its_pictures(photo: torch.Tensor, device: torch.device) -> None:
    batch = (
        torch.stack([photo[0, :57, :65], photo[1, 40:97, 80:145], photo[2, :57, 100:165]]).float().to(device)
    )
    together = natural_scene_features(batch)
    for row, plane in zip(together, batch, strict=True):
        torch.testing.assert_close(row, natural_scene_features(plane[None])[0])
    assert together.device == batch.device
    assert natural_scene_features(batch[:0]).shape == (0, 36)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 2), (7, 9)])
def test_small_and_even_pictures_have_finite_features(size: tuple[int, int], device: torch.device) -> None:
    noise = 255 * torch.rand(1, *size, generator=torch.Generator().manual_seed(1)).to(device)
    assert natural_scene_features(noise).isfinite().all()
    even = natural_scene_features(torch.full((1, *size), 77.3, device=device))[0].cpu()
    for name, value in zip(NATURAL_SCENE_NAMES, even.tolist(), strict=True):
        assert value == pytest.approx(0.2 if "shape" in name else 0), name


def test_blocks_blur_and_noise_show(luma: torch.Tensor) -> None:
    before = natural_scene_features(luma)
    noise = torch.randn(luma.shape, generator=torch.Generator().manual_seed(1))
    noisy = natural_scene_features(luma + 20 * noise)
    # Noise is Gaussian and has no correlated neighbors.
    assert _feature(noisy, "natural_shape_1") > _feature(before, "natural_shape_1") + 0.3
    assert _feature(noisy, "natural_across_mean_1") < _feature(before, "natural_across_mean_1") / 2
