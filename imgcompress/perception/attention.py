"""Where coarse quantization shows: one value a block, from how little there is to hide behind.

An error shows less where the picture itself varies (contrast masking), so the map is made of the local
variance of luma and of nothing else. Raw VGG sensitivities and raw activity were tried as block weights and
cost bytes.

For each cell of 32, 16 and 8 pixels, with var the local variance of luma in 0..1 under a Gaussian of
sigma 1.5 pixels (E[y^2] - E[y]^2):

    M_s = ln mean over the cell of 1 / (2 var + 0.0009)

A block's M is .3/.5/.2 of the M_s of its three cells, less the mean of M over the picture's blocks. The block
weight of the quantizer then is W = exp(strength M / 2), limited to [1/4, 4], and attention is the same number
on the scale that the source document gives: QP = 12 + 24 (1 - A) = 24 - 6 log2 W.
"""

import math

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from imgcompress.image.strips import block_rows, overlapping
from imgcompress.shapes import Bool, Float

CELLS = (4, 2, 1)
"""Blocks along the side of a cell, in the order of the weights."""

# Luma stays gamma-coded, near the cube root of XYB's luma, where this constant (SSIMULACRA2's C2) comes from.
MASKING_FLOOR = 0.0009
# With the scales' default shares. Regression on weights measured in the encoder's loop wants less of it the
# coarser the steps, and nearly all of it from the 8 px cells; in bytes that gained less than .2 %
# (scripts/fit_attention, docs/attention.md).
EXPONENT = 0.5
SIGMA = 1.5
RADIUS = 5
_BELL = [math.exp(-0.5 * (offset / SIGMA) ** 2) for offset in range(-RADIUS, RADIUS + 1)]
GAUSSIAN = [value / sum(_BELL) for value in _BELL]

LOG_WEIGHT_SPAN = 4 * math.log(2)
"""ln W from attention 0 (W = 1/4) to attention 1 (W = 4)."""


def attention_map(
    luma: Float[Tensor, "batch height width"],
    block_mask: Bool[Tensor, "batch down across"],
    scale_weights: tuple[float, float, float] = (0.3, 0.5, 0.2),
    strength: float = 1.0,
) -> Float[Tensor, "batch down across"]:
    """Attention of every 8x8 block.

    Args:
        luma: 0..255, gamma-coded, float32; height = 8 down, width = 8 across; padded by edge replication
            (anything else in the padding reaches 5 pixels into the picture).
        block_mask: true where a block holds pixels of the picture.
        scale_weights: of the cells of 32, 16 and 8 pixels.
        strength: 0 or more; multiplies ln W before it is limited. 0 gives 0.5 everywhere.

    Returns:
        A in [0, 1]; 0.5, that is W = 1, on average over a picture (unless many blocks hit the limits) and all
        over a flat one; 0 outside the mask.
    """
    mask = block_mask.float()
    total = torch.zeros_like(mask)
    for weight, cells in zip(scale_weights, cell_maps(luma, block_mask).unbind(1), strict=True):
        total = total + weight * cells
    mean = (total * mask).sum((1, 2), keepdim=True) / mask.sum((1, 2), keepdim=True).clamp(min=1)
    attention = 0.5 + (total - mean) * (strength * EXPONENT / LOG_WEIGHT_SPAN)
    return attention.clamp(0, 1) * mask


def cell_maps(
    luma: Float[Tensor, "batch height width"], block_mask: Bool[Tensor, "batch down across"]
) -> Float[Tensor, "batch 3 down across"]:
    """M_s of every 8x8 block: how visible an error is in the cells of 32, 16 and 8 pixels that hold it.

    Args:
        luma, block_mask: as for :func:`attention_map`.

    Returns:
        Logarithms: 7.01 where the cell is flat, less where it varies.
    """
    batch, down, across = block_mask.shape
    mask = block_mask.float()
    strips = overlapping(8 * down, 8 * block_rows(batch, across), 8)
    blocks = torch.cat([_visibility(luma[:, seen])[:, _blocks(own)] for seen, _, own in strips], 1) * mask
    return torch.stack([_cell_mean(blocks, mask, cell).log() for cell in CELLS], dim=1)


def qp_from_attention(attention: Float[Tensor, "batch down across"]) -> Float[Tensor, "batch down across"]:
    """The quantization parameter of every block.

    Args:
        attention: 0..1.

    Returns:
        QP from 36 (no attention) to 12.

    Source: source document, section 2.4.
    """
    return 12 + 24 * (1 - attention)


def weight_from_qp(qp: Float[Tensor, "batch down across"]) -> Float[Tensor, "batch down across"]:
    """What a squared error in a block counts for the quantizer.

    Args:
        qp: 12..36.

    Returns:
        W = 2^((24 - QP) / 6), 1/4..4.
    """
    return torch.exp2((24 - qp) / 6)


def _visibility(luma: Tensor) -> Tensor:
    """The mean over each block of 1 / (2 var + floor)."""
    batch, height, width = luma.shape
    visibility = 1 / (2 * _local_variance(luma / 255) + MASKING_FLOOR)
    return visibility.reshape(batch, height // 8, 8, width // 8, 8).mean((2, 4))


def _blocks(rows: slice) -> slice:
    return slice(rows.start // 8, rows.stop // 8)


def _local_variance(y: Tensor) -> Tensor:
    mean, mean_square = _blur(torch.stack((y, y.square()), dim=1)).unbind(1)
    return (mean_square - mean.square()).clamp(min=0)


def _blur(planes: Tensor) -> Tensor:
    # Sums of shifted slices instead of a convolution: cudnn's TF32 would drown the difference of squares.
    planes = F.pad(planes, (RADIUS, RADIUS, RADIUS, RADIUS), mode="replicate")
    for dim in (-2, -1):
        length = planes.shape[dim] - 2 * RADIUS
        blurred = torch.zeros_like(planes.narrow(dim, 0, length))
        for shift, tap in enumerate(GAUSSIAN):
            blurred = blurred.add(planes.narrow(dim, shift, length), alpha=tap)
        planes = blurred
    return planes


def _cell_mean(blocks: Tensor, mask: Tensor, cell: int) -> Tensor:
    """Mean over the real blocks of each cell, given back to its blocks; 1 where a cell has none."""
    down, across = blocks.shape[1:]
    edges = (0, -across % cell, 0, -down % cell)
    energy, share = (F.avg_pool2d(F.pad(plane, edges), cell) for plane in (blocks, mask))
    means = torch.where(share > 0, energy / share, 1.0)
    return means.repeat_interleave(cell, 1).repeat_interleave(cell, 2)[:, :down, :across]
