"""Pictures of any depth as screens show them."""

import torch
from torch import Tensor

from imgcompress.image.color import as_unit, over
from imgcompress.image.picture import Decoded
from imgcompress.image.sampling import BLOCK
from imgcompress.image.strips import block_rows
from imgcompress.shapes import UInt8

BACKGROUND = 0.5
"""The gray that shows through where there is alpha: black and white can be told from it."""


def shown(decoded: Decoded) -> UInt8[Tensor, "channels height width"]:
    """Pixels of 0..255, over a gray where they can be seen through.

    Args:
        decoded: uint8, or uint16 of 0..65535; sRGB.
    """
    pixels, alpha = decoded
    if pixels.dtype == torch.uint8 and alpha is None:
        return pixels
    seen = torch.empty(pixels.shape, dtype=torch.uint8)
    rows = BLOCK * block_rows(1, -(-pixels.shape[2] // BLOCK))
    for top in range(0, pixels.shape[1], rows):
        strip = slice(top, top + rows)
        values = as_unit(pixels[:, strip])
        if alpha is not None:
            values = over(values[None], as_unit(alpha[strip])[None], BACKGROUND)[0]
        seen[:, strip] = (255 * values + 0.5).to(torch.uint8)
    return seen
