import math

import pytest
import scipy.stats
import torch

from imgcompress.image.color import rgb_to_gray
from imgcompress.image.dct import forward_dct
from imgcompress.image.statistics import (
    BlockClass,
    ac_variance,
    class_shares,
    classify,
    energy_entropy,
)


def block(**values: float) -> torch.Tensor:
    """One block with the named coefficients, such as c01 for the first horizontal frequency."""
    coefficients = torch.zeros(1, 1, 1, 8, 8)
    for name, value in values.items():
        coefficients[..., int(name[1]), int(name[2])] = value
    return coefficients


def test_figures_are_scipys(photo: torch.Tensor):
    coefficients = forward_dct(rgb_to_gray(photo[None].float()))
    ac = coefficients.flatten(3)[0, ..., 1:].double().numpy()
    entropy = torch.from_numpy(scipy.stats.entropy(ac**2, base=2, axis=-1)).float()
    torch.testing.assert_close(energy_entropy(coefficients)[0], entropy, rtol=0, atol=1e-4)
    variance = torch.from_numpy(ac.var(axis=-1)).float()
    torch.testing.assert_close(ac_variance(coefficients)[0], variance, rtol=1e-4, atol=1e-5)


def test_one_coefficient_has_no_entropy():
    assert energy_entropy(block(c00=500, c35=-7)).item() == pytest.approx(0, abs=1e-6)


def test_equal_coefficients_have_all_of_it():
    coefficients = torch.ones(1, 1, 1, 8, 8)
    assert energy_entropy(coefficients).item() == pytest.approx(math.log2(63), abs=1e-5)
    assert ac_variance(coefficients).item() == pytest.approx(0, abs=1e-6)


def test_dc_counts_for_nothing():
    a, b = block(c00=-900, c01=30, c22=4), block(c00=1000, c01=30, c22=4)
    assert torch.equal(energy_entropy(a), energy_entropy(b))
    assert torch.equal(ac_variance(a), ac_variance(b))


@pytest.mark.parametrize("color", [(0, 0, 0), (255, 255, 255), (73, 180, 11)])
def test_flat_blocks_are_smooth(color: tuple[int, int, int], device: torch.device):
    rgb = torch.tensor(color, device=device).float().view(1, 3, 1, 1).expand(1, 3, 16, 8)
    coefficients = forward_dct(rgb_to_gray(rgb))
    entropy, variance = energy_entropy(coefficients), ac_variance(coefficients)
    assert (entropy == 0).all()
    assert (classify(entropy, variance) == BlockClass.SMOOTH).all()


def test_the_smallest_change_is_no_flat_block():
    rgb = torch.full((1, 3, 8, 8), 90.0)
    rgb[:, 2, 3, 4] += 1
    assert energy_entropy(forward_dct(rgb_to_gray(rgb))).item() > 1


@pytest.mark.parametrize(
    ("entropy", "variance", "expected"),
    [
        (0.0, 0.0, BlockClass.SMOOTH),
        (2.09, 5000.0, BlockClass.SMOOTH),
        (2.1, 120.0, BlockClass.TEXTURE),
        (2.1, 119.9, BlockClass.EDGE),
        (4.29, 120.0, BlockClass.TEXTURE),
        (4.3, 5000.0, BlockClass.EDGE),
        (5.9, 0.0, BlockClass.EDGE),
    ],
)
def test_limits_of_the_classes(entropy: float, variance: float, expected: BlockClass):
    classes = classify(torch.full((1, 1, 1), entropy), torch.full((1, 1, 1), variance))
    assert classes.item() == expected


def test_shares_count_real_blocks_only(device: torch.device):
    classes = torch.tensor([[[0, 1, 2], [2, 2, 0]], [[1, 1, 1], [1, 1, 1]]], device=device)
    mask = torch.ones(2, 2, 3, dtype=torch.bool, device=device)
    mask[0, :, 2] = False
    shares = class_shares(classes, mask)
    assert shares.tolist() == [[0.25, 0.25, 0.5], [0.0, 1.0, 0.0]]


def test_a_picture_without_blocks_has_no_shares():
    shares = class_shares(torch.zeros(1, 2, 2, dtype=torch.int64), torch.zeros(1, 2, 2, dtype=torch.bool))
    assert shares.tolist() == [[0.0, 0.0, 0.0]]
