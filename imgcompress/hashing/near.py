"""Searches hashes for copies of one picture, by matrix products of their bits."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from imgcompress.hashing.luma_bits import LUMA_BITS
from imgcompress.hashing.perceptual_hash import LUMA_MATCH, PerceptualHash, color_distance, luma_distance
from imgcompress.shapes import Float

_TOGETHER = 1024
"""Hashes of either side whose distances are taken at once: 4 MB."""
_AS_NUMBERS = 4096
"""Pairs that become Python's numbers at once; in a block of copies there may be a million."""


@dataclass(frozen=True)
class NearPair:
    """Two pictures that look alike.

    Attributes:
        first, second: their numbers in what was searched.
        luma, color: bits that differ.
    """

    first: int
    second: int
    luma: int
    color: int


def near_duplicates(
    hashes: Sequence[PerceptualHash],
    known: Sequence[PerceptualHash] | None = None,
    *,
    max_distance: int = LUMA_MATCH,
    device: torch.device,
) -> Iterator[NearPair]:
    """Pairs of hashes that few bits of luminance tell apart, whatever their colors.

    Of equal hashes only the first one is paired with others; each later one is paired with the first, so
    that a thousand copies are no half million pairs. A hash of low quality is paired with equal ones only
    (all bits and the quality); one without any bit of luminance, as of flat pictures, with none, as black
    and white ones have it in common.

    Args:
        hashes: to be searched among themselves, or in ``known``.
        known: where to search; None for the hashes themselves. ``second`` then counts in it, and of its equal
            ones only the first is found.
        max_distance: bits of luminance, 0 to 256.
        device: where the products are taken.

    Returns:
        Equal ones first, then the others; within the hashes ``first`` is less than ``second``. In memory is
        never more than the hashes and a block of distances.
    """
    others = hashes if known is None else known
    firsts: dict[PerceptualHash, int] = {}
    for index, each in enumerate(others):
        firsts.setdefault(each, index)
    for index, each in enumerate(hashes):
        found = firsts.get(each)
        if found is None or each.is_blank:
            continue
        if known is None and found < index:
            yield NearPair(found, index, 0, 0)
        elif known is not None and not each.is_telling:
            yield NearPair(index, found, 0, 0)
    right = [index for each, index in firsts.items() if each.is_telling]
    left = right if known is None else [index for index, each in enumerate(hashes) if each.is_telling]
    for row in range(0, len(left), _TOGETHER):
        rows = left[row : row + _TOGETHER]
        upper = _signs([hashes[index] for index in rows], device)
        for column in range(row if known is None else 0, len(right), _TOGETHER):
            columns = right[column : column + _TOGETHER]
            lower = _signs([others[index] for index in columns], device)
            is_near = upper @ lower.T >= LUMA_BITS - 2 * max_distance
            if known is None and row == column:
                is_near = is_near.triu(1)
            for some in torch.split(is_near.nonzero(), _AS_NUMBERS):
                for first, second in some.tolist():
                    one, other = rows[first], columns[second]
                    yield _pair(one, other, hashes[one], others[other])


def _pair(first: int, second: int, one: PerceptualHash, other: PerceptualHash) -> NearPair:
    return NearPair(first, second, luma_distance(one, other), color_distance(one, other))


def _signs(hashes: Sequence[PerceptualHash], device: torch.device) -> Float[Tensor, "hashes 256"]:
    """Bits as 1 and -1: the product of two hashes is the number of equal bits less that of others."""
    packed = torch.frombuffer(bytearray(b"".join(each.luma for each in hashes)), dtype=torch.uint8)
    shifts = torch.arange(7, -1, -1, dtype=torch.uint8, device=device)
    bits = (packed.to(device).reshape(len(hashes), -1, 1) >> shifts) & 1
    return bits.flatten(1).float() * 2 - 1
