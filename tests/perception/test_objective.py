import pytest
import torch

from imgcompress.config import ObjectiveConfig, PerceptionConfig
from imgcompress.perception.cvvdp import CvvdpReference
from imgcompress.perception.distance import PerceptualDistance, load_distance
from imgcompress.perception.masking import MaskedContrastReference
from imgcompress.perception.objective import MixedObjective
from imgcompress.perception.ssimulacra2 import Ssimulacra2Reference

ALL = ObjectiveConfig(ssimulacra2=0.3, masked_contrast=0.3, cvvdp=0.2, vgg=0.2)


@pytest.fixture(scope="module")
def vgg() -> PerceptualDistance:
    return load_distance(PerceptionConfig(), torch.device("cpu"))


def pictures(photo: torch.Tensor, size: tuple[int, int] = (32, 48), batch: int = 2) -> torch.Tensor:
    height, width = size
    crops = [photo[:, 100 : 100 + height, 80 * i : 80 * i + width] for i in range(batch)]
    return torch.stack(crops).float() / 255


def noisy(originals: torch.Tensor, strength: float) -> torch.Tensor:
    noise = torch.randn(originals.shape, generator=torch.Generator().manual_seed(0))
    return (originals + strength * noise).clamp(0, 1)


def test_it_is_the_mixture_of_logarithms(photo: torch.Tensor, vgg: PerceptualDistance) -> None:
    originals = pictures(photo)
    tests = noisy(originals, 0.05)
    expected = (
        0.3 * Ssimulacra2Reference(originals).distance(tests).log()
        + 0.3 * MaskedContrastReference(originals).distance(tests).log()
        + 0.2 * CvvdpReference(originals).distance(tests).log()
        + 0.2 * vgg(originals, tests).log()
    )
    torch.testing.assert_close(MixedObjective(originals, ALL, vgg)(tests), expected)


@pytest.mark.parametrize("name", ["ssimulacra2", "masked_contrast", "cvvdp", "vgg"])
def test_each_distance_alone_prefers_less_damage(
    name: str, photo: torch.Tensor, vgg: PerceptualDistance
) -> None:
    none = dict.fromkeys(("ssimulacra2", "masked_contrast", "cvvdp", "vgg"), 0.0)
    weights = ObjectiveConfig(**(none | {name: 1.0}))
    originals = pictures(photo)
    objective = MixedObjective(originals, weights, vgg)
    equal, light, heavy = (objective(noisy(originals, strength)) for strength in (0.0, 0.02, 0.1))
    assert (equal < light - 1).all() and (light < heavy).all()


def test_equal_pictures_have_the_least_value_and_no_gradient(
    photo: torch.Tensor, vgg: PerceptualDistance
) -> None:
    originals = pictures(photo)
    tests = originals.clone().requires_grad_()
    values = MixedObjective(originals, ALL, vgg)(tests)
    assert values.isfinite().all() and (values.detach().exp() < 1e-5).all()
    (gradient,) = torch.autograd.grad(values.sum(), tests)
    assert gradient.isfinite().all() and gradient.abs().max() < 1e-3


@pytest.mark.parametrize("kind", ["black", "white", "noise", "gray"])
@pytest.mark.parametrize("size", [(1, 1), (7, 9), (24, 32)])
def test_gradients_are_finite(kind: str, size: tuple[int, int], vgg: PerceptualDistance) -> None:
    originals = {
        "black": torch.zeros(1, 3, *size),
        "white": torch.ones(1, 3, *size),
        "noise": torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(1)),
        "gray": torch.rand(1, 1, *size, generator=torch.Generator().manual_seed(1)),
    }[kind]
    tests = (originals * 0.9 + 0.05).requires_grad_()
    values = MixedObjective(originals, ALL, vgg)(tests)
    (gradient,) = torch.autograd.grad(values.sum(), tests)
    assert values.isfinite().all() and gradient.isfinite().all()
    assert gradient.any()


def test_a_selection_is_the_same_as_computing_on_it(photo: torch.Tensor, vgg: PerceptualDistance) -> None:
    originals = pictures(photo, batch=3)
    tests = noisy(originals, 0.05)
    rows = torch.tensor([2, 0])
    selected = MixedObjective(originals, ALL, vgg).select(rows)(tests[rows])
    torch.testing.assert_close(selected, MixedObjective(originals[rows], ALL, vgg)(tests[rows]))
    torch.testing.assert_close(selected, MixedObjective(originals, ALL, vgg)(tests)[rows])
