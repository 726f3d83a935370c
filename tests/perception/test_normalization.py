import numpy as np
import pytest
import torch
from scipy.ndimage import uniform_filter

from imgcompress.config import Normalization
from imgcompress.perception.normalization import LAYER_ENERGIES, RELATIVE_EPSILON, channel_means, normalize
from imgcompress.perception.vgg import TAP_CHANNELS, Taps


def features(channels: int, seed: int, batch: int = 2) -> torch.Tensor:
    """Like a tap: a half of the responses is 0."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, channels, 9, 7, generator=generator).relu() * 300


def taps(seed: int, batch: int = 2) -> Taps:
    return Taps(*(features(channels, seed, batch) for channels in TAP_CHANNELS))


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_divisive_is_division_by_the_local_contrast(layer: int):
    raw = features(TAP_CHANNELS[layer], 5)
    normal = normalize(raw, layer, "divisive")
    squares = raw.double().square().numpy()
    # Zeros around, divided by how many of the 25 locations are inside.
    inside = uniform_filter(np.ones((9, 7)), 5, mode="constant")
    local = uniform_filter(squares, (1, 1, 5, 5), mode="constant") / inside
    floor = RELATIVE_EPSILON["divisive"] * LAYER_ENERGIES[layer] / TAP_CHANNELS[layer]
    np.testing.assert_allclose(normal.numpy(), raw.numpy() / np.sqrt(local + floor), rtol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_unit_is_unit_length_and_none_is_none(dtype: torch.dtype):
    raw = features(256, 5).to(dtype)
    lengths = normalize(raw, 1, "unit").square().sum(1)
    torch.testing.assert_close(lengths, torch.ones_like(lengths))
    assert torch.equal(normalize(raw, 1, "none"), raw.float())


@pytest.mark.parametrize("normalization", ["unit", "divisive", "none"])
def test_channels_that_do_not_differ_add_nothing(normalization: Normalization):
    a, b = taps(5), taps(5)
    for tap in b:
        tap[:, 3] = tap[:, 3].roll(1, 2)
    for channels, means in zip(TAP_CHANNELS, channel_means(a, b, normalization), strict=True):
        assert means.shape == (2, channels)
        assert (means[:, 3] > 0).all()
        # At unit length the others' share of the length changes a little.
        assert (means.argmax(1) == 3).all()
        if normalization != "unit":
            assert means.count_nonzero() == 2


@pytest.mark.parametrize("normalization", ["unit", "divisive", "none"])
def test_a_location_without_any_response_has_finite_gradients(normalization: Normalization):
    raw = torch.zeros(1, 128, 2, 2, requires_grad=True)
    normal = normalize(raw, 0, normalization)
    assert not normal.any()
    normal.sum().backward()
    assert raw.grad is not None
    assert raw.grad.isfinite().all()
