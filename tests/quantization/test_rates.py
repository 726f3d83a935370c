import math

import pytest
import torch

from imgcompress.formats.jpeg.huffman import code_lengths
from imgcompress.image.dct import forward_dct
from imgcompress.image.sampling import SAMPLINGS
from imgcompress.quantization.quantize import round_half_away
from imgcompress.quantization.rates import code_length_estimates, estimated_bits, symbol_counts
from imgcompress.quantization.symbols import fill_dummy_blocks, symbol_stream


def test_lengths_are_information(device: torch.device) -> None:
    counts = torch.zeros(2, 256, dtype=torch.int64, device=device)
    counts[0, :4] = torch.tensor([1_000_000, 500_000, 250_000, 250_000])
    counts[1, 7] = 2**40
    lengths = code_length_estimates(counts)
    assert lengths[0, :4].tolist() == pytest.approx([1, 2, 3, 3], abs=1e-3)
    assert lengths[1, 7] == 1  # no code has less
    assert (lengths[0, 4:] == 16).all()
    assert lengths.device.type == device.type


def test_nothing_seen_yet_means_that_all_symbols_are_alike() -> None:
    lengths = code_length_estimates(torch.zeros(256, dtype=torch.int64))
    assert torch.allclose(lengths, torch.tensor(math.log2(162)))


def test_unseen_symbols_of_small_pictures_are_within_reach() -> None:
    counts = torch.zeros(256, dtype=torch.int64)
    counts[0] = 20
    lengths = code_length_estimates(counts)
    assert lengths[0] < lengths[1] < 9


def test_bits_are_near_those_of_the_true_code(photo: torch.Tensor, device: torch.device) -> None:
    plane = forward_dct(photo[:1].float().to(device))
    blocks = round_half_away(plane / 12).to(torch.int16)
    counts = symbol_counts([blocks], SAMPLINGS["gray"], (400,), (600,))
    true = (counts * (code_lengths(counts) + torch.arange(256, device=device) % 16)).sum(2)
    estimate = estimated_bits(counts, code_length_estimates(counts))
    assert estimate[0, 1].item() == pytest.approx(true[0, 1].item(), rel=0.02)


def test_estimated_bits_include_the_extra_bits() -> None:
    counts = torch.zeros(1, 256, dtype=torch.int64)
    counts[0, 0x35] = 3
    lengths = torch.full((1, 256), 4.5)
    assert estimated_bits(counts, lengths).tolist() == [3 * (4.5 + 5)]


def test_counts_are_those_of_the_file() -> None:
    sampling = SAMPLINGS["420"]
    generator = torch.Generator().manual_seed(5)
    planes = [
        torch.randint(-3, 4, (2, *grid, 8, 8), generator=generator, dtype=torch.int16)
        for grid in ((4, 6), (2, 3), (2, 3))
    ]
    heights, widths = (17, 32), (9, 41)
    filled = [
        fill_dummy_blocks(plane, index, sampling, heights, widths) for index, plane in enumerate(planes)
    ]
    expected = symbol_stream(filled, sampling, heights, widths).counts
    assert torch.equal(symbol_counts(planes, sampling, heights, widths), expected)
    assert not torch.equal(symbol_stream(planes, sampling, heights, widths).counts, expected)
