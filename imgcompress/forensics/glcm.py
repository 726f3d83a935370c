"""Gray-level co-occurrence: how the values of neighbors go together.

Source: R. Haralick, K. Shanmugam, I. Dinstein, "Textural Features for Image Classification", IEEE
Transactions on Systems, Man, and Cybernetics 3(6), 1973.
"""

import math

import torch
from torch import Tensor

from imgcompress.shapes import Float, Int

LEVELS = 32
"""Gray levels after thinning out, 8 of 256 each. With all 256 a crop of 384x384 has 2 pairs for each of the
matrix's 65536 places, and its entropy would say more about its size than about its texture."""
DISTANCES = (1, 2)
DIRECTIONS = ((0, 1), (1, 1), (1, 0), (1, -1))
"""Row and column of one step at 0, 45, 90 and 135 degrees."""
_VALUES = ("contrast", "entropy", "homogeneity", "correlation")
GLCM_NAMES = tuple(f"glcm_{value}_{distance}" for distance in DISTANCES for value in _VALUES)
"""Means over the directions: contrast (base-2 logarithm of 1 + squared levels, 0 to 10), entropy (bits, 0 to
10), homogeneity (0 to 1) and correlation (-1 to 1)."""


def glcm_features(luma: Float[Tensor, "batch height width"]) -> Float[Tensor, "batch 8"]:
    """Co-occurrence statistics, in the order of ``GLCM_NAMES``.

    Args:
        luma: 0..255, any size from 1x1.

    Returns:
        float32; a picture of one value has contrast 0, entropy 0, homogeneity 1 and correlation 1. So has a
        picture without any pair of neighbors.
    """
    found = []
    for matrices in co_occurrence(luma).unbind(1):
        contrast, entropy, homogeneity, correlation = (values.mean(1) for values in _statistics(matrices))
        found += [torch.log2(1 + contrast), entropy, homogeneity, correlation]
    return torch.stack(found, dim=1).float()


def co_occurrence(
    luma: Float[Tensor, "batch height width"],
) -> Float[Tensor, "batch 2 4 32 32"]:
    """How often each pair of levels occurs at each of ``DISTANCES`` in each of ``DIRECTIONS``.

    Args:
        luma: 0..255.

    Returns:
        Symmetric matrices, each summing to 1; float64. Where there is no pair, that of one gray value.
    """
    levels = (luma.to(torch.float64) * (LEVELS / 256)).floor().long().clamp(0, LEVELS - 1)
    counts = [
        _pairs(levels, distance * down, distance * across)
        for distance in DISTANCES
        for down, across in DIRECTIONS
    ]
    shape = (len(luma), len(DISTANCES), len(DIRECTIONS), LEVELS, LEVELS)
    matrices = torch.stack(counts, dim=1).to(torch.float64).view(shape)
    matrices = matrices + matrices.mT
    total = matrices.sum((-2, -1), keepdim=True)
    nothing = torch.zeros(LEVELS, LEVELS, dtype=torch.float64, device=luma.device)
    nothing[0, 0] = 1
    return torch.where(total > 0, matrices / total.clamp(min=1), nothing)


def _pairs(levels: Tensor, down: int, across: int) -> Int[Tensor, "batch 32 32"]:
    """Counts the pairs of each picture that are so far apart; all in one histogram."""
    batch, height, width = levels.shape
    rows, columns = max(0, height - down), max(0, width - abs(across))
    left = max(0, -across)
    here = levels[:, :rows, left : left + columns]
    there = levels[:, down : down + rows, left + across : left + across + columns]
    picture = torch.arange(batch, device=levels.device)[:, None, None] * LEVELS * LEVELS
    places = (picture + here * LEVELS + there).flatten()
    return torch.bincount(places, minlength=batch * LEVELS * LEVELS).view(batch, LEVELS, LEVELS)


def _statistics(matrices: Float[Tensor, "batch 4 32 32"]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    level = torch.arange(LEVELS, dtype=matrices.dtype, device=matrices.device)
    apart = (level[:, None] - level).square()
    contrast = (matrices * apart).sum((-2, -1))
    entropy = torch.special.entr(matrices).sum((-2, -1)) / math.log(2)
    homogeneity = (matrices / (1 + apart)).sum((-2, -1))
    # Symmetric: rows and columns have the same mean and variance.
    shares = matrices.sum(-1)
    mean = (shares * level).sum(-1, keepdim=True)
    variance = (shares * (level - mean).square()).sum(-1)
    centered = level - mean
    covariance = (matrices * centered[..., :, None] * centered[..., None, :]).sum((-2, -1))
    is_even = variance < torch.finfo(variance.dtype).eps
    correlation = torch.where(is_even, 1.0, covariance / variance.where(~is_even, 1.0))
    return contrast, entropy, homogeneity, correlation
