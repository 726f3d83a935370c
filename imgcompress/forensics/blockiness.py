"""Where the boundaries of 8x8 blocks are, if there are any, and how much they stand out."""

import torch
from torch import Tensor

from imgcompress.shapes import Float

BLOCK = 8
BLOCKINESS_NAMES = ("blockiness_across", "blockiness_down")
"""How much the grid's columns, and its rows, stand out from the other seven, -2 to 2; 0 without a grid."""


def blockiness_features(luma: Float[Tensor, "batch height width"]) -> Float[Tensor, "batch 2"]:
    """How much the grid stands out, wherever it lies, in the order of ``BLOCKINESS_NAMES``.

    Args:
        luma: 0..255, any size from 1x1.

    Returns:
        float32; 0 for pictures too small to have two whole blocks.
    """
    stand_out = []
    for phases in (boundary_phases(luma), boundary_phases(luma.mT)):
        stand_out.append(phases.amax(1) - phases.median(1).values)
    return torch.stack(stand_out, dim=1).float()


def boundary_phases(luma: Float[Tensor, "batch height width"]) -> Float[Tensor, "batch 8"]:
    """How much steeper the picture is between columns k - 1 and k than beside them, for k modulo 8.

    Args:
        luma: 0..255.

    Returns:
        Mean relative excess, -1 to 1; all 0 for less than 17 columns. A grid that begins at column c has its
        maximum there.
    """
    steps = luma.diff(dim=2).abs()
    if steps.shape[1] == 0 or steps.shape[2] < 2 * BLOCK:
        return luma.new_zeros(len(luma), BLOCK)
    between, beside = steps[..., 1:-1], (steps[..., :-2] + steps[..., 2:]) / 2
    # A ratio, so that edges and texture don't outweigh the rest; 1 gray level keeps noise small.
    excess = ((between - beside) / (between + beside + 1)).mean(1)
    phases = torch.arange(2, 2 + excess.shape[1], device=luma.device) % BLOCK
    sums = luma.new_zeros(len(luma), BLOCK).index_add(1, phases, excess)
    return sums / torch.bincount(phases, minlength=BLOCK)
