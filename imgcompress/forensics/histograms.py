"""How often each quantized value occurs in each band of a component."""

import torch
from torch import Tensor

from imgcompress.shapes import Int

MOST = 1023
"""Largest magnitude of a quantized AC value in a file of 8 bits (ITU-T T.81, F.1.2.2); DC is held to it."""
BANDS, VALUES = 64, 2 * MOST + 1


def band_histograms(coefficients: Int[Tensor, "down across 8 8"]) -> Int[Tensor, "64 2047"]:
    """Count the quantized values of each band over all blocks of a component.

    Args:
        coefficients: quantized values as the file stores them, natural order; held to +-1023.

    Returns:
        int64; row 8 v + u is the band at row v, column u of the block; column 1023 counts zeros.
    """
    values = coefficients.reshape(-1, BANDS).to(torch.int64).clamp(-MOST, MOST) + MOST
    places = values + VALUES * torch.arange(BANDS, device=values.device)
    return torch.bincount(places.flatten(), minlength=BANDS * VALUES).view(BANDS, VALUES)
