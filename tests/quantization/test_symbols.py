from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from imgcompress.image.sampling import SAMPLINGS, Sampling
from imgcompress.quantization import symbols
from imgcompress.quantization.symbols import (
    ZIGZAG,
    fill_dummy_blocks,
    magnitude_category,
    symbol_stream,
    table_count,
    zigzag,
)

# T.81, figure A.6: the zigzag position of each coefficient in natural order.
FIGURE_A6 = """
     0  1  5  6 14 15 27 28
     2  4  7 13 16 26 29 42
     3  8 12 17 25 30 41 43
     9 11 18 24 31 40 44 53
    10 19 23 32 39 45 52 54
    20 22 33 38 46 51 55 60
    21 34 37 47 50 56 59 61
    35 36 48 49 57 58 62 63
"""

SIZES = ((1, 1), (7, 9), (16, 16), (33, 16), (40, 56))


def random_planes(sampling: Sampling, batch: int, height: int, width: int, share: float) -> list[Tensor]:
    """Planes for a batch of the padded size; `share` of the coefficients are not zero."""
    generator = torch.Generator().manual_seed(height * 1000 + width)
    padded = sampling.padded_size(height, width)
    planes = []
    for component in range(sampling.components):
        horizontal, vertical = sampling.factors(component)
        shape = (
            batch,
            padded[0] // sampling.mcu_height * vertical,
            padded[1] // sampling.mcu_width * horizontal,
            8,
            8,
        )
        values = torch.randint(-1023, 1024, shape, generator=generator, dtype=torch.int32)
        values >>= torch.randint(0, 10, shape, generator=generator, dtype=torch.int32)
        planes.append(values.masked_fill(torch.rand(shape, generator=generator) > share, 0))
    return planes


