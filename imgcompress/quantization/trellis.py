"""The rate-distortion trellis: of all ways to round a block's coefficients, the one that pays best.

Minimizes the sum of W (u - k)^2 + lambda * bits exactly for given code lengths, where u = c / q are the
scaled coefficients, k the integers coded and the bits those of a baseline scan: run/size codes, extra bits,
ZRL and EOB. All blocks of all pictures are decided at once.

Source: K. Ramchandran and M. Vetterli, "Rate-distortion optimal fast thresholding with complete JPEG/MPEG
decoder compatibility", IEEE Trans. Image Processing 3(5), 1994; T.81, F.1.2.2 (the bits).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from imgcompress.image.sampling import Sampling
from imgcompress.image.strips import mcu_rows
from imgcompress.quantization.quantize import MAX_AC, quantize, round_half_away
from imgcompress.quantization.rates import (
    SIZES,
    bits_by_run_and_size,
    code_length_estimates,
    symbol_counts,
)
from imgcompress.quantization.symbols import (
    COEFFICIENTS,
    END_OF_BLOCK,
    magnitude_category,
    zigzag,
)
from imgcompress.quantization.trellis_dc import round_dc, trellis_dc
from imgcompress.shapes import Float, Int

FIRST_DEAD_ZONE = 0.62
"""In steps: the rounding whose symbols give the first code lengths. Two passes nearly forget it."""

# Blocks decided together: bounds the scratch memory (about 4 kB a block if no coefficient is zero). On a CPU
# the time does not depend on it between 2^12 and 2^17.
_CHUNK = 2**15


def trellis_quantize(
    coefficients: Sequence[Float[Tensor, "batch _ _ 8 8"]],
    steps: Sequence[Float[Tensor, "batch 8 8"]],
    weights: Sequence[Float[Tensor, "batch _ _"]],
    sampling: Sampling,
    *,
    heights: Sequence[int],
    widths: Sequence[int],
    lambdas: Sequence[Float[Tensor, "batch"] | float],
    passes: int = 2,
    previous: Sequence[Int[Tensor, "batch _ _ 8 8"]] | None = None,
    coefficient_weights: Sequence[Float[Tensor, "... 8 8"]] | None = None,
    dc: bool = False,
) -> tuple[Int[Tensor, "batch _ _ 8 8"], ...]:
    """Quantizes pictures by the trellis, with code lengths estimated from each picture's own symbols.

    Args:
        coefficients: orthonormal DCT coefficients of each component, whole MCUs, float32.
        steps: quantization steps of each component, one table a picture, >= 1.
        weights: W of the blocks of each component, >= 0 and finite; 1 is neutral.
        sampling: the frame's sampling.
        heights: true height of each picture in pixels.
        widths: true width of each picture in pixels.
        lambdas: what a bit is worth in squared steps (times W), >= 0: in luma and, for color, in chroma;
            each a number for all pictures or one for each.
        passes: how often to decide, >= 1; each time the code lengths are estimated from the symbols of the
            pass before.
        previous: an earlier quantization whose symbols give the first code lengths; None for a rounding
            with a dead zone.
        coefficient_weights: factors on W, >= 0, for each component a tensor that broadcasts against its
            coefficients; None for 1.
        dc: whether DC values, too, are chosen by their codes; else they are rounded.

    Returns:
        For each component int16 of the coefficients' shape, within a baseline frame's range.
    """
    with torch.no_grad():
        full_weights = [
            block[..., None, None].expand_as(plane)
            for block, plane in zip(weights, coefficients, strict=True)
        ]
        if coefficient_weights is not None:
            full_weights = [
                block * factor for block, factor in zip(full_weights, coefficient_weights, strict=True)
            ]
        planes = previous or [
            quantize(plane, table, torch.full_like(block, FIRST_DEAD_ZONE)).to(torch.int16)
            for plane, table, block in zip(coefficients, steps, weights, strict=True)
        ]
        table_of = [min(component, 1) for component in range(sampling.components)]
        prices = _one_each(lambdas[: table_of[-1] + 1], len(heights), coefficients[0].device)
        for _ in range(passes):
            lengths = code_length_estimates(symbol_counts(planes, sampling, heights, widths))
            planes = [torch.empty_like(plane, dtype=torch.int16) for plane in coefficients]
            for mcus in _strips(coefficients, sampling):
                strip = [mcu_rows(each, sampling, mcus) for each in (coefficients, full_weights)]
                scaled = [plane / table[:, None, None] for plane, table in zip(strip[0], steps, strict=True)]
                ac = AcTrellis(
                    torch.cat([plane.flatten(0, 2) for plane in scaled]),
                    torch.cat([plane.flatten(0, 2) for plane in strip[1]]),
                    _table_of_each_block(scaled, table_of),
                )
                blocks = ac.decide(lengths[:, 1::2].flatten(0, 1), prices.flatten())
                parts = torch.split(blocks, [plane[..., 0, 0].numel() for plane in scaled])
                for plane, part in zip(mcu_rows(planes, sampling, mcus), parts, strict=True):
                    plane.copy_(part.view(plane.shape))
            for component, (plane, table) in enumerate(zip(planes, table_of, strict=True)):
                values = coefficients[component][..., 0, 0] / steps[component][:, None, None, 0, 0]
                plane[..., 0, 0] = (
                    trellis_dc(
                        values,
                        full_weights[component][..., 0, 0],
                        lengths[:, 2 * table],
                        prices[:, table],
                        component=component,
                        sampling=sampling,
                        heights=heights,
                        widths=widths,
                    )
                    if dc
                    else round_dc(values)
                )
    return tuple(planes)


def _strips(planes: Sequence[Tensor], sampling: Sampling) -> Iterator[slice]:
    """Rows of MCUs that are decided together."""
    mcus = planes[0].shape[1] // sampling.factors(0)[1]
    blocks = sum(plane[..., 0, 0].numel() for plane in planes)
    rows = max(1, mcus * _CHUNK // blocks)
    return (slice(start, start + rows) for start in range(0, mcus, rows))


def _one_each(
    lambdas: Sequence[Tensor | float], batch: int, device: torch.device
) -> Float[Tensor, "batch tables"]:
    each = [torch.as_tensor(price, dtype=torch.float32, device=device).expand(batch) for price in lambdas]
    return torch.stack(each, dim=1)


def _table_of_each_block(planes: Sequence[Tensor], table_of: Sequence[int]) -> Int[Tensor, "blocks"]:
    """Code tables are numbered picture after picture, blocks component after component."""
    pictures = torch.arange(len(planes[0]), device=planes[0].device)[:, None, None] * (table_of[-1] + 1)
    return torch.cat(
        [
            (pictures + table).expand(plane.shape[:3]).flatten()
            for plane, table in zip(planes, table_of, strict=True)
        ]
    )


class AcTrellis:
    """The AC coefficients of blocks from anywhere, ready to be decided for one code or another.

    Candidates of a coefficient are the rounded value, the one next to it toward zero, and zero; what rounds
    to zero stays zero. Of equally good choices one that keeps more coefficients is taken, so that lambda 0
    is plain rounding.

    Args:
        scaled: coefficients in steps, float32, natural order; DC is ignored.
        weights: factor on each squared error, >= 0 and finite.
        tables: int64, which code table each block uses.
    """

    def __init__(
        self,
        scaled: Float[Tensor, "blocks 8 8"],
        weights: Float[Tensor, "blocks 8 8"],
        tables: Int[Tensor, "blocks"],
    ) -> None:
        self._shape = scaled.shape
        self._device = scaled.device
        self._size = _CHUNK
        with torch.no_grad():
            self._chunks = [
                _candidates(*chunk)
                for chunk in zip(
                    torch.split(scaled.flatten(1), self._size),
                    torch.split(weights.flatten(1), self._size),
                    torch.split(tables, self._size),
                    strict=True,
                )
            ]

    def decide(
        self, lengths: Float[Tensor, "tables 256"], lambdas: Float[Tensor, "tables"]
    ) -> Int[Tensor, "blocks 8 8"]:
        """Chooses, in each block, the values that minimize sum W (u - k)^2 + lambda * bits.

        Args:
            lengths: bits of the code of each AC symbol, > 0, without its extra bits; float32.
            lambdas: what a bit is worth in squared steps (times W), >= 0.

        Returns:
            int16, natural order, magnitudes up to 1023; DC is 0.
        """
        bits = bits_by_run_and_size(lengths)
        costs = (bits * lambdas[:, None, None]).flatten()
        end_costs = lengths[:, END_OF_BLOCK] * lambdas
        blocks = torch.zeros(self._shape, dtype=torch.int16, device=self._device)
        for candidates, part in zip(self._chunks, torch.split(blocks, self._size), strict=True):
            if candidates.widths:
                part.view(-1).scatter_(0, candidates.addresses, _decide(candidates, costs, end_costs))
        return blocks


@dataclass(frozen=True)
class _Candidates:
    """The coefficients of a chunk of blocks that do not round to zero, in rows.

    Row j holds the j-th such coefficient of each block that has so many. Blocks that have more of them
    come first, so that row j is about the first widths[j] blocks; one row follows the other without gaps.
    All but the first two fields have one entry a coefficient, in that order.

    Attributes:
        widths: blocks in each row.
        tables: int32, the code table of each block of row 0.
        addresses: int64, index into [blocks, 64], natural order.
        positions: int32, 1 to 63, zigzag order.
        sizes: int32, category of the rounded value, 1 to 10.
        values: int32, rounded.
        zeroing: float32, distortion that zero adds to that of the rounded value.
        lowering: float32, distortion that a magnitude less by one adds; infinite where that saves no bit.
    """

    widths: list[int]
    tables: Tensor
    addresses: Tensor
    positions: Tensor
    sizes: Tensor
    values: Tensor
    zeroing: Tensor
    lowering: Tensor


def _candidates(scaled: Tensor, weights: Tensor, tables: Tensor) -> _Candidates:
    """All three arguments as for `AcTrellis`, the blocks flat."""
    device = scaled.device
    to_natural = zigzag(device)
    coded = scaled.abs().add_(0.5) >= 1  # as in round_half_away
    coded[:, 0] = False
    coded = coded.index_select(1, to_natural)
    at = coded.flatten().nonzero().squeeze(1)

    numbers = coded.sum(1)
    order = numbers.sort(descending=True, stable=True)[1]
    column = torch.empty_like(order)
    column[order] = torch.arange(len(order), device=device)
    # How many blocks have more than 0, 1, ..., 62 of them.
    widths = len(order) - torch.bincount(numbers, minlength=COEFFICIENTS).cumsum(0)[:-1]
    row_starts = widths.cumsum(0) - widths
    block = at >> 6
    in_block = torch.arange(len(at), device=device) - (numbers.cumsum(0) - numbers).index_select(0, block)
    place = row_starts.index_select(0, in_block) + column.index_select(0, block)
    at = torch.empty_like(at).scatter_(0, place, at)

    position = at & (COEFFICIENTS - 1)
    address = at - position + to_natural.index_select(0, position)
    exact = scaled.flatten().index_select(0, address)
    weight = weights.flatten().index_select(0, address)
    value = round_half_away(exact).clamp_(-MAX_AC, MAX_AC).to(torch.int32)
    magnitude, exact_magnitude = value.abs(), exact.abs()
    size = magnitude_category(magnitude)
    saves_a_bit = (magnitude > 1) & (magnitude_category(magnitude - 1) < size)
    lowering = weight * (2 * (exact_magnitude - magnitude) + 1)
    used = [width for width in widths.tolist() if width]
    return _Candidates(
        widths=used,
        tables=tables.index_select(0, order[: used[0] if used else 0]).to(torch.int32),
        addresses=address,
        positions=position.to(torch.int32),
        sizes=size,
        values=value,
        zeroing=weight * magnitude * (2 * exact_magnitude - magnitude),
        lowering=lowering.masked_fill_(~saves_a_bit, float("inf")),
    )


def _decide(candidates: _Candidates, costs: Tensor, end_costs: Tensor) -> Tensor:
    """The values of the candidates, int16.

    States are numbered from 1 by the row of the last coefficient that is not zero; state 0 has none.
    """
    widths = candidates.widths
    rows, blocks, device = len(widths), widths[0], candidates.values.device
    # Cost so far of each state, less the distortion of plain rounding: what is small stays exact.
    so_far = torch.full((rows + 1, blocks), float("inf"), device=device)
    so_far[0] = 0
    # Keys into costs [tables, runs, sizes] are linear in the positions.
    offset = torch.zeros((rows + 1, blocks), dtype=torch.int32, device=device)
    table_start = candidates.tables * (COEFFICIENTS * SIZES)
    # Larger numbers for later states, one more than the state: the maximum tells the last of the best.
    number = torch.arange(1, rows + 2, dtype=torch.uint8, device=device)[:, None]

    lowered, sources = [], []
    start = 0
    for row, width in enumerate(widths):
        these = slice(start, start + width)
        start += width
        states = so_far[: row + 1, :width]
        here = candidates.positions[these] * SIZES
        key = (here + table_start[:width] + (candidates.sizes[these] - SIZES)) - offset[: row + 1, :width]
        best, source = _best(states, costs, key, number)
        low_best, low_source = _best(states, costs, key.sub_(1), number)  # the category below
        low_best += candidates.lowering[these]
        low = low_best < best
        lowered.append(low)
        sources.append(torch.where(low, low_source, source))
        states += candidates.zeroing[these]
        so_far[row + 1, :width] = torch.minimum(best, low_best)
        offset[row + 1, :width] = here

    ends = so_far + (offset < (COEFFICIENTS - 1) * SIZES) * end_costs.index_select(0, candidates.tables)
    state = ((ends == ends.amin(0)) * number).amax(0)
    kept = []
    for row in range(rows - 1, -1, -1):
        mine = state[: widths[row]]
        chosen = mine == row + 2
        kept.append(chosen)
        mine.copy_(torch.where(chosen, sources[row], mine))
    values = candidates.values - torch.sign(candidates.values) * torch.cat(lowered)
    return (values * torch.cat(kept[::-1])).to(torch.int16)


def _best(states: Tensor, costs: Tensor, key: Tensor, number: Tensor) -> tuple[Tensor, Tensor]:
    """The least cost of a step from any state, and one more than the state that it comes from.

    min(dim) would give both, but is several times slower on a CPU than the two reductions.
    """
    total = costs.index_select(0, key.view(-1)).view(key.shape).add_(states)
    best = total.amin(0)
    return best, ((total == best) * number[: len(key)]).amax(0)
