"""Pictures of any size as 64 x 64 pixels: all that their hashes know of them."""

import torch
from torch import Tensor

from imgcompress.image.color import as_rgb, as_unit, over
from imgcompress.image.picture import Decoded
from imgcompress.image.strips import BLOCK_PIXELS
from imgcompress.shapes import Float, Shaped

SIDE = 64
"""Rows and columns of a thumbnail. Source: PDQ."""

BACKGROUND = 0.5
"""The gray, gamma-coded, that shows through where a picture is transparent."""


@torch.no_grad()
def thumbnail(picture: Decoded, device: torch.device) -> Float[Tensor, "3 64 64"]:
    """A decoded picture as a thumbnail, what is transparent over mid gray.

    Args:
        picture: uint8 or uint16 (0..65535), gray or RGB, of any size, upright.
        device: where it is made.

    Returns:
        0..1, gamma-coded as the picture is.
    """
    alpha = None if picture.alpha is None else picture.alpha[None].to(device)
    return thumbnails(picture.pixels[None].to(device), alpha)[0]


@torch.no_grad()
def thumbnails(
    pixels: Shaped[Tensor, "batch channels height width"],
    alpha: Shaped[Tensor, "batch height width"] | None = None,
) -> Float[Tensor, "batch 3 64 64"]:
    """Pictures of one size as thumbnails, in strips of rows.

    Each sample is a mean around its place, weighted by what two passes of a box filter leave: a tent. As in
    PDQ the boxes are half a thumbnail's pixel wide, but neither width nor place is rounded to whole pixels;
    where the picture is smaller than that, a tent of one pixel interpolates.

    Args:
        pixels: gray or RGB; 0..1, uint8 or uint16 (0..65535).
        alpha: as the pixels, straight; None for opaque. What shows through is :data:`BACKGROUND`.

    Returns:
        0..1, gamma-coded as the pixels are.

    Source: "The TMK+PDQF Video-Hashing Algorithm and the PDQ Image-Hashing Algorithm", hashing.pdf of
        github.com/facebook/ThreatExchange.
    """
    batch, channels, height, width = pixels.shape
    down, across = tents(height, pixels.device), tents(width, pixels.device)
    made = torch.zeros(batch, channels, SIDE, SIDE, device=pixels.device)
    rows = max(1, BLOCK_PIXELS // max(1, batch * width))
    for first in range(0, height, rows):
        strip = as_unit(pixels[:, :, first : first + rows])
        if alpha is not None:
            strip = over(strip, as_unit(alpha[:, first : first + rows]), BACKGROUND)
        made += down[:, first : first + rows] @ (strip @ across.T)
    return as_rgb(made)


def tents(length: int, device: torch.device) -> Float[Tensor, "64 length"]:
    """The weights of a side's pixels in each of the thumbnail's samples; each row sums to 1."""
    centers = (torch.arange(SIDE, dtype=torch.float64, device=device) + 0.5) * (length / SIDE)
    places = torch.arange(length, dtype=torch.float64, device=device) + 0.5
    reach = max(1.0, length / (2 * SIDE))
    weights = (1 - (places - centers[:, None]).abs() / reach).clamp(min=0)
    return (weights / weights.sum(1, keepdim=True)).float()
