import heapq
from functools import cache
from itertools import pairwise, product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from imgcompress.formats.jpeg import huffman
from imgcompress.formats.jpeg.huffman import canonical_tables, code_lengths, pack_symbols
from imgcompress.image.sampling import SAMPLINGS
from imgcompress.quantization.symbols import SymbolStream, symbol_stream

# How often the symbols of one table occur: few or many, alike or steep.
COUNTS = st.dictionaries(
    st.integers(0, 255),
    st.one_of(st.integers(1, 5), st.integers(1, 2**30), st.integers(0, 36).map(lambda power: 2**power)),
    max_size=256,
)


def table(used: dict[int, int]) -> torch.Tensor:
    counts = torch.zeros(256, dtype=torch.int64)
    for symbol, count in used.items():
        counts[symbol] = count
    return counts


def cost(counts: torch.Tensor) -> int:
    return int((counts * code_lengths(counts)).sum())


def huffman_cost(weights: list[int]) -> tuple[int, int]:
    """Bits and the longest code of Huffman's own construction, with a symbol of no weight added."""
    heap = [(0, 0), *((weight, 0) for weight in weights)]
    heapq.heapify(heap)
    total = 0
    while len(heap) > 1:
        (first, depth_first), (second, depth_second) = heapq.heappop(heap), heapq.heappop(heap)
        total += first + second
        heapq.heappush(heap, (first + second, max(depth_first, depth_second) + 1))
    return total, heap[0][1]


def limited_cost(weights: list[int]) -> int:
    """Bits of the best tree of at most 16 levels, by dynamic programming down the levels of the tree."""
    ordered = [*sorted(weights, reverse=True), 0]
    remaining = [sum(ordered[index:]) for index in range(len(ordered) + 1)]

    @cache
    def best(level: int, placed: int, free: int) -> float:
        if placed == len(ordered):
            return 0
        if level > 16 or free == 0:
            return float("inf")
        options = []
        for leaves in range(min(free, len(ordered) - placed) + 1):
            left = len(ordered) - placed - leaves
            options.append(best(level + 1, placed + leaves, min(2 * (free - leaves), left)))
        return remaining[placed] + min(options)

    return int(best(1, 0, 2))


@settings(max_examples=60, deadline=None)
@given(COUNTS)
def test_lengths_make_a_code_with_all_ones_free(used: dict[int, int]) -> None:
    counts = table(used)
    lengths = code_lengths(counts)
    assert torch.equal(lengths > 0, counts > 0)
    assert int(lengths.max()) <= 16
    assert sum(2 ** (16 - length) for length in lengths.tolist() if length) <= 2**16 - 1
    coded = canonical_tables(lengths)
    words = [
        format(code, f"0{length}b")
        for code, length in zip(coded.codes.tolist(), lengths.tolist(), strict=True)
        if length
    ]
    assert all("0" in word for word in words)
    words.sort()
    assert not any(later.startswith(word) for word, later in pairwise(words))


@settings(max_examples=60, deadline=None)
@given(COUNTS)
def test_cost_is_huffmans_where_the_limit_does_not_bind(used: dict[int, int]) -> None:
    expected, longest = huffman_cost(list(used.values()))
    actual = cost(table(used))
    if longest <= 16:
        assert actual == expected
    else:
        assert actual >= expected


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 1000), min_size=1, max_size=5))
def test_no_code_of_a_small_alphabet_is_shorter(weights: list[int]) -> None:
    best = min(
        sum(weight * length for weight, length in zip(weights, lengths, strict=True))
        for lengths in product(range(1, 6), repeat=len(weights))
        if sum(2.0**-length for length in lengths) < 1
    )
    assert cost(table(dict(enumerate(weights)))) == best


@pytest.mark.parametrize("symbols", [17, 20, 30])
def test_best_where_the_limit_binds(symbols: int, device: torch.device) -> None:
    fibonacci = [1, 1]
    while len(fibonacci) < symbols:
        fibonacci.append(fibonacci[-1] + fibonacci[-2])
    counts = table(dict(enumerate(fibonacci))).to(device)
    assert huffman_cost(fibonacci)[1] > 16
    assert code_lengths(counts).max() == 16
    assert cost(counts) == limited_cost(fibonacci)


