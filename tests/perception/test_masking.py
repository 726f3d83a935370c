import pytest
import torch

from imgcompress.perception.masking import SCALES, MaskedContrastReference

EQUAL = SCALES * 1e-6
"""The epsilon's share: sqrt(1e-12) at each scale."""


def pictures(photo: torch.Tensor, size: tuple[int, int] = (40, 56), batch: int = 2) -> torch.Tensor:
    height, width = size
    crops = [photo[:, 100 : 100 + height, 80 * i : 80 * i + width] for i in range(batch)]
    return torch.stack(crops).float() / 255


def noisy(originals: torch.Tensor, strength: float, seed: int = 0) -> torch.Tensor:
    noise = torch.randn(originals.shape, generator=torch.Generator().manual_seed(seed))
    return (originals + strength * noise.to(originals.device)).clamp(0, 1)


@pytest.mark.parametrize("size", [(1, 1), (7, 9), (40, 56)])
@pytest.mark.parametrize("channels", [1, 3])
def test_equal_pictures_have_no_distance(
    size: tuple[int, int], channels: int, photo: torch.Tensor, device: torch.device
) -> None:
    originals = pictures(photo, size)[:, :channels].to(device)
    distance = MaskedContrastReference(originals).distance(originals)
    assert distance.shape == (2,)
    assert (distance <= EQUAL * 1.01).all()


def test_it_grows_with_the_error(photo: torch.Tensor) -> None:
    originals = pictures(photo)
    reference = MaskedContrastReference(originals)
    distances = [reference.distance(noisy(originals, strength)) for strength in (0.01, 0.03, 0.1)]
    assert (distances[0] < distances[1]).all() and (distances[1] < distances[2]).all()


def test_texture_hides_an_error_that_shows_on_a_plane() -> None:
    texture = 0.5 + 0.2 * torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(1))
    originals = torch.cat((torch.full((1, 1, 64, 64), 0.5), texture.clamp(0.1, 0.9)))
    error = 0.02 * torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(2))
    plane, hidden = MaskedContrastReference(originals).distance(originals + error)
    assert hidden < 0.5 * plane


def test_the_worst_places_count_most(photo: torch.Tensor) -> None:
    original = torch.full((1, 3, 64, 64), 0.5)
    spread = original + 0.01
    gathered = original.clone()
    gathered[..., 24:40, 24:40] += 0.16  # sixteen times the error on a sixteenth of the area
    reference = MaskedContrastReference(original)
    assert reference.distance(gathered) > 3 * reference.distance(spread)


@pytest.mark.parametrize("kind", ["black", "white", "noise", "photo"])
@pytest.mark.parametrize("strength", [0.0, 0.1])
def test_gradients_are_finite(kind: str, strength: float, photo: torch.Tensor) -> None:
    generator = torch.Generator().manual_seed(0)
    originals = {
        "black": torch.zeros(1, 3, 24, 32),
        "white": torch.ones(1, 3, 24, 32),
        "noise": torch.rand(1, 3, 24, 32, generator=generator),
        "photo": pictures(photo, (24, 32), 1),
    }[kind]
    test = noisy(originals, strength).requires_grad_()
    MaskedContrastReference(originals).distance(test).sum().backward()
    assert test.grad is not None and test.grad.isfinite().all()
    assert test.grad.any() == (strength > 0)


def test_the_gradient_is_that_of_differences(photo: torch.Tensor) -> None:
    originals = pictures(photo, (16, 16), 1)
    reference = MaskedContrastReference(originals)
    test = noisy(originals, 0.05).clamp(0.02, 0.98).requires_grad_()
    (gradient,) = torch.autograd.grad(reference.distance(test).sum(), test)
    along = torch.sign(gradient)
    with torch.no_grad():
        step = 1e-3
        rise = reference.distance(test + step * along) - reference.distance(test - step * along)
    assert rise.item() / (2 * step) == pytest.approx(gradient.abs().sum().item(), rel=0.02)


def test_a_selection_is_the_same_as_computing_on_it(photo: torch.Tensor) -> None:
    originals = pictures(photo, batch=3)
    tests = noisy(originals, 0.05)
    rows = torch.tensor([2, 0])
    all_of_them = MaskedContrastReference(originals).distance(tests)
    selected = MaskedContrastReference(originals).select(rows).distance(tests[rows])
    alone = MaskedContrastReference(originals[rows]).distance(tests[rows])
    assert torch.equal(selected, alone)
    torch.testing.assert_close(selected, all_of_them[rows])
