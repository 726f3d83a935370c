"""RGB and YCbCr, chroma at fewer samples, and padding.

Batched, float32, samples in 0..255 with chroma around 128, differentiable. Everything is slices and
arithmetic: autocast and TF32 do not touch it, and the gradients on CUDA come out the same every time
(those of interpolate() and of replication padding there do not).
"""

import torch
from torch import Tensor

from imgcompress.shapes import Float, Int, Shaped

# BT.601 luma weights; all other constants of JFIF follow from them.
RED, GREEN, BLUE = 0.299, 0.587, 0.114
CHROMA_CENTER = 128.0


def as_rgb(pixels: Shaped[Tensor, "batch channels height width"]) -> Shaped[Tensor, "batch 3 height width"]:
    """Gray as three equal channels, without a copy; RGB as it is."""
    return pixels.expand(-1, 3, -1, -1)


def as_unit(pixels: Shaped[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """uint8 as 0..1, uint16 (of 0..65535, whatever the file's depth) as well; floating point as it is."""
    if pixels.is_floating_point():
        return pixels
    return pixels.float() / torch.iinfo(pixels.dtype).max


def over(
    pixels: Float[Tensor, "batch channels height width"],
    alpha: Float[Tensor, "batch height width"],
    level: float,
) -> Float[Tensor, "batch channels height width"]:
    """What shows of a transparent picture over an even gray, blended as coded.

    Args:
        pixels: 0..1, not premultiplied.
        alpha: 0..1, 1 is opaque.
        level: the gray, 0..1, gamma-coded.
    """
    return torch.lerp(torch.full_like(pixels, level), pixels, alpha[:, None])


def rgb_to_gray(rgb: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch height width"]:
    """Luma of RGB.

    Args:
        rgb: 0..255, gamma-coded.

    Returns:
        Y in 0..255, not rounded.

    Source: JFIF 1.02 (ITU-T T.871), clause 7: E'Y of BT.601.
    """
    red, green, blue = rgb.unbind(1)
    return RED * red + GREEN * green + BLUE * blue


def rgb_to_ycbcr(rgb: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 3 height width"]:
    """Full-range YCbCr as JFIF has it.

    Args:
        rgb: 0..255, gamma-coded.

    Returns:
        Y, Cb, Cr in 0..255 (Cb and Cr are 128 for grays), not rounded.

    Source: ITU-T T.871, clause 7.
    """
    luma = rgb_to_gray(rgb)
    blue_difference = (rgb[:, 2] - luma) * (0.5 / (1 - BLUE)) + CHROMA_CENTER
    red_difference = (rgb[:, 0] - luma) * (0.5 / (1 - RED)) + CHROMA_CENTER
    return torch.stack((luma, blue_difference, red_difference), dim=1)


def ycbcr_to_rgb(ycbcr: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 3 height width"]:
    """The inverse of rgb_to_ycbcr.

    Args:
        ycbcr: Y, Cb, Cr; 0..255, chroma around 128.

    Returns:
        RGB, neither rounded nor clamped: quantized planes leave 0..255, and a decoder clamps there.

    Source: ITU-T T.871, clause 7.
    """
    luma, blue_difference, red_difference = ycbcr.unbind(1)
    blue_excess = (blue_difference - CHROMA_CENTER) * (2 * (1 - BLUE))
    red_excess = (red_difference - CHROMA_CENTER) * (2 * (1 - RED))
    green = luma - blue_excess * (BLUE / GREEN) - red_excess * (RED / GREEN)
    return torch.stack((luma + red_excess, green, luma + blue_excess), dim=1)


def downsample_chroma(
    plane: Float[Tensor, "batch height width"], horizontal: int, vertical: int
) -> Float[Tensor, "batch rows columns"]:
    """Box average, as libjpeg's encoder takes it (without its rounding).

    Args:
        plane: any range; height and width are multiples of the factors.
        horizontal: samples averaged along a row, 1 or more.
        vertical: samples averaged along a column, 1 or more.

    Returns:
        (batch, height / vertical, width / horizontal), same range.
    """
    batch, height, width = plane.shape
    return plane.reshape(batch, height // vertical, vertical, width // horizontal, horizontal).mean((2, 4))


def upsample_chroma(
    plane: Float[Tensor, "batch rows columns"], horizontal: int, vertical: int, *, smooth: bool = True
) -> Float[Tensor, "batch height width"]:
    """Chroma at the luma's resolution, as libjpeg's decoder makes it.

    The plane's borders are taken for the picture's, as libjpeg takes the borders of the true component:
    give ``hold_edges`` of a padded plane to have them agree. libjpeg replicates where a component is 1
    or 2 samples wide and halved across; here it is smooth there too.

    Args:
        plane: any range.
        horizontal: 1 or 2 (any whole factor if not smooth).
        vertical: 1 or 2 (any whole factor if not smooth).
        smooth: "fancy" triangle upsampling, 3/4 of the nearer and 1/4 of the farther sample along each
            halved axis, borders replicated; else plain replication.

    Returns:
        (batch, rows * vertical, columns * horizontal), same range, not rounded.

    Source: libjpeg's jdsample.c (h2v1, h1v2, h2v2 fancy upsampling), without its rounding.
    """
    if not smooth:
        return plane.repeat_interleave(vertical, 1).repeat_interleave(horizontal, 2)
    assert horizontal in (1, 2)
    assert vertical in (1, 2)
    if vertical == 2:
        plane = _double(plane.mT).mT
    if horizontal == 2:
        plane = _double(plane)
    return plane


def _double(plane: Tensor) -> Tensor:
    near = 0.75 * plane
    far = 0.25 * plane
    before = torch.cat((far[..., :1], far[..., :-1]), dim=-1)
    after = torch.cat((far[..., 1:], far[..., -1:]), dim=-1)
    return torch.stack((near + before, near + after), dim=-1).flatten(-2)


def pad_to(
    picture: Shaped[Tensor, "*leading height width"], height: int, width: int
) -> Shaped[Tensor, "*leading {height} {width}"]:
    """Repeat the last row and column until the picture has the size asked for.

    Args:
        picture: any dtype, at least 1x1.
        height: rows wanted, at least the picture's.
        width: columns wanted, at least the picture's.
    """
    assert picture.shape[-2] <= height
    assert picture.shape[-1] <= width
    if picture.shape[-2:] == (height, width):
        return picture
    rows = torch.arange(height, device=picture.device).clamp(max=picture.shape[-2] - 1)
    columns = torch.arange(width, device=picture.device).clamp(max=picture.shape[-1] - 1)
    return picture.index_select(-2, rows).index_select(-1, columns)


def hold_edges(
    plane: Float[Tensor, "batch height width"], sizes: Int[Tensor, "batch 2"]
) -> Float[Tensor, "batch height width"]:
    """Overwrite each plane's padding with the last row and column of what is inside.

    Args:
        plane: padded planes, any range.
        sizes: each plane's true (rows, columns), on the same device.

    Returns:
        A new tensor of the same shape.
    """
    _, height, width = plane.shape
    rows = torch.minimum(torch.arange(height, device=plane.device), sizes[:, :1] - 1)
    columns = torch.minimum(torch.arange(width, device=plane.device), sizes[:, 1:] - 1)
    batch = torch.arange(len(plane), device=plane.device)[:, None, None]
    return plane[batch, rows[:, :, None], columns[:, None, :]]
