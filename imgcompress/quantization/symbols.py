"""Quantized blocks as the symbols of a baseline sequential scan, all blocks of all pictures at once.

Source: ITU-T T.81, A.2.3 (order of the blocks), A.3.6 (zigzag), F.1.2 (run/size symbols).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from imgcompress.image.sampling import BLOCK, Sampling
from imgcompress.image.zigzag import ZIGZAG
from imgcompress.shapes import Int

COEFFICIENTS = BLOCK * BLOCK
END_OF_BLOCK = 0x00
ZERO_RUN = 0xF0
"""ZRL: sixteen zeros."""

# Keeps every category under 16, so that the symbol of a coefficient far out of range still fits in a byte
# and is seen in the counts.
_LARGEST = 2**14 - 1
# Blocks at once: bounds the scratch memory (at most 0.2 GB, when no coefficient is zero).
_CHUNK = 2**15


@cache
def zigzag(device: torch.device) -> Int[Tensor, "64"]:
    """The natural index of each zigzag position, int64; one buffer a device, not to be written to."""
    # A tensor made in inference mode could never serve as an index under autograd.
    with torch.inference_mode(mode=False):
        return torch.tensor(ZIGZAG, device=device)


def table_count(sampling: Sampling) -> int:
    """Huffman tables of a picture: DC and AC of luma, then, for color, DC and AC of chroma."""
    return 2 if sampling.components == 1 else 4


def magnitude_category(values: Int[Tensor, "*shape"]) -> Int[Tensor, "*shape"]:
    """Bits that the magnitudes take: 0 for 0, 1 for +-1, 2 for +-2 and +-3, ...

    Args:
        values: below 2^24 in magnitude, where float32 is exact.

    Returns:
        int32, same shape.

    Source: T.81, tables F.1 and F.2 (SSSS).
    """
    # The exponent is that of a mantissa in [1/2, 1), hence the length in bits; no logarithm is rounded.
    exponent: Tensor = torch.frexp(values.abs().to(torch.float32))[1]
    return exponent


def fill_dummy_blocks(
    blocks: Int[Tensor, "batch down across 8 8"],
    component: int,
    sampling: Sampling,
    heights: Sequence[int],
    widths: Sequence[int],
) -> Int[Tensor, "batch down across 8 8"]:
    """Make the blocks that only fill up MCUs as cheap as they can be, as libjpeg does.

    Blocks beyond the picture's own grid get zero AC and the DC of the real block coded before them in
    their MCU, so their DC difference is 0. No decoder shows them.

    Args:
        blocks: quantized coefficients of one component in natural order, whole MCUs.
        component: which component it is.
        sampling: the frame's sampling.
        heights: true height of each picture in pixels.
        widths: true width of each picture in pixels.

    Returns:
        A new tensor, or `blocks` itself where no picture has such blocks.
    """
    horizontal, vertical = sampling.factors(component)
    grids = [
        sampling.block_grid(component, height, width) for height, width in zip(heights, widths, strict=True)
    ]
    if all(down % vertical == 0 and across % horizontal == 0 for down, across in grids):
        return blocks
    device = blocks.device
    batch, down, across = blocks.shape[:3]
    real_down, real_across = torch.tensor(grids, device=device).T[:, :, None, None]
    row = torch.arange(down, device=device)[:, None]
    column = torch.arange(across, device=device)
    # A row below the picture follows the MCU's whole row above, which ends in the MCU's last column.
    end_of_mcu = column // horizontal * horizontal + horizontal - 1
    before = torch.where(row < real_down, column, end_of_mcu)
    dc = blocks[
        torch.arange(batch, device=device)[:, None, None],
        torch.minimum(row, real_down - 1),
        torch.minimum(before, real_across - 1),
        0,
        0,
    ]
    real = (row < real_down) & (column < real_across)
    filled = blocks.masked_fill(~real[..., None, None], 0)
    filled[..., 0, 0] = dc
    return filled


@dataclass(frozen=True)
class SymbolStream:
    """The symbols of the scans of a batch, picture after picture, in coding order.

    The number of a symbol's extra bits is its low nibble.

    Attributes:
        keys: int32, (picture * tables + table) * 256 + symbol; table 0 is luma's DC, 1 luma's AC,
            2 chroma's DC, 3 chroma's AC.
        extra: int16, the extra bits as a number, 0 where there are none.
        counts: int64, how often each symbol occurs.
    """

    keys: Int[Tensor, "symbols"]
    extra: Int[Tensor, "symbols"]
    counts: Int[Tensor, "batch tables 256"]


def symbol_stream(
    planes: Sequence[Int[Tensor, "batch _ _ 8 8"]],
    sampling: Sampling,
    heights: Sequence[int],
    widths: Sequence[int],
) -> SymbolStream:
    """Turn quantized blocks into DC differences, AC runs and sizes, in the order of one interleaved scan.

    Values out of the baseline range (a DC difference beyond +-2047, AC beyond +-1023) show as counted
    symbols of category 12 or more for DC and 11 or more for AC.

    Args:
        planes: one int tensor [batch, down, across, 8, 8] a component, natural order; the grids hold the
            same whole number of MCUs for all components. MCUs beyond a picture's own are not coded.
        sampling: the frame's sampling.
        heights: true height of each picture in pixels.
        widths: true width of each picture in pixels.

    Raises:
        ValueError: the grids do not fit the sampling and the sizes.
    """
    grids = _mcu_grids(planes, sampling, heights, widths)
    device = planes[0].device
    batch, tables = len(grids), table_count(sampling)
    blocks, table_starts = _scan_order(planes, sampling, grids)

    keys, extra = [], []
    counts = torch.zeros(batch * tables * 256, dtype=torch.int64, device=device)
    for start in range(0, len(blocks), _CHUNK):
        chunk = slice(start, start + _CHUNK)
        chunk_keys, chunk_extra = _symbols_of_blocks(blocks[chunk], table_starts[chunk])
        counts += torch.bincount(chunk_keys, minlength=len(counts))
        keys.append(chunk_keys)
        extra.append(chunk_extra)
    return SymbolStream(
        keys=torch.cat(keys) if keys else torch.empty(0, dtype=torch.int32, device=device),
        extra=torch.cat(extra) if extra else torch.empty(0, dtype=torch.int16, device=device),
        counts=counts.view(batch, tables, 256),
    )


def _mcu_grids(
    planes: Sequence[Tensor], sampling: Sampling, heights: Sequence[int], widths: Sequence[int]
) -> list[tuple[int, int]]:
    """MCUs (down, across) of each picture."""
    if len(planes) != sampling.components:
        raise ValueError(f"{len(planes)} planes for {sampling.components} components")
    whole = {
        (plane.shape[1] / factors[1], plane.shape[2] / factors[0])
        for plane, factors in ((plane, sampling.factors(index)) for index, plane in enumerate(planes))
    }
    if len(whole) != 1:
        raise ValueError(f"the grids of blocks are not whole MCUs of {sampling.name} sampling")
    if not len(heights) == len(widths) == len(planes[0]):
        raise ValueError("the sizes are not one for each picture")
    down, across = whole.pop()
    grids = [
        (-(-height // sampling.mcu_height), -(-width // sampling.mcu_width))
        for height, width in zip(heights, widths, strict=True)
    ]
    if not all(1 <= rows <= down and 1 <= columns <= across for rows, columns in grids):
        raise ValueError(f"a picture does not fit in {down:g} x {across:g} MCUs")
    return grids


def _scan_order(
    planes: Sequence[Tensor], sampling: Sampling, grids: Sequence[tuple[int, int]]
) -> tuple[Tensor, Tensor]:
    """All blocks of all pictures in coding order with DC differences, and where their tables start.

    Returns:
        int16 [blocks, 64] in zigzag order, and int32 [blocks], the key of symbol 0 of the DC table.
    """
    device = planes[0].device
    batch, down, across = planes[-1].shape[:3]  # the last component has one block an MCU
    factors = [sampling.factors(index) for index in range(sampling.components)]
    sizes = [horizontal * vertical for horizontal, vertical in factors]
    mcus = torch.empty((batch, down, across, sum(sizes), COEFFICIENTS), dtype=torch.int16, device=device)
    parts = torch.split(mcus, sizes, dim=3)
    for part, plane, (horizontal, vertical) in zip(parts, planes, factors, strict=True):
        ordered = plane.flatten(3).clamp(-_LARGEST, _LARGEST).to(torch.int16).index_select(3, zigzag(device))
        part.view(batch, down, across, vertical, horizontal, COEFFICIENTS).copy_(
            ordered.view(batch, down, vertical, across, horizontal, COEFFICIENTS).transpose(2, 3)
        )

    if any(grid != (down, across) for grid in grids):
        own_down, own_across = torch.tensor(grids, device=device).T[:, :, None, None]
        row, column = torch.arange(down, device=device)[:, None], torch.arange(across, device=device)
        mcus = mcus[(row < own_down) & (column < own_across)]
    mcus = mcus.view(-1, sum(sizes), COEFFICIENTS)

    numbers = [rows * columns for rows, columns in grids]
    mcus_of = torch.tensor(numbers, dtype=torch.int64, device=device)
    firsts = mcus_of.cumsum(0) - mcus_of
    for part in torch.split(mcus, sizes, dim=1):
        dc = part[..., 0].flatten()
        previous = torch.zeros_like(dc)
        previous[1:] = dc[:-1]
        previous[firsts * part.shape[1]] = 0
        part[..., 0] = (dc - previous).view(-1, part.shape[1])

    picture = torch.arange(batch, dtype=torch.int32, device=device).repeat_interleave(
        mcus_of, output_size=sum(numbers)
    )
    pairs = [0] * sizes[0] + [2] * sum(sizes[1:])
    table = picture[:, None] * table_count(sampling) + torch.tensor(pairs, dtype=torch.int32, device=device)
    return mcus.view(-1, COEFFICIENTS), table.flatten() * 256


def _symbols_of_blocks(blocks: Tensor, table_starts: Tensor) -> tuple[Tensor, Tensor]:
    """Keys (int32) and extra bits (int16) of blocks in coding order, DC differences in place."""
    coded = blocks != 0
    coded[:, 0] = True  # a DC difference of 0 has a symbol too
    at = coded.flatten().nonzero().squeeze(1)
    position = at & (COEFFICIENTS - 1)
    is_ac = position != 0
    run = torch.diff(at, prepend=at[:1]).sub_(1).mul_(is_ac)
    long_runs = run >> 4
    closed = (position != COEFFICIENTS - 1) & torch.cat([~is_ac[1:], is_ac.new_ones(1)])

    # Each coefficient sends its ZRLs, its own symbol, and EOB if it is the last and not at position 63.
    after = torch.cumsum(1 + long_runs + closed, 0)
    own = after - 1 - closed.to(torch.int64)
    value = blocks.flatten().index_select(0, at)
    category = magnitude_category(value).to(torch.int16)
    table = table_starts.index_select(0, at >> 6)

    keys = torch.empty(int(after[-1]), dtype=torch.int32, device=blocks.device)
    symbol = ((run & 15) << 4).to(torch.int32) + category
    keys.scatter_(0, own, table + is_ac.to(torch.int32) * 256 + symbol)
    end = closed.nonzero().squeeze(1)
    keys.scatter_(0, own[end] + 1, table[end] + (256 + END_OF_BLOCK))
    for before in (1, 2, 3):  # a run holds at most 62 zeros
        long = (long_runs >= before).nonzero().squeeze(1)
        keys.scatter_(0, own[long] - before, table[long] + (256 + ZERO_RUN))

    # A negative number is sent as its one's complement: the low bits of value - 1 (T.81, F.1.2.1).
    ones = torch.bitwise_left_shift(torch.ones_like(category), category) - 1
    extra = torch.zeros(len(keys), dtype=torch.int16, device=blocks.device)
    extra.scatter_(0, own, value + ((value >> 15) & ones))
    return keys, extra