def expected_symbols(
    planes: list[Tensor], picture: int, sampling: Sampling, height: int, width: int
) -> Iterator[tuple[int, int, int]]:
    """(table, symbol, extra bits) of one picture by the flow charts of T.81, F.1.2, a block at a time."""

    def magnitude(value: int) -> tuple[int, int]:
        size = abs(value).bit_length()
        return size, value if value >= 0 else value + 2**size - 1

    previous = [0] * sampling.components
    for mcu_row in range(-(-height // sampling.mcu_height)):
        for mcu_column in range(-(-width // sampling.mcu_width)):
            for component in range(sampling.components):
                horizontal, vertical = sampling.factors(component)
                pair = 2 * (component > 0)
                for inner in range(horizontal * vertical):
                    row = mcu_row * vertical + inner // horizontal
                    column = mcu_column * horizontal + inner % horizontal
                    natural = planes[component][picture, row, column].flatten().tolist()
                    block = [natural[index] for index in ZIGZAG]
                    size, extra = magnitude(block[0] - previous[component])
                    previous[component] = block[0]
                    yield pair, size, extra
                    run = 0
                    for value in block[1:]:
                        if value == 0:
                            run += 1
                            continue
                        while run > 15:
                            yield pair + 1, 0xF0, 0
                            run -= 16
                        size, extra = magnitude(value)
                        yield pair + 1, run << 4 | size, extra
                        run = 0
                    if run:
                        yield pair + 1, 0, 0


def test_zigzag_is_the_figure_of_the_standard(device: torch.device) -> None:
    position = [int(word) for word in FIGURE_A6.split()]
    assert [position[index] for index in ZIGZAG] == list(range(64))
    assert zigzag(device).tolist() == list(ZIGZAG)
    assert zigzag(device).device.type == device.type


def test_zigzag_made_in_inference_mode_serves_autograd(device: torch.device) -> None:
    zigzag.cache_clear()
    with torch.inference_mode():
        zigzag(device)
    block = torch.zeros(64, device=device, requires_grad=True)
    (block.index_select(0, zigzag(device)) * torch.arange(64, device=device)).sum().backward()
    assert block.grad is not None
    assert block.grad[63] == 63


def test_category_is_the_length_in_bits(device: torch.device) -> None:
    values = torch.arange(-(2**15) + 1, 2**15, dtype=torch.int16)
    expected = [abs(value).bit_length() for value in values.tolist()]
    assert magnitude_category(values.to(device)).tolist() == expected
    powers = torch.tensor([2**23 - 1, 2**23, 2**24 - 1], device=device)
    assert magnitude_category(powers).tolist() == [23, 24, 24]


@pytest.mark.parametrize("share", [0.0, 0.03, 0.3, 1.0])
@pytest.mark.parametrize("name", SAMPLINGS)
def test_stream_is_what_the_flow_charts_give(name: str, share: float, device: torch.device) -> None:
    sampling = SAMPLINGS[name]
    heights, widths = zip(*SIZES, strict=True)
    planes = random_planes(sampling, len(SIZES), max(heights), max(widths), share)
    stream = symbol_stream([plane.to(device) for plane in planes], sampling, heights, widths)
    expected = [
        ((picture * table_count(sampling) + table) * 256 + symbol, extra)
        for picture, (height, width) in enumerate(SIZES)
        for table, symbol, extra in expected_symbols(planes, picture, sampling, height, width)
    ]
    assert stream.keys.tolist() == [key for key, _ in expected]
    assert stream.extra.tolist() == [extra for _, extra in expected]
    assert torch.equal(
        stream.counts.flatten().cpu(),
        torch.bincount(torch.tensor([key for key, _ in expected]), minlength=stream.counts.numel()),
    )


@pytest.mark.parametrize("zeros", [15, 16, 31, 32, 47, 48, 61, 62])
def test_long_runs(zeros: int) -> None:
    plane = torch.zeros(1, 1, 1, 64, dtype=torch.int32)
    plane[..., ZIGZAG[zeros + 1]] = -5
    stream = symbol_stream([plane.view(1, 1, 1, 8, 8)], SAMPLINGS["gray"], (8,), (8,))
    ac = [256 + 0xF0] * (zeros // 16) + [256 + (zeros % 16 << 4 | 3)] + [256] * (zeros < 62)
    assert stream.keys.tolist() == [0, *ac]
    assert stream.extra[1 + zeros // 16] == 0b010


def test_pieces_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    sampling = SAMPLINGS["420"]
    planes = random_planes(sampling, 2, 40, 56, 0.2)
    whole = symbol_stream(planes, sampling, (40, 33), (56, 20))
    monkeypatch.setattr(symbols, "_CHUNK", 7)
    pieces = symbol_stream(planes, sampling, (40, 33), (56, 20))
    assert torch.equal(whole.keys, pieces.keys)
    assert torch.equal(whole.extra, pieces.extra)
    assert torch.equal(whole.counts, pieces.counts)


def test_far_out_of_range_values_are_counted_as_such() -> None:
    plane = torch.zeros(1, 1, 2, 8, 8, dtype=torch.int64)
    plane[0, 0, :, 0, 0] = torch.tensor([-(2**40), 2**40])
    plane[0, 0, 0, 0, 1] = 2**16
    counts = symbol_stream([plane], SAMPLINGS["gray"], (8,), (16,)).counts
    assert counts[0, 0, 12:].sum() == 2
    assert counts[0, 1, 11:16].sum() == 1


@pytest.mark.parametrize("name", SAMPLINGS)
def test_dummy_blocks_cost_one_bit_pair_each(name: str, device: torch.device) -> None:
    sampling = SAMPLINGS[name]
    heights, widths = zip(*SIZES, strict=True)
    planes = random_planes(sampling, len(SIZES), max(heights), max(widths), 0.5)
    for component, plane in enumerate(planes):
        before = plane.clone()
        filled = fill_dummy_blocks(plane.to(device), component, sampling, heights, widths).cpu()
        assert torch.equal(plane, before)
        horizontal, vertical = sampling.factors(component)
        for picture, (height, width) in enumerate(SIZES):
            down, across = sampling.block_grid(component, height, width)
            assert torch.equal(filled[picture, :down, :across], plane[picture, :down, :across])
            for row in range(-(-height // sampling.mcu_height) * vertical):
                for column in range(-(-width // sampling.mcu_width) * horizontal):
                    if row < down and column < across:
                        continue
                    # The block coded before it in the same MCU.
                    left = (row, column - 1) if column % horizontal else (row - 1, column + horizontal - 1)
                    assert filled[picture, row, column, 0, 0] == filled[picture, *left, 0, 0]
                    assert filled[picture, row, column].flatten()[1:].count_nonzero() == 0


def test_no_dummy_blocks_no_copy() -> None:
    plane = torch.ones(1, 2, 4, 8, 8, dtype=torch.int32)
    assert fill_dummy_blocks(plane, 0, SAMPLINGS["420"], (16,), (25,)) is plane


def test_wrong_grids_are_refused() -> None:
    def zeros(*grid: int) -> Tensor:
        return torch.zeros(1, *grid, 8, 8, dtype=torch.int32)

    with pytest.raises(ValueError, match="2 planes for 3 components"):
        symbol_stream([zeros(1, 1), zeros(1, 1)], SAMPLINGS["444"], (8,), (8,))
    with pytest.raises(ValueError, match="not whole MCUs of 420"):
        symbol_stream([zeros(2, 3), zeros(1, 1), zeros(1, 1)], SAMPLINGS["420"], (8,), (8,))
    with pytest.raises(ValueError, match="one for each picture"):
        symbol_stream([zeros(1, 1)], SAMPLINGS["gray"], (8, 8), (8, 8))
    with pytest.raises(ValueError, match="does not fit in 1 x 1 MCUs"):
        symbol_stream([zeros(1, 1)], SAMPLINGS["gray"], (8,), (9,))
