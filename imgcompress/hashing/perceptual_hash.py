"""Hashes of pictures, and how far apart two of them are.

What a hash sees is the picture as coded: EXIF orientation and ICC profile are the caller's to apply.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from imgcompress.hashing.color_bits import COLOR_BITS, color_bits
from imgcompress.hashing.luma_bits import LUMA_BITS, gradient_quality, luma_bits
from imgcompress.hashing.thumbnail import thumbnail, thumbnails
from imgcompress.image.picture import Decoded
from imgcompress.shapes import Bool, Float, Shaped

LUMA_MATCH = 31
"""Bits of luminance that may differ between copies of a picture.

Source: what PDQ's authors recommend to begin with (github.com/facebook/ThreatExchange, pdq/README.md).
scripts/hash_table checks it.
"""
COLOR_MATCH = 21
"""Bits of color that may differ between copies in the same colors: in the middle between the farthest copies
(16) and the nearest pictures with hues rotated by 30 degrees (26) of 34 photographs with more than hardly any
color (scripts/hash_table; Kodak, CLIC, cameras)."""
LEAST_QUALITY = 10
"""Hashes of lower quality are made of too little to tell pictures apart by. Of two million pairs of crops of
different photographs those that match have qualities below 5, and from 10 on all are 74 bits apart and
more; the photograph with the lowest quality has 21 (scripts/hash_table)."""
STEADY_QUALITY = 50
"""Below it the noise of a JPEG may decide most bits: 104 differ between a smooth gradient of quality 30 and
its JPEG of quality 40. So a search may miss copies, and a comparison must not count the bits.

Source: what PDQ's authors recommend to discard (pdq/README.md).
"""

_LEAST_SIDE = 32
"""Pixels: 16 half waves need more than 16, and so they do in a copy of half the size."""
_LEAST_SET = LUMA_BITS // 4
"""Fewer bits are set only if most coefficients are zero: flat pictures, stripes, gradients along one side."""


@dataclass(frozen=True)
class PerceptualHash:
    """What a picture looks like, in 97 bytes.

    Attributes:
        luma: 256 bits of ``luma_bits``.
        color: 512 bits of ``color_bits``.
        quality: 0 to 100: how much the picture has that it could be told by.
    """

    luma: bytes
    color: bytes
    quality: int

    def __post_init__(self) -> None:
        if 8 * len(self.luma) != LUMA_BITS or 8 * len(self.color) != COLOR_BITS:
            raise ValueError(f"a hash has {LUMA_BITS} bits of luma and {COLOR_BITS} of color")
        if not 0 <= self.quality <= 100:
            raise ValueError(f"a hash's quality is 0 to 100, not {self.quality}")

    @property
    def is_telling(self) -> bool:
        """Whether another picture's hash would differ."""
        return self.quality >= LEAST_QUALITY

    @property
    def is_blank(self) -> bool:
        """Whether no frequency stands out: all flat pictures have this luma, black or white."""
        return not any(self.luma)

    def to_hex(self) -> tuple[str, str]:
        """Luma in 64 hexadecimal digits (PDQ's, but for some 8 bits), color in 128."""
        return self.luma.hex(), self.color.hex()

    @classmethod
    def from_hex(cls, luma: str, color: str, quality: int) -> "PerceptualHash":
        """The hash of these digits.

        Raises:
            ValueError: it has other lengths, or these are no hexadecimal digits.
        """
        return cls(bytes.fromhex(luma), bytes.fromhex(color), quality)


def hash_pictures(pictures: Sequence[Decoded], device: torch.device) -> list[PerceptualHash]:
    """Hashes pictures of any sizes and kinds; what is transparent is over mid gray.

    Args:
        pictures: uint8 or uint16 (0..65535), upright.
        device: where.
    """
    if not pictures:
        return []
    small = torch.stack([thumbnail(picture, device) for picture in pictures])
    sizes = [(int(picture.pixels.shape[1]), int(picture.pixels.shape[2])) for picture in pictures]
    return hash_thumbnails(small, sizes)


def hash_batch(
    pixels: Shaped[Tensor, "batch channels height width"],
    alpha: Shaped[Tensor, "batch height width"] | None = None,
) -> list[PerceptualHash]:
    """Hashes pictures of one size, on their device.

    Args:
        pixels: gray or RGB; 0..1, uint8 or uint16 (0..65535).
        alpha: as the pixels, straight; None for opaque. What is transparent is over mid gray.
    """
    batch, _, height, width = pixels.shape
    return hash_thumbnails(thumbnails(pixels, alpha), [(height, width)] * batch)


@torch.no_grad()
def hash_thumbnails(
    small: Float[Tensor, "batch 3 64 64"], sizes: Sequence[tuple[int, int]]
) -> list[PerceptualHash]:
    """Hashes what is left of pictures.

    Args:
        small: of ``thumbnail``.
        sizes: height and width of each picture: small ones have quality 0.
    """
    luma = luma_bits(small)
    quality = gradient_quality(small) * (luma.sum(1) >= _LEAST_SET)
    parts = zip(_packed(luma), _packed(color_bits(small)), quality.tolist(), sizes, strict=True)
    return [
        PerceptualHash(bytes(light), bytes(colors), points if min(size) >= _LEAST_SIDE else 0)
        for light, colors, points, size in parts
    ]


def luma_distance(one: PerceptualHash, other: PerceptualHash) -> int:
    """Bits of luminance that differ, 0 to 256; :data:`LUMA_MATCH` at most for copies."""
    return _distance(one.luma, other.luma)


def color_distance(one: PerceptualHash, other: PerceptualHash) -> int:
    """Bits of color that differ, 0 to 512; :data:`COLOR_MATCH` at most for the same colors."""
    return _distance(one.color, other.color)


def hash_distances(one: PerceptualHash, other: PerceptualHash) -> dict[str, float]:
    """How far apart two pictures are as metrics of a comparison.

    Returns:
        ``phash``, the luma distance, and ``phash_color``, the color distance, both in bits. Where
        ``are_smooth``, the luma distance says nothing, and is 0.
    """
    luma = 0 if are_smooth(one, other) else luma_distance(one, other)
    return {"phash": float(luma), "phash_color": float(color_distance(one, other))}


def are_smooth(one: PerceptualHash, other: PerceptualHash) -> bool:
    """Whether noise decides the luminance of both: neither has :data:`STEADY_QUALITY`."""
    return max(one.quality, other.quality) < STEADY_QUALITY


def _packed(bits: Bool[Tensor, "batch bits"]) -> list[list[int]]:
    """Eight to a byte, the first one highest."""
    places = 2 ** torch.arange(7, -1, -1, device=bits.device)
    packed: list[list[int]] = (bits.reshape(len(bits), bits.shape[1] // 8, 8) * places).sum(2).tolist()
    return packed


def _distance(one: bytes, other: bytes) -> int:
    return (int.from_bytes(one) ^ int.from_bytes(other)).bit_count()
