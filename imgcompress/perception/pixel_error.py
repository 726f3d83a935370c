"""Differences of samples, without a model of sight: PSNR and the largest one."""

from collections.abc import Iterator

import torch
from torch import Tensor

from imgcompress.image.color import as_unit
from imgcompress.perception.window_grid import WindowGrid, strip_rows
from imgcompress.shapes import Float, Shaped

BEST_PSNR = 100.0
"""dB, of equal pictures; better ones count as this."""
_DECIMALS = 4
"""Of the largest difference: float32 holds no more, and one level of 8 bits shall be 1."""


def psnr(
    original: Shaped[Tensor, "batch channels height width"],
    result: Shaped[Tensor, "batch channels height width"],
) -> Float[Tensor, " batch"]:
    """Peak signal-to-noise ratio over all channels.

    Args:
        original: 0..1, uint8 or uint16 (0..65535).
        result: any of these types.

    Returns:
        dB, at most ``BEST_PSNR``.
    """
    height = original.shape[2]
    total = torch.zeros(len(original), dtype=torch.float64, device=original.device)
    for error in _errors(original, result, strip_rows(original)):
        total += error.square().mean((1, 2, 3)).double() * error.shape[2]
    return _decibels((total / height).float())


def psnr_windows(
    original: Shaped[Tensor, "batch channels height width"],
    result: Shaped[Tensor, "batch channels height width"],
    grid: WindowGrid,
) -> Float[Tensor, "batch down across"]:
    """The PSNR of each window.

    Args:
        original, result: as for psnr.
        grid: the windows of pictures of this size.

    Returns:
        dB, at most ``BEST_PSNR``.
    """
    strips = [
        grid.cell_sums(error.square().mean(1))
        for error in _errors(original, result, grid.strip_rows(original))
    ]
    return _decibels(grid.means(torch.cat(strips, 1), (grid.height, grid.width)))


def max_error(
    original: Shaped[Tensor, "batch channels height width"],
    result: Shaped[Tensor, "batch channels height width"],
) -> Float[Tensor, " batch"]:
    """The largest difference of any two samples.

    Args:
        original: 0..1, uint8 or uint16 (0..65535).
        result: any of these types.

    Returns:
        In levels of 8 bits, 0..255; 0 for equal samples whatever their depth.
    """
    largest = torch.zeros(len(original), device=original.device)
    for error in _errors(original, result, strip_rows(original)):
        largest = torch.maximum(largest, error.abs().amax((1, 2, 3)))  # unlike max(), it passes on NaN
    return (largest * 255).round(decimals=_DECIMALS)


def _errors(original: Tensor, result: Tensor, rows: int) -> Iterator[Tensor]:
    """Of each strip."""
    for before, after in zip(torch.split(original, rows, 2), torch.split(result, rows, 2), strict=True):
        yield as_unit(before) - as_unit(after)


def _decibels(squares: Tensor) -> Tensor:
    return (-10.0 * torch.log10(squares)).clamp(max=BEST_PSNR)
