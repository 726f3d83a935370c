"""The luminance hash: 256 bits, one for each of the lowest frequencies, and how much there is to go by.

Batched; any device gives the same bits but for frequencies within rounding of the median.
"""

import math

import torch
from torch import Tensor

from imgcompress.hashing.thumbnail import SIDE
from imgcompress.image.color import rgb_to_gray
from imgcompress.shapes import Bool, Float, Int

FREQUENCIES = 16
"""Half waves along each side: 1 to this many."""
LUMA_BITS = FREQUENCIES**2

_STEP = 2.0**-12
"""What coefficients are rounded to, at samples of 0..1: a quarter of the noise that 8-bit samples have by
rounding. Without it the last digits would decide where there is nothing, as in flat pictures."""

_GRADIENT_UNIT = 2.55
"""One percent of 0..255; lesser differences of neighbors do not count. Source: PDQ."""
_GRADIENTS_A_POINT = 90
"""Percents of gradient that make a point of quality. Source: PDQ, where it was chosen by hand."""


def luma_bits(thumbnails: Float[Tensor, "batch 3 64 64"]) -> Bool[Tensor, "batch 256"]:
    """Which of the lowest frequencies of luma are above the median of all of them.

    Args:
        thumbnails: 0..1.

    Returns:
        From the highest frequency to the lowest, rows first, as PDQ's hexadecimal digits have them. Half of
        them are set; fewer where coefficients are equal, and none in flat pictures.

    Source: PDQ, as for ``thumbnail.thumbnails``.
    """
    basis = _basis(thumbnails.device)
    waves = basis @ rgb_to_gray(thumbnails).double() @ basis.T
    waves = (waves / _STEP).round().flatten(1)
    return (waves > waves.median(1, keepdim=True).values).flip(1)


def gradient_quality(thumbnails: Float[Tensor, "batch 3 64 64"]) -> Int[Tensor, " batch"]:
    """How much there is in pictures to tell them by, 0 (flat) to 100.

    Args:
        thumbnails: 0..1.

    Source: PDQ, as for ``thumbnail.thumbnails``.
    """
    luma = rgb_to_gray(thumbnails) * 255
    along, across = (luma.diff(dim=dim).abs().div(_GRADIENT_UNIT).floor().sum((1, 2)) for dim in (1, 2))
    return ((along + across) / _GRADIENTS_A_POINT).clamp(max=100).int()


def _basis(device: torch.device) -> Tensor:
    # Made anew on the device each time, and in float64, for the reasons of image/dct.py.
    places = 2 * torch.arange(SIDE, dtype=torch.float64, device=device) + 1
    waves = torch.arange(1, FREQUENCIES + 1, dtype=torch.float64, device=device)
    return math.sqrt(2 / SIDE) * torch.cos(waves[:, None] * places * (math.pi / (2 * SIDE)))
