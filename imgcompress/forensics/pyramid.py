"""What an edge detector answers at each level of a Gaussian pyramid: sharpness, scale by scale.

Blur takes from the variance of the Laplacian at the finest levels, noise adds to it; the skewness of its
histogram tells bright lines on dark ground from dark ones on bright, and rings from both.
"""

import torch
from torch import Tensor

from imgcompress.shapes import Float

LEVELS = 4
PYRAMID_NAMES = tuple(
    f"{value}_{level}" for level in range(LEVELS) for value in ("laplacian_variance", "laplacian_skewness")
)
"""Logarithm (base 2, of 1 + squared gray levels) of the variance, 0 to 21, and skewness, of each level."""


def pyramid_features(luma: Float[Tensor, "batch height width"]) -> Float[Tensor, "batch 8"]:
    """Variance and skewness of the Laplacian at each level, in the order of ``PYRAMID_NAMES``.

    Args:
        luma: 0..255, any size from 1x1.

    Returns:
        float32; 0 for even pictures.
    """
    plane = luma.double()
    found: list[Tensor] = []
    for level in range(LEVELS):
        if level:
            plane = halve(plane)
        response = laplacian(plane).flatten(1)
        centered = response - response.mean(1, keepdim=True)
        variance = centered.square().mean(1)
        spread = variance.clamp(min=torch.finfo(variance.dtype).tiny).sqrt()
        # Below a hundredth of a gray level there is nothing but rounding.
        skewness = torch.where(variance > 1e-4, (centered / spread[:, None]).pow(3).mean(1), 0.0)
        found += [torch.log2(1 + variance), skewness]
    return torch.stack(found, dim=1).float()


def laplacian(plane: Float[Tensor, "batch height width"]) -> Float[Tensor, "batch height width"]:
    """Sum of the four neighbors less four times the sample; outside the border samples are repeated."""
    return _second_difference(plane) + _second_difference(plane.mT).mT


def halve(plane: Float[Tensor, "batch height width"]) -> Float[Tensor, "batch _ _"]:
    """The next level of the pyramid: every other sample after a binomial blur of 5 taps.

    Source: P. Burt, E. Adelson, "The Laplacian Pyramid as a Compact Image Code", IEEE Transactions on
        Communications 31(4), 1983, with a = 3/8.
    """
    return _thinned(_thinned(plane).mT).mT


def _second_difference(plane: Tensor) -> Tensor:
    ends = torch.cat((plane[..., :1], plane, plane[..., -1:]), dim=-1)
    return ends[..., :-2] - 2 * plane + ends[..., 2:]


def _thinned(plane: Tensor) -> Tensor:
    first, last = plane[..., :1], plane[..., -1:]
    wide = torch.cat((first, first, plane, last, last), dim=-1)
    length = plane.shape[-1]
    taps = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)
    parts = [tap * wide[..., shift : shift + length : 2] for shift, tap in enumerate(taps)]
    return torch.stack(parts).sum(0)
