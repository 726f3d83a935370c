"""Starting tables: the standard's examples, and ours by quality and by what a picture's blocks are."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from imgcompress.shapes import Float

_ANNEX_K_LUMA = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
_ANNEX_K_CHROMA = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
)
MAX_STEP = 255.0
"""Steps of a baseline frame take one byte."""


def ijg_scale(quality: int) -> float:
    """libjpeg's factor on the example tables: 1 at quality 50, 0 at 100."""
    return (5000 // quality if quality < 50 else 200 - 2 * quality) / 100


def ijg_tables(
    quality: int, device: torch.device | str = "cpu", *, largest: float = MAX_STEP
) -> Float[Tensor, "2 8 8"]:
    """The example tables of T.81, Annex K, for luma and chroma, scaled as libjpeg does.

    Args:
        quality: 1 to 100.
        device: where the tables are made.
        largest: where steps are held; those of a frame that is not baseline may be 32767.

    Returns:
        Integer steps in [1, largest], natural order.
    """
    base = torch.tensor((_ANNEX_K_LUMA, _ANNEX_K_CHROMA), dtype=torch.float32, device=device)
    percent = round(100 * ijg_scale(quality))
    return torch.floor((base * percent + 50) / 100).clamp(1, largest)


@dataclass(frozen=True)
class TableShape:
    """What our tables look like, whatever the quality.

    Attributes:
        tilts: slope of the logarithm of a luma step over the logarithm of 1 + frequency, where all blocks are
            smooth, texture or edge.
        chroma_tilt: the same for chroma.
        chroma_ratio: chroma steps at 4:2:0 relative to luma steps at the reference frequency.
        dc_ratios: DC steps of luma and chroma relative to the step at the reference frequency.
    """

    tilts: tuple[float, float, float]
    chroma_tilt: float
    chroma_ratio: float
    dc_ratios: tuple[float, float]

    @property
    def numbers(self) -> tuple[float, ...]:
        """All seven, in the order of the attributes."""
        return (*self.tilts, self.chroma_tilt, self.chroma_ratio, *self.dc_ratios)


SHAPE = TableShape((0.85, 1.05, 0.95), 0.8, 0.85, (0.5, 0.6))
"""Fitted on 512x384 crops of Kodak 1, 5, 7, 13, 15, 19, 20, 23 at 4:2:0, by bytes at equal SSIMULACRA2,
butteraugli (3-norm), ColorVideoVDP and MS-SSIM with the loop's constants. Steeper tables gain on all but
butteraugli, coarser chroma on butteraugli alone."""
REFERENCE_RADIUS = 2.0
"""Cycles a block, at which the tables' scale is read."""


def imgcompress_tables(
    reference_steps: Float[Tensor, "batch"],
    class_shares: Float[Tensor, "batch 3"],
    *,
    chroma_area: int = 4,
    shape: Float[Tensor, "7"] | None = None,
) -> Float[Tensor, "batch 2 8 8"]:
    """Our starting tables for luma and chroma, mixed by what the blocks of a picture are.

    Steps grow as a power of ``1 + sqrt(i^2 + j^2)``. The more texture a picture has, the steeper they grow:
    there is more to hide an error behind. The mixture is one of logarithms.

    Args:
        reference_steps: the luma step at the reference frequency of each picture, > 0.
        class_shares: shares of smooth, texture and edge blocks, sum 1.
        chroma_area: pixels that a chroma sample stands for, 4 at 4:2:0 and 1 at 4:4:4. Its error counts in
            all of them: steps go with the inverse of the square root.
        shape: :attr:`TableShape.numbers`, in which the tables are differentiable; None for SHAPE.

    Returns:
        Steps > 0, natural order, neither whole nor bounded: see whole_steps.
    """
    device = class_shares.device
    if shape is None:
        shape = torch.tensor(SHAPE.numbers, device=device)
    tilts, chroma_tilt, chroma_ratio, dc_ratios = shape[:3], shape[3], shape[4], shape[5:]
    frequency = torch.arange(8, dtype=torch.float32, device=device)
    radius = torch.sqrt(frequency[:, None].square() + frequency.square())
    growth = torch.log((1 + radius) / (1 + REFERENCE_RADIUS))
    luma = torch.exp((class_shares @ tilts)[:, None, None] * growth)
    ratio = chroma_ratio * math.sqrt(4 / chroma_area)
    chroma = (ratio * torch.exp(chroma_tilt * growth)).expand_as(luma)
    tables = torch.stack((luma, chroma), dim=1)
    tables[:, 0, 0, 0] = dc_ratios[0]
    tables[:, 1, 0, 0] = dc_ratios[1] * ratio
    return tables * reference_steps[:, None, None, None]


def whole_steps(tables: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The nearest steps that a baseline frame can hold: integers in [1, 255]."""
    return torch.round(tables).clamp(1, MAX_STEP)
