"""Samples of n bits, the 16 bits that deep pictures are held in, and 8 bits for formats without more.

A sample v of n bits means v / (2^n - 1), and so does its scaled value v' = round(v 65535 / (2^n - 1)) as
v' / 65535. Below 16 bits v' lies nearer to its own v than to any other, so that rounding back gives v again.
"""

from dataclasses import replace

import torch
from torch import Tensor

from imgcompress.image.picture import Picture
from imgcompress.shapes import Shaped

MOST = 65535
_PIECE = 1 << 20
"""Samples that are widened to 32 bits at once."""


def scale_to_16(samples: Shaped[Tensor, "*shape"], bits: int) -> Shaped[Tensor, "*shape"]:
    """Samples of few bits on the scale of 16.

    Args:
        samples: whole numbers, 0..2^bits - 1, uint8 or uint16.
        bits: 1 to 15.

    Returns:
        uint16, 0..65535, rounded to nearest.
    """
    return _scaled(samples, (1 << bits) - 1, MOST, torch.uint16)


def scale_from_16(samples: Shaped[Tensor, "*shape"], bits: int) -> Shaped[Tensor, "*shape"]:
    """Samples on the scale of 16 bits in fewer; the inverse of ``scale_to_16``.

    Args:
        samples: uint16, 0..65535.
        bits: 1 to 15.

    Returns:
        0..2^bits - 1, rounded to nearest: uint8 up to 8 bits, else uint16.
    """
    return _scaled(samples, MOST, (1 << bits) - 1, torch.uint8 if bits <= 8 else torch.uint16)


def to_8_bit(picture: Picture) -> Picture:
    """A deep picture as formats of 8 bits can hold it; one of 8 bits as it is.

    Pixels and alpha become round(v / 257), without dithering: that lowers the noise of a gradient's steps for
    the eye, but a lossy encoder pays for the dots or removes them.
    """
    if picture.bit_depth == 8:
        return picture
    alpha = None if picture.alpha is None else scale_from_16(picture.alpha, 8)
    return replace(picture, pixels=scale_from_16(picture.pixels, 8), alpha=alpha, bit_depth=8)


def _scaled(samples: Tensor, most: int, new_most: int, dtype: torch.dtype) -> Tensor:
    # The largest product, with 15 bits, is below 2^31.
    samples = samples.contiguous()
    scaled = torch.empty_like(samples, dtype=dtype)
    pieces = (torch.split(whole.view(-1), _PIECE) for whole in (samples, scaled))
    for part, target in zip(*pieces, strict=True):
        target.copy_((part.to(torch.int32) * new_most + most // 2) // most)
    return scaled
