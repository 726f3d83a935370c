from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from imgcompress.config import ObjectiveConfig
from imgcompress.perception import tiles
from imgcompress.perception.cvvdp import CvvdpReference
from imgcompress.perception.masking import MaskedContrastReference
from imgcompress.perception.objective import MixedObjective
from imgcompress.perception.ssimulacra2 import Ssimulacra2Reference, ssimulacra2

References = type[Ssimulacra2Reference] | type[MaskedContrastReference] | type[CvvdpReference]
EACH = pytest.mark.parametrize("kind", [Ssimulacra2Reference, MaskedContrastReference, CvvdpReference])
# No side is a multiple of a tile's; one picture is narrower than what SSIMULACRA2 takes.
SIZES = [(131, 150), (97, 40), (61, 18), (150, 1)]


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """36x36 pixels of both pictures, or 50x50 of one."""
    monkeypatch.setattr(tiles, "TILE_PIXELS", 2 * 36 * 36)


def pairs(photo: Tensor, size: tuple[int, int], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    height, width = size
    originals = torch.stack([photo[:, :height, :width], photo[:, -height:, -width:]]).to(dtype) / 255
    noise = torch.randn(originals.shape, generator=torch.Generator().manual_seed(0), dtype=dtype)
    return originals, (originals + 0.05 * noise).clamp(0, 1)


def value_and_gradient(distance: Callable[[Tensor], Tensor], tests: Tensor) -> tuple[Tensor, Tensor]:
    leaf = tests.clone().requires_grad_()
    values = distance(leaf)
    return values.detach(), torch.autograd.grad(values.log().sum(), leaf)[0]


@EACH
@pytest.mark.parametrize("size", SIZES)
def test_distances_and_gradients_are_exact(kind: References, size: tuple[int, int], photo: Tensor) -> None:
    originals, tests = pairs(photo, size, torch.float64)
    expected = value_and_gradient(kind(originals).distance, tests)
    values, gradient = value_and_gradient(kind(originals, tiled=True).distance, tests)
    torch.testing.assert_close(values, expected[0], rtol=1e-13, atol=0)
    torch.testing.assert_close(gradient, expected[1], rtol=0, atol=1e-12 * expected[1].abs().max().item())


@EACH
def test_float32_rounds_a_little_differently(kind: References, photo: Tensor) -> None:
    originals, tests = pairs(photo, (131, 150), torch.float32)
    expected = value_and_gradient(kind(originals).distance, tests)
    values, gradient = value_and_gradient(kind(originals, tiled=True).distance, tests)
    torch.testing.assert_close(values, expected[0], rtol=1e-6, atol=0)
    assert (gradient - expected[1]).norm() < 1e-5 * expected[1].norm()


@EACH
def test_a_tile_sees_no_more_than_it_must(kind: References, photo: Tensor) -> None:
    originals, tests = pairs(photo, (131, 150), torch.float64)
    module = __import__(kind.__module__, fromlist=["_REACH"])
    expected = kind(originals).distance(tests)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_REACH", module._REACH - 2)
        values = kind(originals, tiled=True).distance(tests)
    assert not torch.allclose(values, expected, rtol=1e-13, atol=0)


def test_it_goes_through_tiles(photo: Tensor) -> None:
    seen = []

    def step(originals: Tensor, tests: Tensor, own: tiles.Window) -> tuple[Tensor, Tensor, Tensor]:
        seen.append(tests.shape[2:])
        return tests[own].sum((2, 3)), originals[..., ::2, ::2], tests[..., ::2, ::2]

    originals, tests = pairs(photo, (100, 50), torch.float64)
    fine, coarse = tiles.level_means(originals, tests, [step, step], 4)
    torch.testing.assert_close(fine, tests.mean((2, 3)))
    torch.testing.assert_close(coarse, tests[..., ::2, ::2].mean((2, 3)))
    assert len(seen) == 2 * (2 * 1) + 2 * 1  # of each picture two, of both together two
    assert max(max(shape) for shape in seen) <= 50 + 2 * 4


@pytest.mark.parametrize("channels", [1, 3])
def test_bytes_are_measured_as_they_are(channels: int, photo: Tensor) -> None:
    original = photo[None, :channels, :131, :150]
    other = (original.int() + torch.randint(-9, 9, original.shape)).clamp(0, 255).to(torch.uint8)
    expected = ssimulacra2(original / 255, other / 255)
    torch.testing.assert_close(ssimulacra2(original, other, tiled=True), expected, rtol=1e-5, atol=1e-5)


def test_the_mixture_of_some_pictures(photo: Tensor) -> None:
    originals, tests = pairs(photo, (131, 150), torch.float32)
    last = torch.tensor([1])
    expected = MixedObjective(originals, ObjectiveConfig())(tests)
    tiled = MixedObjective(originals, ObjectiveConfig(), tiled=True)
    torch.testing.assert_close(tiled(tests), expected)
    torch.testing.assert_close(tiled.select(last)(tests[1:]), expected[1:])
