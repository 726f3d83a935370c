"""How coarsely decoded pixels were once quantized, wherever the grid of blocks lies; no table is read.

Coefficients of a compressed picture lie near multiples of their steps, so that the mean of
cos(2 pi c / step) over those that are not near 0 is close to 1 for the step itself (and for its divisors),
and close to 0 where there was no such step. For tables of a known shape all bands speak for one number, the
table's scale. What was decoded to bytes, cut, and saved again with finer steps still shows it; only a coarser
or an equally coarse second compression hides the first.

Two grids are tried: the one that begins at the corner, and the one whose boundaries show most in differences
of neighbors.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from imgcompress.forensics.blockiness import BLOCK, boundary_phases
from imgcompress.image.color import pad_to
from imgcompress.image.dct import forward_dct
from imgcompress.quantization.tables import ijg_scale, ijg_tables
from imgcompress.shapes import Float, Int

_MOST_DIAGONAL = 5
"""Bands with u + v up to it are looked at: beyond there is hardly a coefficient that is not 0."""
_BANDS = tuple((v, u) for v in range(6) for u in range(6) if 0 < v + u <= _MOST_DIAGONAL)
_MOST_BLOCKS_ACROSS = 64
"""Of larger pictures every n-th row and column of blocks is taken: 4096 blocks are enough."""
_SMALLEST = 2 * BLOCK
STEP_NAMES = ("steps_coarseness", "steps_sharpness", "steps_clarity")
"""As in ``Steps``."""

# Luma tables of other shapes than the standard's, by rows, up to the last diagonal that is looked at.
_ROBIDOUX = (
    (16, 16, 16, 18, 25, 37),
    (16, 17, 20, 27, 34),
    (16, 20, 24, 31),
    (18, 27, 31),
    (25, 34),
    (37,),
)
"""What mozjpeg writes at quality 50 with its table number 3 (N. Robidoux's)."""
_JPEGLI = (
    (24, 17, 31, 34, 64, 67),
    (17, 22, 31, 41, 66),
    (31, 31, 43, 48),
    (34, 41, 48),
    (64, 66),
    (67,),
)
"""What jpegli writes at quality 20."""
_QUALITIES = (*range(3, 30, 2), *range(31, 70, 3), *range(70, 99))
"""Of libjpeg; the other shapes are scaled by the same factors. Scales between them are near enough: the
coefficients are few steps long."""

EVIDENCE = 10.0
"""Standard deviations from what chance gives, above which a comb is believed. Of 140 undamaged crops (384x256
at most) of 28 photographs none reached 6; of 1267 JPEGs of them, quality 30 to 97, three encoders, 98.8 %
exceeded it."""
_EQUAL = 0.75
"""A divisor of the true steps makes nearly the same comb: the coarsest scale with this share of the greatest
evidence is taken."""
_SECOND = 0.2
"""The coarser grid is taken although the other is clearer, down to this share of its evidence: what was saved
again at a high quality shows two."""


@dataclass(frozen=True)
class Steps:
    """What was found in each picture.

    Attributes:
        offset: row and column, 0 to 7, of the first whole block of the grid.
        coarseness: mean logarithm of the low bands' steps, luma of 0..255 in an orthonormal DCT; 0, for steps
            of 1, where no comb was found.
        sharpness: mean cosine, 1 for coefficients exactly on multiples; 0 where no comb was found.
        clarity: the evidence over its largest possible value, 0 to 1, whatever the picture's size: the mean
            cosine times the root of the share of coefficients that were not quantized to 0.
        evidence: standard deviations from chance; it grows with the number of coefficients.
    """

    offset: Int[Tensor, "batch 2"]
    coarseness: Float[Tensor, "batch"]
    sharpness: Float[Tensor, "batch"]
    clarity: Float[Tensor, "batch"]
    evidence: Float[Tensor, "batch"]


def step_features(luma: Float[Tensor, "batch height width"]) -> Float[Tensor, "batch 3"]:
    """What ``find_steps`` finds, in the order of ``STEP_NAMES``.

    Args:
        luma: 0..255, any size from 1x1.
    """
    steps = find_steps(luma)
    return torch.stack((steps.coarseness, steps.sharpness, steps.clarity), dim=1)


def find_steps(luma: Float[Tensor, "batch height width"]) -> Steps:
    """The coarsest quantization that shows in each picture.

    Args:
        luma: 0..255, not rounded, any size from 1x1; without 64 blocks or so there is little to find.
    """
    _, height, width = luma.shape
    luma = pad_to(luma, max(height, _SMALLEST), max(width, _SMALLEST))
    seen = torch.stack([boundary_phases(plane).argmax(1) for plane in (luma.mT, luma)], dim=1)
    grids = torch.stack((torch.zeros_like(seen), seen), dim=1)
    coefficients = _low_bands(luma, grids)
    coarseness, sharpness, evidence = _combs(coefficients)

    def at(values: Tensor, places: Tensor) -> Tensor:
        return values.gather(-1, places[..., None])[..., 0]

    # Of each shape the scale, of each grid the shape, then the grid.
    greatest = evidence.amax(-1, keepdim=True)
    enough = torch.where(greatest > EVIDENCE, _EQUAL * greatest, greatest)
    scale = (evidence >= enough).int().argmax(-1)
    values = [at(each.expand_as(evidence), scale) for each in (coarseness, sharpness)]
    evidence = greatest[..., 0]
    shape = evidence.argmax(-1)
    coarseness, sharpness, evidence = (at(each, shape) for each in (*values, evidence))
    believed = evidence > (_SECOND * evidence.amax(-1, keepdim=True)).clamp(min=EVIDENCE)
    grid = torch.where(believed, coarseness, -1.0).argmax(-1)
    found = at(believed, grid)
    greatest_possible = math.sqrt(2 * math.prod(coefficients.shape[2:]))
    return Steps(
        grids[torch.arange(len(grids), device=grids.device), grid],
        at(coarseness, grid) * found,
        at(sharpness, grid) * found,
        at(evidence, grid).clamp(min=0) / greatest_possible,
        at(evidence, grid),
    )


def _low_bands(
    luma: Float[Tensor, "batch height width"], grids: Int[Tensor, "batch grids 2"]
) -> Float[Tensor, "batch grids blocks bands"]:
    """Coefficients of the low bands, of blocks on each grid."""
    batch, count, _ = grids.shape
    rows, columns = (_block_samples(length, grids[..., axis]) for axis, length in enumerate(luma.shape[1:]))
    picture = torch.arange(batch, device=luma.device)[:, None, None, None]
    samples = luma[picture, rows[..., :, None], columns[..., None, :]]
    coefficients = forward_dct(samples.flatten(0, 1).contiguous())
    wanted = torch.tensor([BLOCK * v + u for v, u in _BANDS], device=luma.device)
    bands = coefficients.flatten(1, 2).flatten(2).index_select(2, wanted)
    return bands.reshape(batch, count, bands.shape[1], len(_BANDS))


def _block_samples(length: int, offsets: Int[Tensor, "batch grids"]) -> Int[Tensor, "batch grids samples"]:
    """Rows (or columns) of evenly spread blocks; every grid has as many."""
    blocks = (length - BLOCK + 1) // BLOCK
    every = math.ceil(blocks / _MOST_BLOCKS_ACROSS)
    first = torch.arange(0, blocks, every, device=offsets.device) * BLOCK
    inside = (first[:, None] + torch.arange(BLOCK, device=offsets.device)).flatten()
    return offsets[..., None] + inside


def _combs(
    coefficients: Float[Tensor, "batch grids blocks bands"],
) -> tuple[
    Float[Tensor, "shapes scales"],
    Float[Tensor, "batch grids shapes scales"],
    Float[Tensor, "batch grids shapes scales"],
]:
    """Coarseness of every table, and each one's mean cosine and evidence; from coarse to fine."""
    tables = _tables(coefficients.device)
    angles = coefficients * (2 * math.pi)
    magnitudes = coefficients.abs()
    sums, counts = [], []
    for steps in tables.flatten(0, 1):
        # Half a step off, and a step of 1: there is nothing to see.
        outside = (magnitudes > steps / 2) & (steps > 1)
        sums.append((torch.cos(angles / steps) * outside).sum((-2, -1)))
        counts.append(outside.sum((-2, -1)))
    shape = (*coefficients.shape[:2], *tables.shape[:2])
    total = torch.stack(sums, dim=-1).reshape(shape)
    count = torch.stack(counts, dim=-1).reshape(shape).clamp(min=1)
    # A cosine of a random angle has variance 1/2.
    return tables.log().mean(-1), total / count, total / (count / 2).sqrt()


def _tables(device: torch.device) -> Float[Tensor, "shapes scales bands"]:
    shapes = [
        torch.stack([ijg_tables(quality, device)[0] for quality in _QUALITIES]),
        *(_scaled(corner, device) for corner in (_ROBIDOUX, _JPEGLI)),
    ]
    return torch.stack([torch.stack([shape[:, v, u] for v, u in _BANDS], dim=-1) for shape in shapes])


def _scaled(corner: tuple[tuple[int, ...], ...], device: torch.device) -> Float[Tensor, "scales 8 8"]:
    base = torch.zeros(BLOCK, BLOCK, device=device)
    for v, row in enumerate(corner):
        base[v, : len(row)] = torch.tensor(row, dtype=base.dtype, device=device)
    factors = torch.tensor([ijg_scale(quality) for quality in _QUALITIES], device=device)
    return (base * factors[:, None, None]).round().clamp(1, 255)
