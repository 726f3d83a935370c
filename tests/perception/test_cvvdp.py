import math

import pytest
import torch

from imgcompress.perception.cvvdp import CvvdpReference

# 10 - JOD of package cvvdp 0.5.7, display standard_4k: period of the wave in pixels, channel or None for all.
WITNESSES = (
    (5.0, None, 1.7796),
    (5.0, 0, 0.7407),
    (5.0, 2, 0.0199),
    (10.0, None, 2.9151),
    (10.0, 0, 1.5544),
    (10.0, 2, 0.0340),
    (20.0, None, 3.3062),
    (20.0, 0, 2.1787),
    (20.0, 2, 0.0651),
    (40.0, None, 2.4821),
    (40.0, 0, 1.6389),
    (40.0, 2, 0.1175),
)


def crop(photo: torch.Tensor, size: tuple[int, int] = (192, 192)) -> torch.Tensor:
    return photo[None, :, 100 : 100 + size[0], 120 : 120 + size[1]].float() / 255


def with_wave(original: torch.Tensor, period: float, channel: int | None) -> torch.Tensor:
    """Vertical stripes of 16 gray levels."""
    wave = 16 * torch.sin(2 * math.pi * torch.arange(original.shape[-1]) / period + 0.5)
    result = original * 255
    result[:, slice(None) if channel is None else channel] += wave
    return result.round().clamp(0, 255) / 255


def noisy(originals: torch.Tensor, strength: float) -> torch.Tensor:
    noise = torch.randn(originals.shape, generator=torch.Generator().manual_seed(1)).to(originals)
    return (originals + strength * noise).clamp(0, 1)


@pytest.mark.parametrize(("period", "channel", "lost"), WITNESSES)
def test_it_sees_what_the_whole_metric_sees(
    period: float, channel: int | None, lost: float, photo: torch.Tensor
) -> None:
    original = crop(photo)
    distance = CvvdpReference(original).distance(with_wave(original, period, channel)).item()
    # The published curve from D, for a still picture, to just objectionable differences.
    assert 0.044 * (0.578 * distance) ** 0.93 == pytest.approx(lost, rel=0.14)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 9), (33, 40)])
@pytest.mark.parametrize("channels", [1, 3])
def test_equal_pictures_have_no_distance(
    size: tuple[int, int], channels: int, photo: torch.Tensor, device: torch.device
) -> None:
    original = crop(photo, size)[:, :channels].to(device)
    distance = CvvdpReference(original).distance(original)
    assert distance.shape == (1,)
    assert 0 <= distance.item() < 1e-3


def test_texture_hides_an_error_that_shows_on_a_plane() -> None:
    texture = 0.5 + 0.2 * torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(1))
    originals = torch.cat((torch.full((1, 1, 64, 64), 0.5), texture.clamp(0.1, 0.9)))
    error = 0.03 * torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(2))
    plane, hidden = CvvdpReference(originals).distance(originals + error)
    assert hidden < 0.5 * plane


@pytest.mark.parametrize("kind", ["black", "white", "noise", "photo"])
@pytest.mark.parametrize("strength", [0.0, 0.1])
def test_gradients_are_finite(kind: str, strength: float, photo: torch.Tensor) -> None:
    original = {
        "black": torch.zeros(1, 3, 24, 31),
        "white": torch.ones(1, 3, 24, 31),
        "noise": noisy(torch.full((1, 3, 24, 31), 0.5), 0.5),
        "photo": crop(photo, (24, 31)),
    }[kind]
    test = noisy(original, strength).requires_grad_()
    CvvdpReference(original).distance(test).sum().backward()
    assert test.grad is not None
    assert test.grad.isfinite().all()


@pytest.mark.parametrize("size", [(5, 3), (18, 19)])
def test_gradients_are_the_differences(size: tuple[int, int], photo: torch.Tensor) -> None:
    original = crop(photo, size).double()
    test = (0.1 + 0.8 * noisy(original, 0.1)).requires_grad_()
    assert torch.autograd.gradcheck(CvvdpReference(original).distance, (test,), fast_mode=True)


@pytest.mark.parametrize("channels", [1, 3])
def test_batched_equals_unbatched(channels: int, photo: torch.Tensor, device: torch.device) -> None:
    originals = torch.cat([crop(photo, (40, 57)), crop(photo.flip(1), (40, 57))])[:, :channels].to(device)
    tests = noisy(originals, 0.05)
    together = CvvdpReference(originals).distance(tests)
    for row in range(2):
        alone = CvvdpReference(originals[row : row + 1]).distance(tests[row : row + 1])
        torch.testing.assert_close(together[row : row + 1], alone)


def test_select_keeps_the_pictures_asked_for(photo: torch.Tensor) -> None:
    originals = torch.cat([crop(photo, (40, 57)), crop(photo.flip(1), (40, 57))])
    tests = noisy(originals, 0.05)
    reference = CvvdpReference(originals)
    chosen = reference.select(torch.tensor([1])).distance(tests[1:])
    torch.testing.assert_close(chosen, reference.distance(tests)[1:])
