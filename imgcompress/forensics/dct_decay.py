"""How the energy of DCT coefficients falls off with frequency, and how many of them are next to nothing.

Photographs fall off evenly; quantization cuts the steep part off and leaves zeros behind.
"""

import torch
from torch import Tensor

from imgcompress.forensics.blockiness import BLOCK, boundary_phases
from imgcompress.image.color import pad_to
from imgcompress.image.dct import forward_dct
from imgcompress.shapes import Float

_RINGS = 7
"""Rings of bands around DC: round(hypot(v, u)) of 1 to 7; what lies beyond is in the last one's corner."""
_GROUPS = ((1, 2), (3, 4), (5, 7))
NOTHING = 0.45
"""Gray levels, orthonormal: rounding to bytes leaves about so much of a coefficient that was 0 (its standard
deviation is .29). No multiple of 1/8, as which the coefficients of some bands come."""
DCT_NAMES = ("dct_slope", "dct_bend", *(f"dct_zeros_{first}_{last}" for first, last in _GROUPS))
"""Octaves of energy per octave of frequency (negative), how much more of it there is in the upper rings than
in the lower ones, and shares of coefficients next to 0 in three groups of rings, 0 to 1."""


def dct_features(luma: Float[Tensor, "batch height width"]) -> Float[Tensor, "batch 5"]:
    """Statistics of the coefficients on the grid that stands out most, in the order of ``DCT_NAMES``.

    Args:
        luma: 0..255, any size from 1x1; an edge that makes no whole block is left out where there is one.

    Returns:
        float32; slopes of 0 and shares of 1 for even pictures.
    """
    rings = _rings(luma.device)
    coefficients = _on_grid(luma).flatten(1, 2).flatten(-2)
    magnitudes = coefficients.abs()
    energy = torch.stack(
        [coefficients[..., rings == ring].square().mean((1, 2)) for ring in range(1, _RINGS + 1)], dim=1
    )
    # What a coefficient of NOTHING would have: even pictures fall off to there and no further.
    bits = torch.log2(energy + NOTHING**2)
    octave = torch.arange(1, _RINGS + 1, device=luma.device).log2().to(bits)
    upper = octave >= octave[3]
    slope, lower_slope, upper_slope = (
        _slope(octave[part], bits[:, part]) for part in (octave >= 0, ~upper, upper)
    )
    zeros = [
        (magnitudes[..., (rings >= first) & (rings <= last)] < NOTHING).float().mean((1, 2))
        for first, last in _GROUPS
    ]
    return torch.stack([slope, upper_slope - lower_slope, *zeros], dim=1).float()


def _on_grid(luma: Tensor) -> Float[Tensor, "batch down across 8 8"]:
    """Coefficients of whole blocks on each picture's own grid."""
    _, height, width = luma.shape
    luma = pad_to(luma, max(height, BLOCK), max(width, BLOCK))
    down, across = ((length - BLOCK + 1) // BLOCK or 1 for length in luma.shape[1:])
    rows = _samples(boundary_phases(luma.mT).argmax(1), down, luma.shape[1])
    columns = _samples(boundary_phases(luma).argmax(1), across, luma.shape[2])
    picture = torch.arange(len(luma), device=luma.device)[:, None, None]
    return forward_dct(luma[picture, rows[:, :, None], columns[:, None, :]].contiguous())


def _samples(offsets: Tensor, blocks: int, length: int) -> Tensor:
    places = offsets[:, None] + torch.arange(blocks * BLOCK, device=offsets.device)
    return places.clamp(max=length - 1)


def _rings(device: torch.device) -> Tensor:
    band = torch.arange(BLOCK, device=device).float()
    return torch.hypot(band[:, None], band).round().clamp(max=_RINGS).flatten()


def _slope(at: Float[Tensor, "points"], values: Float[Tensor, "batch points"]) -> Float[Tensor, "batch"]:
    """Of the straight line through points, by least squares."""
    centered = at - at.mean()
    return (values * centered).sum(1) / centered.square().sum()
