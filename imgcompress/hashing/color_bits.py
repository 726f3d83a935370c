"""The color hash: 512 bits that tell how red, green, blue and yellow each sixteenth of a picture is.

The planes are Cb and Cr (blue against yellow, red against green) as means of 4 x 4 cells. Each cell of a
plane has 8 thresholds on either side of gray: as many bits of a side are set as thresholds are passed, so
that the distance of two hashes counts the thresholds between them. The thresholds are a geometric series:
where there is much color, a change must be larger to count. The cells have different members of it: an even
shift of all colors sets a few bits more, not one in each cell at once. None is near gray, whose bits are all
zero.
"""

import torch
from torch import Tensor

from imgcompress.hashing.thumbnail import SIDE
from imgcompress.image.color import rgb_to_ycbcr
from imgcompress.shapes import Bool, Float

CELLS = 4
"""Along each side."""
THRESHOLDS = 8
"""Of a cell and plane, on either side of gray."""
COLOR_BITS = 2 * 2 * THRESHOLDS * CELLS**2

_LEAST, _MOST = 1.25, 48.0
"""Ends of the series of thresholds, in levels of 0..255 from gray. Chosen, like their number, among 4, 6 and
8 thresholds from 1.25 to 3 and up to 24 to 96 levels, for copies and rotated hues to be far apart in the
pictures of scripts/hash_table (Kodak, CLIC, cameras)."""

_ORDER = ((0, 8, 2, 10), (12, 4, 14, 6), (3, 11, 1, 9), (15, 7, 13, 5))
"""Which cell has which member of the series: an ordered dither, so that neighbors differ much."""


def color_bits(thumbnails: Float[Tensor, "batch 3 64 64"]) -> Bool[Tensor, "batch 512"]:
    """Which thresholds the colors of each cell pass.

    Args:
        thumbnails: 0..1.

    Returns:
        For Cb, Cr: those above gray, those below, from the least threshold; 4 x 4 cells each, rows first.
    """
    chroma = rgb_to_ycbcr(thumbnails * 255)[:, 1:] - 128
    width = SIDE // CELLS
    cells = chroma.reshape(-1, 2, 1, CELLS, width, CELLS, width).mean((4, 6))
    sides = torch.stack((cells, -cells), 2)
    return (sides > _thresholds(thumbnails.device)).flatten(1)


def _thresholds(device: torch.device) -> Float[Tensor, "thresholds 4 4"]:
    order = (torch.tensor(_ORDER, device=device) + 0.5) / CELLS**2
    steps = (torch.arange(THRESHOLDS, device=device)[:, None, None] + order) / THRESHOLDS
    return _LEAST * (_MOST / _LEAST) ** steps
