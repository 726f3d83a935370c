"""SSIM: piq's for whole pictures, and the same formula window by window."""

import math

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from imgcompress.image.color import as_unit, pad_to
from imgcompress.image.strips import overlapping
from imgcompress.perception.window_grid import WindowGrid, strip_rows
from imgcompress.shapes import Float, Shaped

MIN_SIDE = 16
"""SSIM is taken of so many pixels at least; smaller pictures repeat their edges."""
MULTI_SCALE_SIDE = 161
"""The fifth scale, a sixteenth, must hold SSIM's 11 pixels; smaller pictures repeat their edges."""
_RADIUS = 5
_SIGMA = 1.5
_FLOORS = (0.01**2, 0.03**2)
_SHARES = [math.exp(-(shift**2) / (2 * _SIGMA**2)) for shift in range(-_RADIUS, _RADIUS + 1)]
TAPS = tuple(share / sum(_SHARES) for share in _SHARES)
"""The Gaussian of Wang et al. 2004: sigma 1.5 in 11 samples."""


def ssim(
    original: Shaped[Tensor, "batch channels height width"],
    result: Shaped[Tensor, "batch channels height width"],
) -> Float[Tensor, " batch"]:
    """The mean SSIM over all channels, of pictures averaged to about 256 pixels on the shorter side.

    Args:
        original: 0..1, uint8 or uint16 (0..65535); from 1x1.
        result: any of these types.

    Returns:
        1 for equal pictures.

    Source: piq, whose ``downsample`` this is in strips.
    """
    import piq

    shrunk = (_shrunk(_enlarged(picture, MIN_SIDE)) for picture in (result, original))
    return torch.as_tensor(piq.ssim(*shrunk, data_range=1.0, reduction="none", downsample=False))


def ms_ssim(
    original: Shaped[Tensor, "batch channels height width"],
    result: Shaped[Tensor, "batch channels height width"],
) -> Float[Tensor, " batch"]:
    """SSIM over five scales, from the full size on, over all channels.

    Args:
        original: 0..1, uint8 or uint16 (0..65535); below ``MULTI_SCALE_SIDE`` the last row and column repeat.
        result: any of these types.

    Returns:
        0..1, 1 for equal pictures.

    Source: piq.
    """
    import piq

    pictures = (as_unit(_enlarged(picture, MULTI_SCALE_SIDE)) for picture in (result, original))
    return torch.as_tensor(piq.multi_scale_ssim(*pictures, data_range=1.0, reduction="none"))


@torch.no_grad()
def ssim_windows(
    original: Shaped[Tensor, "batch channels height width"],
    result: Shaped[Tensor, "batch channels height width"],
    grid: WindowGrid,
) -> Float[Tensor, "batch down across"]:
    """The mean SSIM over all channels and over the places whose center lies in a window, at full size.

    Whole pictures are shrunk first (see ssim), by as much as their size asks for; a window is small. Beyond
    the picture its last row and column repeat.

    Args:
        original, result: as for ssim.
        grid: the windows of pictures of this size.

    Returns:
        1 where both are equal.
    """
    cells = []
    for seen, _, own in overlapping(grid.height, grid.strip_rows(original), _RADIUS):
        before, after = original[:, :, seen], result[:, :, seen]
        beyond = (_RADIUS, _RADIUS, _RADIUS - own.start, own.stop + _RADIUS - before.shape[2])
        cells.append(
            grid.cell_sums(ssim_map(*(F.pad(as_unit(x), beyond, "replicate") for x in (before, after))))
        )
    return grid.means(torch.cat(cells, 1), (grid.height, grid.width))


def ssim_map(
    original: Float[Tensor, "batch channels height width"],
    result: Float[Tensor, "batch channels height width"],
) -> Float[Tensor, "batch rows columns"]:
    """SSIM of every place at which the Gaussian lies in the picture, the mean over the channels.

    Args:
        original, result: 0..1, at least 11x11.

    Returns:
        10 rows and columns less than the pictures have.

    Source: Wang et al. 2004, equation 13, with K1 = .01 and K2 = .03.
    """
    mean_x, mean_y = _smooth(original), _smooth(result)
    squares, product = mean_x.square() + mean_y.square(), mean_x * mean_y
    variances = _smooth(original.square() + result.square()) - squares
    covariance = _smooth(original * result) - product
    luminance = (2 * product + _FLOORS[0]) / (squares + _FLOORS[0])
    return (luminance * (2 * covariance + _FLOORS[1]) / (variances + _FLOORS[1])).mean(1)


def _smooth(planes: Tensor) -> Tensor:
    # Sums of slices, for cudnn's TF32 would drown the differences of squares.
    for dim in (-2, -1):
        length = planes.shape[dim] - 2 * _RADIUS
        smooth = planes.narrow(dim, 0, length) * TAPS[0]
        for shift, tap in enumerate(TAPS[1:], start=1):
            smooth.add_(planes.narrow(dim, shift, length), alpha=tap)
        planes = smooth
    return planes


def _shrunk(pixels: Tensor) -> Tensor:
    """Means of as many pixels as leave about 256 on the shorter side."""
    height, width = pixels.shape[-2:]
    factor = max(1, round(min(height, width) / 256))
    rows = factor * max(1, strip_rows(pixels) // factor)
    strips = torch.split(pixels[:, :, : height // factor * factor], rows, 2)
    return torch.cat([F.avg_pool2d(as_unit(strip), factor) for strip in strips], 2)


def _enlarged(pixels: Tensor, side: int) -> Tensor:
    height, width = pixels.shape[-2:]
    return pad_to(pixels, max(height, side), max(width, side))
