"""Optimal Huffman tables for many pictures at once, and the packing of their symbols into bits.

Source: ITU-T T.81, C (canonical codes), F.1.2 and K.2; L. Larmore and D. Hirschberg, "A fast algorithm for
optimal length-limited Huffman codes", J. ACM 37(3), 1990 (package-merge).
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from imgcompress.quantization.symbols import SymbolStream
from imgcompress.shapes import Int

LONGEST_CODE = 16
SYMBOLS = 256

# More than any sum of counts; 2^16 times as much, as when unused symbols are packaged, still fits in int64.
_UNUSED = 2**46
# Symbols at once: bounds the scratch memory (about 60 bytes a symbol).
_CHUNK = 2**21


@dataclass(frozen=True)
class HuffmanTables:
    """Canonical codes, one table for each row.

    Attributes:
        lengths: int64, bits of each symbol's code, 0 where the symbol is not used.
        codes: int64, each symbol's code in its lowest bits, 0 where it is not used.
        bits: int64, how many codes have 1, 2, ..., 16 bits (T.81's BITS).
        values: int64, the symbols in the order of their codes (HUFFVAL), then the unused ones.
    """

    lengths: Int[Tensor, "*tables 256"]
    codes: Int[Tensor, "*tables 256"]
    bits: Int[Tensor, "*tables 16"]
    values: Int[Tensor, "*tables 256"]


def code_lengths(counts: Int[Tensor, "*tables 256"]) -> Int[Tensor, "*tables 256"]:
    """Lengths of the shortest code with at most 16 bits a symbol that leaves the code of all ones free.

    Args:
        counts: how often each symbol occurs, 0 to 2^40.

    Returns:
        int64, 1 to 16 for the symbols that occur, 0 for the others.

    Source: package-merge, with a pseudo-symbol of no weight for the code that T.81, C.2 keeps free.
    """
    flat = counts.reshape(-1, SYMBOLS).to(torch.int64)
    weights = torch.nn.functional.pad(flat.masked_fill(flat == 0, _UNUSED), (1, 0))
    coins, order = weights.sort(dim=1, stable=True)

    merged, levels = coins, []
    for _ in range(LONGEST_CODE - 1):
        packages = merged[:, 1::2] + merged[:, :-1:2]
        # The sort is stable: of a coin and a package of the same weight the coin comes first.
        merged, source = torch.cat([coins, packages], 1).sort(dim=1, stable=True)
        levels.append(torch.cumsum(source >= coins.shape[1], 1))

    # Of n symbols the 2 n - 2 lightest items are bought; from the root down, each package bought is two
    # items of the level below. The coins bought on a level are the lightest ones, so their number tells
    # which ones got a bit longer.
    items = 2 * (flat > 0).sum(1, keepdim=True)
    rank = torch.arange(coins.shape[1], device=flat.device)
    ranked_lengths = torch.zeros_like(coins)
    for packages_before in reversed(levels):
        packages_bought = packages_before.gather(1, (items - 1).clamp(min=0)) * (items > 0)
        ranked_lengths += rank < items - packages_bought
        items = 2 * packages_bought
    ranked_lengths += rank < items
    return torch.zeros_like(coins).scatter_(1, order, ranked_lengths)[:, 1:].reshape(counts.shape)


def canonical_tables(lengths: Int[Tensor, "*tables 256"]) -> HuffmanTables:
    """Assign codes in the order of length, then symbol.

    Args:
        lengths: int64, 0 (unused) to 16, Kraft's inequality kept with the code of all ones free.

    Source: T.81, C.2.
    """
    first_unused_last = torch.where(lengths > 0, lengths, LONGEST_CODE + 1)
    ordered, values = first_unused_last.sort(dim=-1, stable=True)
    # Codes as binary fractions of 16 digits: each one is the sum of the room taken before it.
    room = torch.bitwise_right_shift(torch.full_like(ordered, 2**LONGEST_CODE), ordered)
    room = room.masked_fill(ordered > LONGEST_CODE, 0)
    start = room.cumsum(-1) - room
    code = torch.bitwise_right_shift(start, (LONGEST_CODE - ordered).clamp(min=0))
    code = code.masked_fill(ordered > LONGEST_CODE, 0)
    every_length = torch.arange(1, LONGEST_CODE + 1, device=lengths.device)
    return HuffmanTables(
        lengths=lengths,
        codes=torch.zeros_like(code).scatter_(-1, values, code),
        bits=(lengths.unsqueeze(-1) == every_length).sum(-2),
        values=values,
    )


def pack_symbols(stream: SymbolStream, tables: HuffmanTables) -> list[bytes]:
    """Write each picture's symbols as entropy-coded data, padded with ones and 0xFF stuffed.

    Args:
        stream: the symbols of a batch.
        tables: the codes, [batch, tables, 256].

    Returns:
        The data between SOS and EOI, one for each picture.

    Source: T.81, F.1.2.3 (stuffing), B.1.1.5 (padding with ones).
    """
    counts = stream.counts
    device = counts.device
    sizes = torch.arange(SYMBOLS, device=device) & 15
    code = (tables.codes << sizes).flatten().to(torch.int32)
    length = (tables.lengths + sizes).flatten().to(torch.int32)

    totals = torch.stack([counts.sum((1, 2)), (counts * (tables.lengths + sizes)).sum((1, 2))]).cpu()
    symbols, bits = totals[0], totals[1]
    padding = -bits % 8
    ends = ((bits + padding) // 8).cumsum(0)
    firsts = symbols.cumsum(0) - symbols
    gaps = torch.cat([padding.new_zeros(1), padding[:-1]])

    # 32-bit words, most significant bit first. Bits are put by addition: no two symbols share one, so it is
    # an "or", it never overflows, and its order does not matter.
    total = int(ends[-1]) if len(ends) else 0
    words = torch.zeros(total // 4 + 2, dtype=torch.int32, device=device)
    written = torch.zeros((), dtype=torch.int64, device=device)
    for start in range(0, len(stream.keys), _CHUNK):
        keys = stream.keys[start : start + _CHUNK]
        number = length.index_select(0, keys)
        value = code.index_select(0, keys) + stream.extra[start : start + _CHUNK]
        advance = number.to(torch.int64)
        here = (firsts >= start) & (firsts < start + len(keys))
        advance.index_add_(0, (firsts[here] - start).to(device), gaps[here].to(device))
        after = advance.cumsum(0).add_(written)
        written = after[-1]
        _add_bits(words, value, number, after - number)
    _add_bits(
        words,
        ((1 << padding) - 1).to(device, torch.int32),
        padding.to(device, torch.int32),
        (ends * 8 - padding).to(device),
    )

    # Every platform that torch has wheels for is little-endian.
    packed = words.view(torch.uint8).view(-1, 4).flip(1).flatten()[:total].cpu().numpy().tobytes()
    limits = [0, *ends.tolist()]
    return [packed[begin:end].replace(b"\xff", b"\xff\x00") for begin, end in pairwise(limits)]


def _add_bits(words: Tensor, value: Tensor, length: Tensor, start: Tensor) -> None:
    """Add numbers of at most 32 bits (int32, not negative) to big-endian words at bit offsets (int64)."""
    word = start >> 5
    shift = (64 - (start & 31)).sub_(length).clamp_(max=63)  # 64 only where there are no bits to add
    low, high = (value.to(torch.int64) << shift).view(torch.int32).view(-1, 2).unbind(1)
    words.scatter_add_(0, word, high)
    words.scatter_add_(0, word.add_(1), low)