def test_a_full_alphabet_needs_nine_bits() -> None:
    lengths = code_lengths(torch.full((256,), 7))
    assert sorted(lengths.tolist()) == [8] * 255 + [9]


def test_none_and_one_symbol() -> None:
    tables = canonical_tables(code_lengths(torch.stack([table({}), table({0xA5: 3})])))
    assert tables.lengths.sum(1).tolist() == [0, 1]
    assert tables.bits.tolist() == [[0] * 16, [1] + [0] * 15]
    assert tables.values[1, 0] == 0xA5
    assert tables.codes[1, 0xA5] == 0


def test_batched_equals_unbatched(device: torch.device) -> None:
    generator = torch.Generator().manual_seed(0)
    counts = 2 ** torch.randint(0, 30, (3, 4, 256), generator=generator)
    counts[torch.rand(counts.shape, generator=generator) < 0.6] = 0
    batched = canonical_tables(code_lengths(counts.to(device)))
    for picture, number in product(range(3), range(4)):
        single = canonical_tables(code_lengths(counts[picture, number]))
        for name in ("lengths", "codes", "bits", "values"):
            assert torch.equal(getattr(batched, name)[picture, number].cpu(), getattr(single, name))


def test_codes_of_the_standards_own_table() -> None:
    # T.81, table K.3: typical luma DC differences.
    words = ["00", "010", "011", "100", "101", "110", *("1" * ones + "0" for ones in range(3, 9))]
    lengths = table({symbol: len(word) for symbol, word in enumerate(words)})
    tables = canonical_tables(lengths)
    assert tables.codes[:12].tolist() == [int(word, 2) for word in words]
    assert tables.bits.tolist() == [0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0]
    assert tables.values[:12].tolist() == list(range(12))


def random_stream(device: torch.device) -> SymbolStream:
    generator = torch.Generator().manual_seed(1)
    plane = torch.randint(-1023, 1024, (3, 4, 4, 8, 8), generator=generator, dtype=torch.int32)
    plane >>= torch.randint(0, 11, plane.shape, generator=generator, dtype=torch.int32)
    return symbol_stream([plane.to(device)], SAMPLINGS["gray"], (32, 9, 1), (31, 17, 1))


def expected_bytes(stream: SymbolStream, picture: int) -> bytes:
    """One picture's data, written as a string of digits."""
    tables = canonical_tables(code_lengths(stream.counts))
    lengths, codes = tables.lengths.flatten().tolist(), tables.codes.flatten().tolist()
    digits = ""
    for key, extra in zip(stream.keys.tolist(), stream.extra.tolist(), strict=True):
        if key // 512 == picture:
            digits += format(codes[key], f"0{lengths[key]}b")
            digits += format(extra, f"0{key & 15}b") if key & 15 else ""
    digits += "1" * (-len(digits) % 8)
    data = bytearray()
    for start in range(0, len(digits), 8):
        data.append(int(digits[start : start + 8], 2))
        if data[-1] == 0xFF:
            data.append(0)
    return bytes(data)


def test_packed_bytes(device: torch.device) -> None:
    stream = random_stream(device)
    packed = pack_symbols(stream, canonical_tables(code_lengths(stream.counts)))
    expected = [expected_bytes(stream, picture) for picture in range(3)]
    assert b"\xff\x00" in expected[0]
    assert packed == expected


@pytest.mark.parametrize("symbols", [1, 2, 100])
def test_pieces_do_not_show(symbols: int, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = random_stream(torch.device("cpu"))
    tables = canonical_tables(code_lengths(stream.counts))
    whole = pack_symbols(stream, tables)
    monkeypatch.setattr(huffman, "_CHUNK", symbols)
    assert pack_symbols(stream, tables) == whole


def test_every_ff_is_stuffed() -> None:
    # Only ones as extra bits: 1023 is ten ones in a row, so many bytes are 0xFF.
    plane = torch.full((1, 2, 2, 8, 8), 1023, dtype=torch.int32)
    plane[..., 0, 0] = 0
    stream = symbol_stream([plane], SAMPLINGS["gray"], (16,), (16,))
    (packed,) = pack_symbols(stream, canonical_tables(code_lengths(stream.counts)))
    assert packed.count(b"\xff") > 50
    assert packed.count(b"\xff") == packed.count(b"\xff\x00")
    assert packed == expected_bytes(stream, 0)
