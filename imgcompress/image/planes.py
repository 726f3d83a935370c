"""Pixels to the planes of a JPEG frame and back, as its decoder sees them."""

from collections.abc import Sequence

import torch
from torch import Tensor

from imgcompress.image.color import downsample_chroma, rgb_to_ycbcr, upsample_chroma, ycbcr_to_rgb
from imgcompress.image.dct import inverse_dct
from imgcompress.image.sampling import Sampling
from imgcompress.shapes import Float

Planes = tuple[Tensor, ...]
"""One ``[batch, height, width]`` tensor per component, 0..255; chroma around 128, at its own size."""


def planes_from_pixels(pixels: Float[Tensor, "batch channels height width"], sampling: Sampling) -> Planes:
    """Splits pixels into Y, Cb, Cr with chroma averaged over the sampling factors; gray stays as it is.

    Args:
        pixels: 0..255, RGB or gray; sizes are whole MCUs.
        sampling: the frame's layout.
    """
    if sampling.components == 1:
        return (pixels[:, 0],)
    luma, blue, red = rgb_to_ycbcr(pixels).unbind(1)
    factors = sampling.horizontal, sampling.vertical
    return luma, downsample_chroma(blue, *factors), downsample_chroma(red, *factors)


def pixels_from_planes(planes: Planes, sampling: Sampling) -> Float[Tensor, "batch channels height width"]:
    """The pixels that libjpeg shows for these planes, before rounding: 0..255, not clamped.

    Args:
        planes: as :func:`planes_from_pixels` makes them.
        sampling: the frame's layout.
    """
    luma = planes[0]
    if sampling.components == 1:
        return luma[:, None]
    factors = sampling.horizontal, sampling.vertical
    blue, red = (upsample_chroma(plane, *factors) for plane in planes[1:])
    return ycbcr_to_rgb(torch.stack((luma, blue, red), dim=1))


def decoded_pixels(
    coefficients: Sequence[Float[Tensor, "batch _ _ 8 8"]], sampling: Sampling
) -> Float[Tensor, "batch channels height width"]:
    """The pixels that libjpeg shows for these coefficients, before rounding.

    Args:
        coefficients: orthonormal, of each component.
        sampling: the frame's layout.

    Returns:
        0..1, clamped.
    """
    planes = tuple(inverse_dct(plane) for plane in coefficients)
    return (pixels_from_planes(planes, sampling) / 255).clamp(0, 1)
