"""Whether decoded pixels were JPEG-compressed before, at whatever offset of the 8x8 grid."""

import math

import torch
from torch import Tensor

from imgcompress.forensics.earlier_steps import BANDS, Confidence, EarlierCompression, StepFit, fit_steps
from imgcompress.forensics.histograms import MOST, band_histograms
from imgcompress.image.dct import forward_dct
from imgcompress.shapes import Float, Int

SPREADS = (0.4, 1.0, 2.5)
"""Standard deviations of what happened to the values since: rounding alone, or a later compression on another
grid, whose error is spread over all bands of this one."""
PIXELS_CONFIDENCE = Confidence(0.99, 3.37)
"""Fitted as ALIGNED_CONFIDENCE is, by the same command."""
SEARCH_BLOCKS, FIT_BLOCKS = 4096, 16384
"""Blocks that the offset is searched with, and that the steps are fitted to, at most."""
FEWEST_BANDS = 6
"""Bands whose steps must show: drawn lines and patterns show a few, as they hold few different values."""
_SEARCH_BANDS = BANDS[:14]
_SEARCH_STEPS = range(3, 41)


def earlier_in_pixels(
    luma: Float[Tensor, "height width"], *, later_grid: bool = False
) -> EarlierCompression | None:
    """Look for an earlier compression in decoded luma.

    Args:
        luma: 0..255, unrounded or rounded, of a picture at its stored size.
        later_grid: whether the pixels come out of a JPEG file, whose own grid is not to be found. Offsets of
            0 rows or 0 columns are left out then: blocks there are made of two stored ones, whose values are
            multiples of the file's own steps and so theirs too, up to a factor.

    Returns:
        The earlier compression; None where it is less likely than none, or fewer than six bands show steps.
    """
    found = fit_pixels(luma, later_grid=later_grid)
    if found is None:
        return None
    offset, fit = found
    if int((fit.steps > 0).sum()) < FEWEST_BANDS:
        return None
    confidence = PIXELS_CONFIDENCE.of(fit.evidence)
    if confidence < 0.5:
        return None
    return EarlierCompression(offset, fit.quality, fit.steps, confidence)


def fit_pixels(
    luma: Float[Tensor, "height width"], *, later_grid: bool
) -> tuple[tuple[int, int], StepFit] | None:
    """The likeliest offset and the steps that fit best there; None where the picture holds no block."""
    if min(luma.shape) < 15:
        return None
    offset = _likeliest_offset(luma, later_grid)
    ones = torch.ones(8, 8, dtype=torch.int64)
    return offset, fit_steps(_histograms(luma, offset, FIT_BLOCKS), ones, SPREADS)


def _likeliest_offset(luma: Tensor, later_grid: bool) -> tuple[int, int]:
    first = 1 if later_grid else 0
    offsets = [(row, column) for row in range(first, 8) for column in range(first, 8)]
    clustering = torch.stack([_clustering(_histograms(luma, offset, SEARCH_BLOCKS)) for offset in offsets])
    return offsets[int(clustering.argmax())]


def _histograms(luma: Tensor, offset: tuple[int, int], most: int) -> Int[Tensor, "64 2047"]:
    """Histograms of whole DCT values of an even choice of blocks at an offset."""
    down, across = (luma.shape[0] - 7) // 8, (luma.shape[1] - 7) // 8
    every = math.ceil(math.sqrt(down * across / most))
    row, column = offset
    plane = luma[row : row + 8 * down, column : column + 8 * across]
    blocks = plane.reshape(down, 8, across, 8)[::every, :, ::every]
    chosen = blocks.reshape(1, 8 * blocks.shape[0], 8 * blocks.shape[2])
    return band_histograms(forward_dct(chosen).round().to(torch.int16)[0])


def _clustering(histograms: Int[Tensor, "64 2047"]) -> Tensor:
    """How strongly values gather on multiples of some step in each band: Rayleigh's test, summed."""
    steps = torch.tensor(_SEARCH_STEPS, dtype=torch.float64, device=histograms.device)[:, None]
    folded = (histograms[:, MOST + 1 :] + histograms[:, :MOST].flip(1))[list(_SEARCH_BANDS), :256].double()
    values = torch.arange(1, 257, dtype=torch.float64, device=histograms.device)
    beyond = values > steps / 2
    waves = torch.cos(2 * math.pi * values / steps) * beyond
    held = (folded @ beyond.double().mT).clamp(min=1)
    return ((folded @ waves.mT) / (held / 2).sqrt()).amax(1).clamp(min=0).sum()
