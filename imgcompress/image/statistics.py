"""What kind of content a block holds: energy entropy, AC variance, and three classes.

Both figures are of the 63 AC coefficients x_1..x_63 of the orthonormal DCT of luma at 0..255:

    entropy  = -sum_i p_i log2 p_i  with p_i = x_i^2 / sum_j x_j^2     bits, 0..log2 63 = 5.98
    variance = 1/63 sum_i x_i^2 - (1/63 sum_i x_i)^2                   squared levels (population variance)

The source document gives the classes' limits but no formulas; these are our reading.
"""

import math
from enum import IntEnum

import torch
from torch import Tensor

from imgcompress.shapes import Bool, Float, Int

SMOOTH_ENTROPY = 2.1
TEXTURE_ENTROPY = 4.3
TEXTURE_VARIANCE = 120.0

# Squared levels, summed over a block: above what float32 color conversion leaves in a flat block (1e-8),
# below what one blue sample makes by changing by one level (0.114^2 63/64 = 0.013).
FLAT_ENERGY = 1e-3


class BlockClass(IntEnum):
    """The kinds of content, in the order of ``class_shares``."""

    SMOOTH = 0
    TEXTURE = 1
    EDGE = 2


def energy_entropy(
    coefficients: Float[Tensor, "batch down across 8 8"],
) -> Float[Tensor, "batch down across"]:
    """Entropy of the shares that the AC coefficients have in the block's AC energy.

    Args:
        coefficients: orthonormal DCT of samples at 0..255, float32.

    Returns:
        Bits, 0..5.98; 0 for flat blocks.
    """
    energy = coefficients.flatten(-2)[..., 1:].square()
    total = energy.sum(-1, keepdim=True)
    bits = torch.special.entr(energy / total.clamp(min=FLAT_ENERGY)).sum(-1) / math.log(2)
    return torch.where(total.squeeze(-1) < FLAT_ENERGY, 0.0, bits)


def ac_variance(coefficients: Float[Tensor, "batch down across 8 8"]) -> Float[Tensor, "batch down across"]:
    """Population variance of the 63 AC coefficients.

    Args:
        coefficients: orthonormal DCT of samples at 0..255, float32.

    Returns:
        Squared levels, 0 or more.
    """
    return coefficients.flatten(-2)[..., 1:].var(-1, correction=0)


def classify(
    entropy: Float[Tensor, "batch down across"], variance: Float[Tensor, "batch down across"]
) -> Int[Tensor, "batch down across"]:
    """The class of every block, as a value of ``BlockClass``.

    Args:
        entropy: of ``energy_entropy``, bits.
        variance: of ``ac_variance``, squared levels.

    Returns:
        SMOOTH where entropy < 2.1; TEXTURE where 2.1 <= entropy < 4.3 and variance >= 120; else EDGE. int64.

    Source: the limits of the source document's section 2.3.
    """
    smooth = entropy < SMOOTH_ENTROPY
    texture = (entropy < TEXTURE_ENTROPY) & (variance >= TEXTURE_VARIANCE)
    others = torch.where(texture, int(BlockClass.TEXTURE), int(BlockClass.EDGE))
    return torch.where(smooth, int(BlockClass.SMOOTH), others)


def class_shares(
    classes: Int[Tensor, "batch down across"], mask: Bool[Tensor, "batch down across"]
) -> Float[Tensor, "batch 3"]:
    """The share of each class among a picture's real blocks.

    Args:
        classes: of ``classify``.
        mask: true where a block holds samples of the picture, false in the padding.

    Returns:
        Shares in the order of ``BlockClass``, summing to 1 (to 0 for a picture without real blocks), float32.
    """
    counts = torch.stack([((classes == kind) & mask).sum((1, 2)) for kind in BlockClass], dim=1)
    return counts / mask.sum((1, 2)).clamp(min=1)[:, None]
