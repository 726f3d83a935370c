import numpy as np
import pytest
import torch
from scipy.fft import dctn

from imgcompress.image.dct import forward_dct, inverse_dct


def noise(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(5)) * 255


def test_coefficients_are_scipys(device: torch.device):
    plane = noise(2, 24, 40)
    blocks = plane.double().numpy().reshape(2, 3, 8, 5, 8).transpose(0, 1, 3, 2, 4)
    expected = dctn(blocks - 128, axes=(3, 4), norm="ortho")
    coefficients = forward_dct(plane.to(device))
    assert coefficients.dtype == torch.float32
    # Half a unit in the last place of float32 at 1024 is 3e-5: rounded once, from float64.
    np.testing.assert_allclose(coefficients.cpu().numpy(), expected, rtol=1e-7, atol=1e-6)


def test_inverse_brings_the_samples_back(device: torch.device):
    plane = noise(3, 264, 16).to(device)
    torch.testing.assert_close(inverse_dct(forward_dct(plane)), plane, rtol=0, atol=1e-4)


def test_level_shift_only_moves_dc():
    plane = noise(1, 8, 16)
    plain, shifted = forward_dct(plane, level_shift=0.0), forward_dct(plane)
    torch.testing.assert_close(plain[..., 0, 0] - shifted[..., 0, 0], torch.full((1, 1, 2), 1024.0))
    torch.testing.assert_close(plain.flatten(3)[..., 1:], shifted.flatten(3)[..., 1:], rtol=0, atol=1e-4)


def test_middle_gray_is_zero():
    assert not forward_dct(torch.full((1, 8, 8), 128.0)).any()
    assert (inverse_dct(torch.zeros(1, 1, 1, 8, 8)) == 128).all()


def test_vertical_frequency_comes_first():
    ramp = torch.arange(8.0)[:, None].expand(8, 8)[None]
    coefficients = forward_dct(ramp)[0, 0, 0]
    assert coefficients[1, 0].abs() > 10
    assert coefficients[0, 1:].abs().max() < 1e-4


def test_a_batch_is_its_pictures_one_by_one():
    planes = noise(3, 32, 24)
    together = forward_dct(planes)
    alone = torch.cat([forward_dct(plane[None]) for plane in planes])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-4)


def test_gradient_is_the_transposed_transform():
    plane = noise(1, 8, 8).requires_grad_()
    wanted = noise(1, 1, 1, 8, 8)
    (forward_dct(plane) * wanted).sum().backward()
    torch.testing.assert_close(plane.grad, inverse_dct(wanted, level_shift=0.0), rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize("mode", ["autocast", "low precision"])
def test_reduced_precision_does_not_reach_it(mode: str, device: torch.device):
    plane = noise(1, 64, 64).to(device)
    exact = forward_dct(plane), inverse_dct(forward_dct(plane))
    before = torch.get_float32_matmul_precision()
    try:
        if mode == "low precision":
            torch.set_float32_matmul_precision("medium")
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=mode == "autocast"):
            coefficients = forward_dct(plane)
            samples = inverse_dct(coefficients)
    finally:
        torch.set_float32_matmul_precision(before)
    assert torch.equal(coefficients, exact[0])
    assert torch.equal(samples, exact[1])


def test_nothing_in_gives_nothing_out():
    assert forward_dct(torch.zeros(0, 8, 16)).shape == (0, 1, 2, 8, 8)
    assert inverse_dct(torch.zeros(0, 1, 2, 8, 8)).shape == (0, 8, 16)
