from fractions import Fraction

import numpy as np
import pytest
import torch

from imgcompress.image.depth import scale_from_16, scale_to_16, to_8_bit
from imgcompress.image.picture import Metadata, Picture


def nearest(value: int, most: int, new_most: int) -> int:
    return int(Fraction(value * new_most, most) + Fraction(1, 2))


@pytest.mark.parametrize("bits", [8, 10, 12])
def test_there_and_back_is_exact_for_every_value(bits: int, device: torch.device) -> None:
    dtype = torch.uint8 if bits == 8 else torch.uint16
    every = torch.arange(1 << bits, dtype=torch.int32).to(dtype).to(device)
    wide = scale_to_16(every, bits)
    assert wide.dtype == torch.uint16 and wide.device == every.device
    assert wide.tolist() == [nearest(value, (1 << bits) - 1, 65535) for value in range(1 << bits)]
    back = scale_from_16(wide, bits)
    assert back.dtype == dtype and torch.equal(back, every)


@pytest.mark.parametrize("bits", [1, 8, 10, 12, 15])
def test_every_deep_value_becomes_the_nearest(bits: int) -> None:
    every = torch.arange(65536, dtype=torch.int32).to(torch.uint16)
    most = (1 << bits) - 1
    assert scale_from_16(every, bits).tolist() == [nearest(value, 65535, most) for value in range(65536)]


def test_large_pictures_of_any_layout_go_in_pieces() -> None:
    rng = np.random.default_rng(0)
    samples = torch.from_numpy(rng.integers(0, 65536, (1100, 1000, 3)).astype(np.uint16)).permute(2, 0, 1)
    expected = np.rint(samples.numpy() / 257.0).astype(np.uint8)
    assert np.array_equal(scale_from_16(samples, 8).numpy(), expected)
    assert scale_to_16(samples[:, :0], 12).shape == (3, 0, 1000)


def test_8_bits_of_a_deep_picture() -> None:
    pixels = torch.tensor([[[0, 128, 129], [385, 386, 65535]]], dtype=torch.int32).to(torch.uint16)
    alpha = torch.tensor([[65535, 65406, 65407], [0, 1, 257]], dtype=torch.int32).to(torch.uint16)
    metadata = Metadata(icc=b"profile")
    found = to_8_bit(Picture(pixels, "png", 16, alpha, metadata))
    assert found.pixels.tolist() == [[[0, 0, 1], [1, 2, 255]]]
    assert found.alpha is not None and found.alpha.tolist() == [[255, 254, 255], [0, 0, 1]]
    assert found.pixels.dtype == found.alpha.dtype == torch.uint8
    assert (found.bit_depth, found.format, found.metadata) == (8, "png", metadata)
    assert to_8_bit(found) is found
