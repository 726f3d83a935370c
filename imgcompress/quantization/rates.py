"""Bits before there is a code: lengths estimated from the symbols of an earlier quantization.

A Huffman code's lengths depend on all blocks, so a quantizer that weighs bits needs them in advance. The
ideal lengths -log2(frequency) stand in for them; on photographs the true code takes 0.4 to 0.8 % more (Kodak
5, 13 and 23 at 768x512, Annex K tables at qualities 50, 75 and 90).
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from imgcompress.image.sampling import Sampling
from imgcompress.quantization.symbols import COEFFICIENTS, ZERO_RUN, fill_dummy_blocks, symbol_stream
from imgcompress.shapes import Float, Int

LONGEST_CODE = 16
"""T.81, C.1."""
SIZES = 16
"""Categories that an AC symbol has room for."""

_SYMBOLS = 256
# Krichevsky-Trofimov: what each symbol is taken to have been seen before. An unseen symbol of a small
# picture is then not out of reach.
_SEEN_BEFORE = 0.5
# Symbols that share this: baseline has 12 DC symbols and 162 AC symbols; with AC's number for both, the
# unseen symbols of a DC table cost a little more.
_POSSIBLE_SYMBOLS = 162


def code_length_estimates(counts: Int[Tensor, "*tables 256"]) -> Float[Tensor, "*tables 256"]:
    """Estimates the code length of each symbol by its frequency.

    Args:
        counts: how often each symbol occurs, >= 0.

    Returns:
        -log2 of the smoothed frequency in bits, float32, 1 to 16; without a symbol's extra bits.

    Source: R. Krichevsky and V. Trofimov, "The performance of universal encoding", IEEE Trans. Inf. Theory
        27(2), 1981 (the smoothing).
    """
    seen = counts.to(torch.float64) + _SEEN_BEFORE
    total = counts.sum(-1, keepdim=True) + _SEEN_BEFORE * _POSSIBLE_SYMBOLS
    return torch.log2(total / seen).clamp(1, LONGEST_CODE).to(torch.float32)


def bits_by_run_and_size(lengths: Float[Tensor, "tables 256"]) -> Float[Tensor, "tables 64 16"]:
    """Bits of a coefficient after a run of zeros: its ZRLs, its symbol and its extra bits.

    Args:
        lengths: bits of the code of each AC symbol, without its extra bits.

    Source: T.81, F.1.2.2.
    """
    run = torch.arange(COEFFICIENTS, device=lengths.device)
    size = torch.arange(SIZES, device=lengths.device)
    symbol = (run & 15)[:, None] * SIZES + size
    return lengths[:, symbol] + size + (run >> 4)[:, None] * lengths[:, ZERO_RUN, None, None]


def estimated_bits(
    counts: Int[Tensor, "*tables 256"], lengths: Float[Tensor, "*tables 256"]
) -> Float[Tensor, "*tables"]:
    """What these symbols take with these code lengths, extra bits included.

    Args:
        counts: how often each symbol occurs.
        lengths: bits of each symbol's code.

    Returns:
        Bits, float32.
    """
    extra = torch.arange(_SYMBOLS, device=counts.device) & 15
    return (counts * (lengths.to(torch.float64) + extra)).sum(-1).to(torch.float32)


def symbol_counts(
    planes: Sequence[Int[Tensor, "batch _ _ 8 8"]],
    sampling: Sampling,
    heights: Sequence[int],
    widths: Sequence[int],
) -> Int[Tensor, "batch tables 256"]:
    """Counts the symbols that the encoder would write for these planes.

    Args:
        planes: quantized blocks of each component, whole MCUs, natural order.
        sampling: the frame's sampling.
        heights: true height of each picture in pixels.
        widths: true width of each picture in pixels.

    Returns:
        int64; tables as in :class:`~imgcompress.quantization.symbols.SymbolStream`.
    """
    # Counting without the stream itself would save a fifth of the time (1.6 of 7.4 ms at 768x512): not worth
    # a second way to number the symbols.
    filled = [
        fill_dummy_blocks(plane, component, sampling, heights, widths)
        for component, plane in enumerate(planes)
    ]
    return symbol_stream(filled, sampling, heights, widths).counts
